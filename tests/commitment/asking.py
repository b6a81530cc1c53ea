"""Who asks for storage commitment: pynetdicom as a modality, and what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from dicom.commitment import INSTANCE
from dicom.datasets import data_set
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from tests.storage.made import CT

if TYPE_CHECKING:  # needs Django's settings
    from tests.qr.serving import Serving

SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")


def reference(uid: str, sop_class: str = CT) -> Dataset:
    return data_set(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid)


def asked(transaction: str, *references: Dataset) -> Dataset:
    """The action information."""
    return data_set(TransactionUID=transaction, ReferencedSOPSequence=list(references))


class Told:
    """The reports that came: (event type, committed UIDs, {failed UID: reason}) by transaction UID."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, int, list[str], dict[str, int]]] = []
        self.retrieve: list[Any] = []  # the Retrieve AE Titles of each report
        self.status = 0x0000

    def take(self, event: Any) -> tuple[int, Dataset | None]:
        ds = event.event_information
        committed = [str(item.ReferencedSOPInstanceUID) for item in ds.get("ReferencedSOPSequence", ())]
        failed = {str(item.ReferencedSOPInstanceUID): item.FailureReason for item in ds.get("FailedSOPSequence", ())}
        self.retrieve.append(ds.get("RetrieveAETitle"))
        self.reports.append((str(ds.TransactionUID), event.event_type, committed, failed))
        return self.status, None

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_N_EVENT_REPORT, self.take)]


def ask(assoc: Association, ds: Dataset | None, *, action: int = 1, instance: str = INSTANCE) -> Dataset:
    """The command set of the response."""
    status, _ = assoc.send_n_action(ds, action, PUSH, instance)
    return status


def ask_and_go(serving: Serving, ds: Dataset) -> None:
    """Asks, and releases before it is told anything."""
    with serving.call(PUSH) as assoc:
        assert ask(assoc, ds).Status == 0x0000


@contextmanager
def modality(told: Told, ae_title: str = "CALLER") -> Iterator[int]:
    """Takes reports on associations of the archive's; its port."""
    ae = AE(ae_title)
    ae.add_supported_context(PUSH, scu_role=False, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=told.handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


ROLE = build_role(PUSH, scp_role=True)
