"""Performed steps move the scheduled ones they are."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from pydicom.dataset import Dataset

from apps.accounts.principal import Kind, Principal, system
from apps.jobs import outbox
from apps.jobs.runner import run_due
from apps.mpps import procedure_step, scheduled
from apps.mpps.models import PerformedProcedureStep, PerformedStatus
from apps.worklist import schedule
from apps.worklist.models import ScheduledProcedureStep, StepStatus
from apps.worklist.order import Order
from dicom import jsonmodel
from dicom.datasets import data_set, encode
from dicom.mpps import Refused
from dicom.sop_classes import Service
from tests.mpps.reporting import STUDY, begun, ended, wrong_entry
from tests.mpps.reporting import scheduled as item
from tests.node import wait_for
from tests.worklist.asking import ordered

pytestmark = pytest.mark.django_db
CT1 = Principal(kind=Kind.PEER, name="CT1", ae_title="CT1", services=frozenset(Service))
TECHNOLOGIST = Principal(kind=Kind.USER, name="tech", services=frozenset({Service.WORKLIST, Service.MPPS}))


def plain(ds: Dataset) -> dict[str, Any]:
    return jsonmodel.read(encode(ds, "1.2.840.10008.1.2.1"), "1.2.840.10008.1.2.1")


def begin(uid: str, *items: Dataset, **attributes: Any) -> PerformedProcedureStep:
    return procedure_step.create(principal=CT1, sop_instance_uid=uid, data_set=plain(begun(*items, **attributes)))


def end(uid: str, status: str = "COMPLETED", **attributes: Any) -> PerformedProcedureStep:
    return procedure_step.modify(principal=CT1, sop_instance_uid=uid, changes=plain(ended(status, **attributes)))


def status(step: ScheduledProcedureStep) -> str:
    return ScheduledProcedureStep.objects.get(pk=step.pk).status


@pytest.mark.parametrize("final", ["COMPLETED", "DISCONTINUED"])
def test_a_scheduled_step_starts_and_ends_with_its_performed_one(final: str) -> None:
    step = ordered(study_instance_uid=STUDY)
    begin("1.9.1")
    assert status(step) == "STARTED"
    end("1.9.1", final)
    assert status(step) == final
    history = [(event.action, event.status, event.actor) for event in step.events.all()]
    assert history[-1] == ("performed", final, scheduled.REPORTER)
    assert step.events.all()[1].detail == {"performed": "1.9.1"}


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({"ScheduledProcedureStepID": "S1", "StudyInstanceUID": STUDY}, True),
        ({"ScheduledProcedureStepID": "", "StudyInstanceUID": STUDY}, True),
        ({"ScheduledProcedureStepID": "S1", "StudyInstanceUID": "1.77", "AccessionNumber": "A-S1"}, True),
        ({"ScheduledProcedureStepID": "S1", "StudyInstanceUID": "1.77", "AccessionNumber": ""}, False),
        ({"ScheduledProcedureStepID": "S1", "StudyInstanceUID": "1.77", "AccessionNumber": "other"}, False),
        ({"ScheduledProcedureStepID": "", "StudyInstanceUID": "1.77"}, False),
    ],
)
def test_the_scheduled_step_is_found_by_what_modalities_know_of_it(named: dict[str, str], found: bool) -> None:
    step = ordered(study_instance_uid=STUDY)
    begin("1.9.1", item(**named))
    assert (status(step) == "STARTED") is found


def test_a_step_that_nobody_scheduled_stands_for_itself() -> None:
    performed = begin("1.9.1", item(StudyInstanceUID="1.77", ScheduledProcedureStepID="", AccessionNumber=""))
    assert [row.step for row in performed.scheduled.all()] == [None]
    assert end("1.9.1").status == "COMPLETED"


def test_an_order_that_comes_after_its_report_has_started() -> None:
    performed = begin("1.9.1")
    outbox.dispatch()
    run_due()
    step = ordered(study_instance_uid=STUDY)
    outbox.dispatch()
    run_due()
    assert status(step) == "STARTED"
    assert performed.scheduled.get().step == step
    end("1.9.1")
    assert status(step) == "COMPLETED"


def test_a_report_of_another_patient_leaves_the_step_to_a_person() -> None:
    step = ordered(study_instance_uid=STUDY)
    performed = begin("1.9.1", PatientID="18")
    row = performed.scheduled.get()
    assert (row.step, row.of_another_patient) == (None, True)
    assert status(step) == "SCHEDULED"
    scheduled.attach(principal=TECHNOLOGIST, item_id=row.pk, step_id=step.pk, reason="old patient ID")
    assert status(step) == "STARTED"


def test_a_report_without_a_patient_is_about_the_steps() -> None:
    step = ordered(study_instance_uid=STUDY)
    begin("1.9.1", PatientID="")
    assert status(step) == "STARTED"


def test_one_performed_step_can_be_several_scheduled_ones() -> None:
    first, second = ordered("S1", study_instance_uid=STUDY), ordered("S2", study_instance_uid="1.2.3.5")
    begin("1.9.1", item(), item(StudyInstanceUID="1.2.3.5", ScheduledProcedureStepID="S2", AccessionNumber="A-S2"))
    assert (status(first), status(second)) == ("STARTED", "STARTED")
    end("1.9.1")
    assert (status(first), status(second)) == ("COMPLETED", "COMPLETED")


def test_several_performed_steps_of_a_scheduled_one_end_it_together() -> None:
    step = ordered(study_instance_uid=STUDY)
    begin("1.9.1")
    begin("1.9.2")
    end("1.9.1", "DISCONTINUED")
    assert status(step) == "STARTED"
    end("1.9.2")
    assert status(step) == "COMPLETED"
    begin("1.9.3")  # goes on
    assert status(step) == "STARTED"
    end("1.9.3", "DISCONTINUED")
    assert status(step) == "COMPLETED"


def test_the_wrong_worklist_entry_gives_the_step_back() -> None:
    step = ordered(study_instance_uid=STUDY)
    schedule.advance(principal=system("test"), step_id=step.pk, to=StepStatus.ARRIVED)
    begin("1.9.1")
    reason = {"PerformedProcedureStepDiscontinuationReasonCodeSequence": wrong_entry()}
    performed = end("1.9.1", "DISCONTINUED", **reason)
    assert status(step) == "ARRIVED"
    assert performed.needs_reconciliation
    assert performed.discontinuation_reason == "Incorrect worklist entry selected"
    begin("1.9.2")
    assert status(step) == "STARTED"


def test_a_cancelled_step_that_is_performed_all_the_same_has_started() -> None:
    step = ordered(study_instance_uid=STUDY)
    schedule.cancel(principal=system("test"), step_id=step.pk, reason="no show")
    begin("1.9.1")
    assert status(step) == "STARTED"


def test_a_person_links_and_unlinks() -> None:
    step = ordered()
    performed = begin("1.9.1", item(StudyInstanceUID="1.77", ScheduledProcedureStepID="", AccessionNumber=""))
    row = performed.scheduled.get()
    scheduled.attach(principal=TECHNOLOGIST, item_id=row.pk, step_id=step.pk, reason="read from the request form")
    assert status(step) == "STARTED"
    end("1.9.1")
    assert status(step) == "COMPLETED"
    scheduled.attach(principal=TECHNOLOGIST, item_id=row.pk, step_id=None, reason="was another one")
    assert status(step) == "SCHEDULED"
    with pytest.raises(schedule.NotAllowed):
        scheduled.attach(principal=CT1, item_id=row.pk, step_id=step.pk, reason="")


def test_a_step_left_open_is_closed_by_hand() -> None:
    step = ordered(study_instance_uid=STUDY)
    begin("1.9.1")
    with pytest.raises(Refused):
        procedure_step.close(principal=CT1, sop_instance_uid="1.9.1", to=PerformedStatus.COMPLETED, reason="x")
    with pytest.raises(Refused):
        procedure_step.close(principal=TECHNOLOGIST, sop_instance_uid="1.9.1", to=PerformedStatus.COMPLETED, reason="")
    closed = procedure_step.close(
        principal=TECHNOLOGIST, sop_instance_uid="1.9.1", to=PerformedStatus.DISCONTINUED, reason="scanner replaced"
    )
    assert closed.status == status(step) == "DISCONTINUED"
    assert closed.performed_procedure_step_end_date
    assert closed.events.last().reason == "scanner replaced"  # type: ignore[union-attr]
    with pytest.raises(Refused) as late:
        end("1.9.1")
    assert late.value.error_id == 0xA710


def test_a_refused_report_moves_nothing() -> None:
    step = ordered(study_instance_uid=STUDY)
    begin("1.9.1")
    with pytest.raises(Refused):
        procedure_step.modify(
            principal=CT1, sop_instance_uid="1.9.1", changes=plain(data_set(PerformedProcedureStepStatus="COMPLETED"))
        )
    assert status(step) == "STARTED"


@pytest.mark.django_db(transaction=True)
def test_a_step_that_moves_to_another_patient_while_it_is_reported_is_not_the_reports() -> None:
    step = ordered(study_instance_uid=STUDY)
    moved = threading.Event()

    def report() -> None:
        try:
            moved.wait(60)
            begin("1.9.1")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            changes = Order(patient_id="18", patient_name="Roe^Richard")
            schedule.reschedule(principal=TECHNOLOGIST, step_id=step.pk, changes=changes)
            moved_by = threads.submit(report)
            moved.set()
            wait_for(lambda: moved_by.done() or _waits_for_a_lock())
        moved_by.result(60)
    assert status(step) == "SCHEDULED"
    assert PerformedProcedureStep.objects.get().scheduled.get().of_another_patient


def _waits_for_a_lock() -> bool:
    """Somebody; SQLite has one writer at a time, who waits without a trace."""
    if connection.vendor == "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
