"""The life of an order."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import date, time
from typing import Any

import pytest
from django.db import connection

from apps.accounts.principal import Kind, Principal, system
from apps.audit.models import AuditEvent
from apps.jobs.models import OutboxEvent
from apps.worklist import schedule
from apps.worklist.attributes import BY_NAME, Level
from apps.worklist.entities import Disagreement
from apps.worklist.models import (
    ImagingServiceRequest,
    RequestedProcedure,
    ScheduledProcedureStep,
    StepStatus,
    WorklistPatient,
)
from apps.worklist.order import InvalidOrder, Order
from dicom.sop_classes import Service
from dicom.values import is_uid

RIS = Principal(kind=Kind.USER, name="ris", services=frozenset({Service.WORKLIST, Service.MPPS}))


def made(**attributes: Any) -> ScheduledProcedureStep:
    given = {"patient_id": "17", "patient_name": "Doe^Jane", **attributes}
    return schedule.schedule(principal=RIS, order=Order(**given))


@pytest.mark.django_db
def test_what_is_not_given_is_generated() -> None:
    step = made(modality="CT", scheduled_procedure_step_start_date="2026-11-25")
    procedure = step.requested_procedure
    assert step.status == StepStatus.SCHEDULED
    assert step.scheduled_procedure_step_id and procedure.requested_procedure_id
    assert len(procedure.imaging_service_request.accession_number) <= 16
    assert is_uid(procedure.study_instance_uid)
    assert step.scheduled_procedure_step_start_date == "20261125"
    assert step.scheduled_procedure_step_start_date_value == date(2026, 11, 25)
    assert step.scheduled_procedure_step_start_time_value == time(0, 0)


def test_every_attribute_with_a_column_can_be_ordered() -> None:
    named = {each.name for each in fields(Order)}
    assert named == {*BY_NAME, "duration_minutes", "other_attributes"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attributes", "wrong"),
    [
        ({"patient_id": ""}, "patient_id"),
        ({"patient_name": " "}, "patient_name"),
        ({"patient_name": "^^"}, "patient_name"),
        ({"patient_id": "x" * 65}, "patient_id"),
        ({"accession_number": "1234567890\\5"}, "accession_number"),
        ({"accession_number": "x" * 17}, "accession_number"),
        ({"patient_birth_date": "20260230"}, "patient_birth_date"),
        ({"patient_sex": "X"}, "patient_sex"),
        ({"scheduled_procedure_step_start_time": "25:00"}, "scheduled_procedure_step_start_time"),
        ({"study_instance_uid": "1.2.x"}, "study_instance_uid"),
        ({"modality": "C;T"}, "modality"),
        ({"scheduled_station_ae_title": "x" * 17}, "scheduled_station_ae_title"),
        ({"requested_procedure_description": "a\0b"}, "requested_procedure_description"),
        ({"duration_minutes": -1}, "duration_minutes"),
        ({"requested_procedure_code_sequence": ({"00080100": {"vr": "SH"}},)}, "requested_procedure_code_sequence"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(attributes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidOrder) as refused:
        made(**attributes)
    assert list(refused.value.errors) == [wrong]
    assert not WorklistPatient.objects.exists()


@pytest.mark.django_db
def test_an_accession_number_joins_procedures_and_a_procedure_joins_steps() -> None:
    first = made(accession_number="A1", requested_procedure_id="P1", scheduled_procedure_step_id="S1")
    second = made(accession_number="A1", requested_procedure_id="P1", scheduled_procedure_step_id="S2")
    third = made(accession_number="A1", requested_procedure_id="P2", scheduled_procedure_step_id="S1")
    assert first.requested_procedure == second.requested_procedure != third.requested_procedure
    assert ImagingServiceRequest.objects.count() == 1
    with pytest.raises(Disagreement) as refused:
        made(accession_number="A1", requested_procedure_id="P1", scheduled_procedure_step_id="S1")
    assert list(refused.value.errors) == ["scheduled_procedure_step_id"]


@pytest.mark.django_db
def test_another_person_under_a_known_patient_id_is_refused_unless_it_is_meant() -> None:
    made(patient_sex="F")
    made(patient_name="DOE^JANE")  # the same, written otherwise
    with pytest.raises(Disagreement) as refused:
        made(patient_name="Roe^Richard", patient_sex="M")
    assert set(refused.value.errors) == {"patient_name", "patient_sex"}
    order = Order(patient_id="17", patient_name="Smith^Jane")
    step = schedule.schedule(principal=RIS, order=order, update_patient=True)
    assert WorklistPatient.objects.get().patient_name_key == "smith^jane"
    assert step.events.get().detail["patient_name"] == ["DOE^JANE", "Smith^Jane"]


@pytest.mark.django_db
def test_an_accession_number_or_a_study_of_another_patient_is_refused() -> None:
    made(accession_number="A1", study_instance_uid="1.2.3")
    for attributes in ({"accession_number": "A1"}, {"study_instance_uid": "1.2.3"}):
        with pytest.raises(Disagreement) as refused:
            made(patient_id="18", **attributes)
        assert refused.value.errors.keys() == attributes.keys()
    with pytest.raises(Disagreement):
        made(accession_number="A2", study_instance_uid="1.2.3")
    assert RequestedProcedure.objects.count() == 1


@pytest.mark.django_db
def test_what_is_changed_stands_in_the_history_and_the_trail() -> None:
    step = made(modality="CT", accession_number="A1")
    changed = schedule.reschedule(
        principal=RIS,
        step_id=step.pk,
        changes=Order(modality="MR", patient_weight="71.5", scheduled_station_ae_title="MR1\\MR2"),
        reason="asked by phone",
    )
    assert (changed.modality, changed.scheduled_station_ae_title) == ("MR", "MR1\\MR2")
    assert WorklistPatient.objects.get().patient_weight == "71.5"
    event = changed.events.last()
    assert event is not None
    assert event.detail["modality"] == ["CT", "MR"]
    assert (event.actor, event.reason) == ("ris", "asked by phone")
    trail = AuditEvent.objects.first()
    assert trail is not None
    assert trail.action == "reschedule step"
    assert "71.5" not in str(trail.detail)
    assert OutboxEvent.objects.filter(event="step_changed").count() == 2


@pytest.mark.django_db
def test_a_change_of_nothing_leaves_no_trace() -> None:
    step = made(modality="CT")
    before = step.version
    again = schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(modality="CT"))
    assert again.version == before
    assert again.events.count() == 1


@pytest.mark.django_db
def test_a_change_made_from_an_older_version_is_refused() -> None:
    step = made()
    other = made(scheduled_procedure_step_id="other")
    version = step.version
    schedule.reschedule(principal=RIS, step_id=other.pk, changes=Order(patient_weight="80"))  # the patient of both
    with pytest.raises(schedule.Stale):
        schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(modality="MR"), version=version)


@pytest.mark.django_db
def test_a_step_moves_to_another_patient_until_it_has_begun() -> None:
    made(patient_id="18", patient_name="Roe^Richard")
    step = made()
    moved = schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(patient_id="18"))
    assert moved.requested_procedure.imaging_service_request.patient.patient_name == "Roe^Richard"
    assert moved.events.last().detail["patient_id"] == ["17", "18"]  # type: ignore[union-attr]
    schedule.advance(principal=RIS, step_id=step.pk, to=StepStatus.STARTED)
    with pytest.raises(Disagreement):
        schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(patient_id="17"))
    schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(patient_id="18", patient_comments="wheelchair"))


@pytest.mark.django_db
@pytest.mark.parametrize("changes", [{"patient_id": "18"}, {"accession_number": "A2"}, {"study_instance_uid": "1.9"}])
def test_what_was_done_stays_whose_it_was_when_a_sibling_is_changed(changes: dict[str, Any]) -> None:
    done = made(accession_number="A1", requested_procedure_id="P1")
    sibling = made(accession_number="A1", requested_procedure_id="P1")
    schedule.advance(principal=RIS, step_id=done.pk, to=StepStatus.STARTED)
    with pytest.raises(Disagreement) as refused:
        schedule.reschedule(principal=RIS, step_id=sibling.pk, changes=Order(**changes))
    assert refused.value.errors.keys() == changes.keys()
    schedule.reschedule(principal=RIS, step_id=sibling.pk, changes=Order(scheduled_procedure_step_id="new"))


@pytest.mark.django_db
def test_a_change_that_several_steps_share_stands_in_the_history_of_each() -> None:
    first = made(accession_number="A1")
    second = made(accession_number="A1")
    other = made(accession_number="A2")
    schedule.reschedule(
        principal=RIS, step_id=first.pk, changes=Order(requesting_service="ER", patient_weight="80", modality="MR")
    )
    assert set(second.events.last().detail) == {"requesting_service", "patient_weight"}  # type: ignore[union-attr]
    assert "patient_weight" in other.events.last().detail  # type: ignore[union-attr]


@pytest.mark.django_db
def test_a_visit_keeps_its_admission_when_the_location_changes() -> None:
    step = made(admission_id="ADM1", current_patient_location="W1")
    changed = schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(current_patient_location="W2"))
    visit = changed.requested_procedure.imaging_service_request.visit
    assert visit is not None
    assert (visit.admission_id, visit.current_patient_location) == ("ADM1", "W2")


@pytest.mark.django_db
def test_a_corrected_patient_id_keeps_what_is_known_of_the_person_and_another_name_does_not() -> None:
    known = {"patient_birth_date": "19800101", "patient_sex": "F", "allergies": "iodine", "patient_weight": "80"}
    step = made(patient_id="WRONG", **known)
    step = schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(patient_id="RIGHT"))
    patient = step.requested_procedure.imaging_service_request.patient
    assert {name: getattr(patient, name) for name in known} == known
    assert patient.patient_birth_date_value == date(1980, 1, 1)
    changes = Order(patient_id="OTHER", patient_name="Roe^Richard")
    step = schedule.reschedule(principal=RIS, step_id=step.pk, changes=changes)
    patient = step.requested_procedure.imaging_service_request.patient
    assert {getattr(patient, name) for name in known} == {""}


@pytest.mark.django_db
def test_a_corrected_patient_id_keeps_the_visit_and_another_person_has_none() -> None:
    step = made(admission_id="ADM1", current_patient_location="Ward 1")
    step = schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(patient_id="RIGHT"))
    visit = step.requested_procedure.imaging_service_request.visit
    assert visit is not None
    assert (visit.patient.patient_id, visit.admission_id, visit.current_patient_location) == ("RIGHT", "ADM1", "Ward 1")
    changes = Order(patient_id="OTHER", patient_name="Roe^Richard")
    step = schedule.reschedule(principal=RIS, step_id=step.pk, changes=changes)
    assert step.requested_procedure.imaging_service_request.visit is None


@pytest.mark.django_db(transaction=True)
def test_changes_of_siblings_at_once_are_counted_each() -> None:
    steps = [made(accession_number="A1") for _ in range(4)]

    def one(step: ScheduledProcedureStep) -> None:
        try:
            changes = Order(patient_comments=f"from {step.pk}", requesting_service=f"from {step.pk}")
            schedule.reschedule(principal=RIS, step_id=step.pk, changes=changes)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, steps))
    assert WorklistPatient.objects.get().revision == 5
    assert ImagingServiceRequest.objects.get().revision == 5


@pytest.mark.django_db
def test_what_identifies_is_never_emptied_nor_taken() -> None:
    made(accession_number="A1", study_instance_uid="1.2.3")
    step = made(accession_number="A2")
    emptied = ("patient_name", "study_instance_uid", "patient_id", "accession_number")
    for changes in (Order(**{name: ""}) for name in emptied):  # type: ignore[arg-type]
        with pytest.raises(InvalidOrder):
            schedule.reschedule(principal=RIS, step_id=step.pk, changes=changes)
    for changes in (Order(accession_number="A1"), Order(study_instance_uid="1.2.3")):
        with pytest.raises(Disagreement):
            schedule.reschedule(principal=RIS, step_id=step.pk, changes=changes)


@pytest.mark.django_db
def test_the_status_goes_only_where_a_way_leads() -> None:
    step = made()
    for to in (StepStatus.ARRIVED, StepStatus.READY, StepStatus.STARTED, StepStatus.COMPLETED):
        step = schedule.advance(principal=RIS, step_id=step.pk, to=to)
        assert step.status == to
    with pytest.raises(schedule.WrongStatus):
        schedule.cancel(principal=RIS, step_id=step.pk, reason="too late")
    assert [event.status for event in step.events.all()] == ["SCHEDULED", "ARRIVED", "READY", "STARTED", "COMPLETED"]


@pytest.mark.django_db
def test_a_cancelled_step_has_a_reason_and_can_come_back() -> None:
    step = made()
    with pytest.raises(InvalidOrder):
        schedule.cancel(principal=RIS, step_id=step.pk, reason=" ")
    step = schedule.cancel(principal=RIS, step_id=step.pk, reason="patient did not come")
    assert step.status == StepStatus.CANCELLED
    assert step.events.last().reason == "patient did not come"  # type: ignore[union-attr]
    assert schedule.advance(principal=RIS, step_id=step.pk, to=StepStatus.SCHEDULED).status == StepStatus.SCHEDULED


@pytest.mark.django_db
def test_who_may_only_read_changes_nothing() -> None:
    radiologist = Principal(kind=Kind.USER, name="r", services=frozenset({Service.WORKLIST}))
    modality = Principal(kind=Kind.PEER, name="CT1", services=frozenset(Service))
    for principal in (radiologist, modality):
        with pytest.raises(schedule.NotAllowed):
            schedule.schedule(principal=principal, order=Order(patient_id="1", patient_name="A"))
    assert not WorklistPatient.objects.exists()


@pytest.mark.django_db
def test_what_another_system_wrote_badly_is_kept_as_far_as_it_fits() -> None:
    order = Order(
        patient_id="17",
        patient_name="Doe^Jane",
        patient_birth_date="1980",
        requested_procedure_description="d" * 300,
        other_attributes={Level.STEP: {"00400030": {"vr": "LO"}}},
    )
    step = schedule.schedule(principal=system("import"), order=order, lenient=True)
    patient = WorklistPatient.objects.get()
    assert (patient.patient_birth_date, patient.patient_birth_date_value) == ("1980", None)
    assert step.requested_procedure.requested_procedure_description == "d" * 256
    assert step.other_attributes == {"00400030": {"vr": "LO"}}
    with pytest.raises(InvalidOrder):
        schedule.schedule(principal=system("import"), order=Order(patient_id="x" * 65, patient_name="D"), lenient=True)


@pytest.mark.django_db(transaction=True)
def test_steps_of_one_accession_scheduled_at_once_share_its_rows() -> None:
    def one(number: int) -> None:
        try:
            made(accession_number="A1", requested_procedure_id="P1", scheduled_procedure_step_id=f"S{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(one, range(12)))
    assert ScheduledProcedureStep.objects.count() == 12
    assert RequestedProcedure.objects.count() == 1
    assert WorklistPatient.objects.count() == 1
