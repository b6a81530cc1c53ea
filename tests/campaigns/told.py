"""Who is told by jobs, and what: a RIS of the steps that were performed, a modality of what is kept."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH


class Ris:
    """PS3.4 F.7.2: a step is created once, and in its final state it changes no more."""

    def __init__(self) -> None:
        self.created: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.states: dict[str, str] = {}

    def create(self, event: Any) -> tuple[int, Dataset | None]:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.states:
            return 0x0111, None
        self.created[uid] += 1
        self.states[uid] = str(event.attribute_list.PerformedProcedureStepStatus)
        return 0x0000, None

    def change(self, event: Any) -> tuple[int, Dataset | None]:
        uid = str(event.request.RequestedSOPInstanceUID)
        if self.states.get(uid, "") != "IN PROGRESS":
            return self._refused(known=uid in self.states)
        self.states[uid] = str(event.modification_list.PerformedProcedureStepStatus)
        self.ended[uid] += 1
        return 0x0000, None

    @staticmethod
    def _refused(*, known: bool) -> tuple[Any, Dataset | None]:
        if not known:
            return 0x0112, None
        status = Dataset()
        status.Status, status.ErrorID = 0x0110, 0xA710
        return status, None

    @property
    def facts(self) -> dict[str, list[Any]]:
        return {uid: [state, self.created[uid], self.ended[uid]] for uid, state in self.states.items()}


class Modality:
    """The reports it got, by transaction: each different one."""

    def __init__(self) -> None:
        self.facts: dict[str, list[list[str]]] = {}

    def take(self, event: Any) -> tuple[int, Dataset | None]:
        ds = event.event_information
        said = sorted(str(item.ReferencedSOPInstanceUID) for item in ds.get("ReferencedSOPSequence", ()))
        said += sorted(f"not {item.ReferencedSOPInstanceUID}" for item in ds.get("FailedSOPSequence", ()))
        reports = self.facts.setdefault(str(ds.TransactionUID), [])
        if said not in reports:
            reports.append(said)
        return 0x0000, None


@contextmanager
def listening(ris: Ris, modality: Modality) -> Iterator[tuple[int, int]]:
    """Their ports."""
    for_steps, for_reports = AE("RIS"), AE("MODALITY")
    for_steps.add_supported_context(MPPS)
    for_reports.add_supported_context(PUSH, scu_role=False, scp_role=True)
    steps = [(evt.EVT_N_CREATE, ris.create), (evt.EVT_N_SET, ris.change)]
    first = for_steps.start_server(("127.0.0.1", 0), block=False, evt_handlers=steps)
    second = for_reports.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, modality.take)]
    )
    try:
        yield first.socket.getsockname()[1], second.socket.getsockname()[1]
    finally:
        first.shutdown()
        second.shutdown()
