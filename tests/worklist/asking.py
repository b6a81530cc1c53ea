"""Orders that are there, and a modality that asks for them."""

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from apps.accounts.principal import system
from apps.worklist import schedule
from apps.worklist.models import ScheduledProcedureStep, StepStatus
from apps.worklist.order import Order
from dicom.sop_classes import MODALITY_WORKLIST_FIND
from tests.qr.serving import Answer, Serving, identifier

RIS = system("ris")
GONE = (StepStatus.COMPLETED, StepStatus.CANCELLED)


def ordered(
    step_id: str = "S1", *, status: StepStatus = StepStatus.SCHEDULED, **attributes: Any
) -> ScheduledProcedureStep:
    given = {
        "patient_id": "17",
        "patient_name": "Doe^Jane",
        "accession_number": f"A-{step_id}",
        "modality": "CT",
        "scheduled_station_ae_title": "CT1",
        "scheduled_procedure_step_start_date": "20261125",
        "scheduled_procedure_step_start_time": "0900",
        **attributes,
    }
    step = schedule.schedule(principal=RIS, order=Order(scheduled_procedure_step_id=step_id, **given), lenient=True)
    if status != step.status:
        schedule.advance(principal=RIS, step_id=step.pk, to=status, reason="test")
    return step


def asked(step: dict[str, Any] | None = None, **keys: Any) -> Dataset:
    """An identifier: the `step`'s keys in an item of Scheduled Procedure Step Sequence, its ID among them."""
    item = identifier(**{"ScheduledProcedureStepID": "", **(step or {})})
    return identifier(**keys, ScheduledProcedureStepSequence=Sequence([item]))


def find(serving: Serving, ds: Dataset, **options: Any) -> list[Answer]:
    with serving.call(MODALITY_WORKLIST_FIND, **options) as assoc:
        return [(status.Status, answer) for status, answer in assoc.send_c_find(ds, MODALITY_WORKLIST_FIND)]


def found(serving: Serving, step: dict[str, Any] | None = None, **keys: Any) -> list[str]:
    """Step IDs of the answers, in their order."""
    return steps(find(serving, asked(step, **keys)))


def steps(answers: list[Answer]) -> list[str]:
    return [
        answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for _, answer in answers if answer is not None
    ]
