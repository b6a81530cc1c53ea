"""What TABLE 1 cannot say about a DIMSE service: the statuses it answers with, and what we do as its user."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dicom import status
from dicom.sop_classes import Service

Statuses = Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """`text/<service>.md` goes with it. `user`: who of ours asks others for it; empty: nobody."""

    title: str
    annex: str
    user: str
    statuses: Statuses = field(default_factory=dict)


_STOPPED: Final[Statuses] = {status.CANCEL: "stopped by C-CANCEL"}
_WRONG: Final[Statuses] = {
    status.IDENTIFIER_MISMATCH: "the identifier cannot be used; Offending Element and Error Comment say why"
}
_ANSWERS: Final[Statuses] = {
    status.SUCCESS: "no more answers",
    status.PENDING: "an answer",
    status.PENDING_OPTIONAL_KEYS_UNSUPPORTED: "an answer; a key that had a value is not matched",
    status.QR_OUT_OF_RESOURCES: "after the answers: the limit of this peer is reached (a switch makes it 0000)",
    **_WRONG,
    **_STOPPED,
}
_RETRIEVED: Final[Statuses] = {
    status.SUCCESS: "all sub-operations succeeded",
    status.PENDING: "sub-operations go on, with their numbers",
    status.RETRIEVE_WARNING: "some failed or had warnings; Failed SOP Instance UID List names them",
    status.RETRIEVE_SUBOPERATIONS_FAILED: "all failed, or the destination cannot be reached",
    **_WRONG,
    **_STOPPED,
}
# Of every service; PS3.7 annex C.
GENERAL: Final[Statuses] = {
    status.PROCESSING_FAILURE: "DIMSE-N: an error of ours, or the database does not answer; Error Comment says which",
    status.UNABLE_TO_PROCESS: "DIMSE-C: the same; of Storage, see there",
    status.SOP_CLASS_NOT_SUPPORTED: "the SOP class of the request is not that of its presentation context",
    status.NOT_AUTHORIZED: "the right was withdrawn during the association",
    status.UNRECOGNIZED_OPERATION: "not an operation of this service",
}

DESCRIPTIONS: Final[Mapping[Service, Description]] = {
    Service.ECHO: Description(
        title="Verification",
        annex="A",
        user="the button *Verify* of a peer, `manage.py dicom echo`",
        statuses={status.SUCCESS: "always"},
    ),
    Service.STORE: Description(
        title="Storage",
        annex="B",
        user="C-MOVE towards its destination, sends, `manage.py dicom store`",
        statuses={
            status.SUCCESS: "the object is durable; also where it was there before, or goes into quarantine",
            status.STORE_OUT_OF_RESOURCES: "no space above the watermark, or the disk refuses; works again by itself",
            status.STORE_DATA_SET_MISMATCH: "the data set is another object than the request says",
            status.STORE_CANNOT_UNDERSTAND: "it cannot be read, or lacks a valid UID; Offending Element says which",
        },
    ),
    Service.FIND: Description(
        title="Query",
        annex="C",
        user="`manage.py dicom find`",
        statuses=_ANSWERS,
    ),
    Service.MOVE: Description(
        title="Retrieve by C-MOVE",
        annex="C",
        user="`manage.py dicom move`",
        statuses={**_RETRIEVED, status.RETRIEVE_DESTINATION_UNKNOWN: "no peer with a host has this AE title"},
    ),
    Service.GET: Description(
        title="Retrieve by C-GET",
        annex="C",
        user="`manage.py dicom get`",
        statuses=_RETRIEVED,
    ),
    Service.WORKLIST: Description(
        title="Modality Worklist",
        annex="K",
        user="import of another system's worklist (`/api/worklist/remote/`), `manage.py dicom worklist`",
        statuses=_ANSWERS,
    ),
    Service.MPPS: Description(
        title="Modality Performed Procedure Step",
        annex="F",
        user="reports to another system (`/api/procedure-steps/report/`), `manage.py dicom mpps`",
        statuses={
            status.SUCCESS: "the step is durable as it was reported, the scheduled steps with it",
            status.NO_SUCH_ATTRIBUTE: "set, but not created (strict)",
            status.INVALID_ATTRIBUTE_VALUE: "no such status, or not IN PROGRESS at N-CREATE; not a UID; "
            "what N-SET may not change",
            status.PROCESSING_FAILURE: "Error ID A710: the step is COMPLETED or DISCONTINUED",
            status.DUPLICATE_INSTANCE: "there is such a step",
            status.NO_SUCH_INSTANCE: "there is none",
            status.INVALID_INSTANCE: "malformed SOP Instance UID",
            status.MISSING_ATTRIBUTE: "an attribute is missing; Offending Element lists them",
            status.MISSING_ATTRIBUTE_VALUE: "one has no value, or is incomplete at the end; Offending Element",
            status.MISTYPED_ARGUMENT: "the data set cannot be read",
        },
    ),
    Service.COMMITMENT: Description(
        title="Storage Commitment Push Model",
        annex="J",
        user="after a send, where the peer's row says so; `manage.py dicom commit`",
        statuses={
            status.SUCCESS: "the request is durable; the report follows by N-EVENT-REPORT",
            status.NO_SUCH_INSTANCE: "not the well-known SOP Instance",
            status.NO_SUCH_SOP_CLASS: "not the SOP class of the presentation context",
            status.NO_SUCH_ACTION: "N-ACTION: another Action Type ID than 1",
            status.NO_SUCH_EVENT_TYPE: "N-EVENT-REPORT: another Event Type ID than 1 and 2",
            status.INVALID_ARGUMENT_VALUE: "no valid Transaction UID, no reference, a reference without valid UIDs; "
            "N-EVENT-REPORT: a transaction we did not ask of this peer. Offending Element names it",
            status.MISTYPED_ARGUMENT: "the data set cannot be read",
            status.RESOURCE_LIMITATION: "more than 200,000 references",
        },
    ),
}
