"""TABLE 1: DIMSE services: what a listener may offer, and who handles its requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apps.commitment.scp import n_action, n_event_report
from apps.mpps.scp import n_create, n_get, n_set
from apps.network.scp import c_echo
from apps.network.session import Session
from apps.qr.scp import c_find, c_get, c_move
from apps.storage.scp import c_store
from apps.worklist import scp as worklist
from dicom.dimse import Association, CommandField, Message
from dicom.sop_classes import Service

Handler = Callable[[Session, Association, Message], None]


@dataclass(frozen=True, slots=True)
class DimseService:
    """`waits_for_index`: what the association has stored is indexed before the request is handled (WIRE 25)."""

    handlers: Mapping[int, Handler]
    waits_for_index: bool = True


# SOP classes belong to services by `dicom.sop_classes.service_of`.
SERVICES: Mapping[Service, DimseService] = {
    # PS3.4 annex A
    Service.ECHO: DimseService({CommandField.C_ECHO: c_echo}, waits_for_index=False),
    # PS3.4 annex B
    Service.STORE: DimseService({CommandField.C_STORE: c_store}, waits_for_index=False),
    # PS3.4 annex C
    Service.FIND: DimseService({CommandField.C_FIND: c_find}),
    Service.MOVE: DimseService({CommandField.C_MOVE: c_move}),
    Service.GET: DimseService({CommandField.C_GET: c_get}),
    # PS3.4 annex F
    Service.MPPS: DimseService(
        {CommandField.N_CREATE: n_create, CommandField.N_SET: n_set, CommandField.N_GET: n_get}, waits_for_index=False
    ),
    # PS3.4 annex J
    Service.COMMITMENT: DimseService({CommandField.N_ACTION: n_action, CommandField.N_EVENT_REPORT: n_event_report}),
    # PS3.4 annex K
    Service.WORKLIST: DimseService({CommandField.C_FIND: worklist.c_find}, waits_for_index=False),
}
