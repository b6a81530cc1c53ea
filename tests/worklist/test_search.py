"""Filters of the interface and of the pages."""

from typing import Any

import pytest

from apps.accounts.principal import Kind, Principal, system
from apps.worklist import schedule, search
from apps.worklist.models import ScheduledProcedureStep, StepStatus
from apps.worklist.order import Order
from apps.worklist.search import InvalidFilter, Position
from dicom.sop_classes import Service

RIS = Principal(kind=Kind.USER, name="ris", services=frozenset({Service.WORKLIST, Service.MPPS}))

pytestmark = pytest.mark.django_db


def made(step_id: str, **attributes: Any) -> ScheduledProcedureStep:
    given = {
        "patient_id": "17",
        "patient_name": "Müller^Jürgen",
        "scheduled_procedure_step_start_date": "20261125",
        "scheduled_procedure_step_start_time": "0900",
        **attributes,
    }
    return schedule.schedule(principal=RIS, order=Order(**given, scheduled_procedure_step_id=step_id))


def found(principal: Principal = RIS, **filters: str | list[str]) -> list[str]:
    params = {name: [value] if isinstance(value, str) else value for name, value in filters.items()}
    page = search.page(search.read(params), principal=principal, limit=100)
    return [step.scheduled_procedure_step_id for step in page.steps]


@pytest.mark.parametrize(
    "filters",
    [
        {"patient_name": "muller*"},
        {"patient_name": "MÜLLER^J?RGEN"},
        {"patient_id": "17"},
        {"accession_number": "A1"},
        {"accession_number": "A*"},
        {"requested_procedure_id": "P1"},
        {"study_instance_uid": "1.2.3"},
        {"study_instance_uid": "1.2.3,1.2.4"},
        {"scheduled_procedure_step_id": "S1"},
        {"modality": "CT"},
        {"modality": "CT,US"},
        {"modality": ["CT", "US"]},
        {"station": "CT2"},
        {"scheduled_station_ae_title": "CT1"},
        {"status": "SCHEDULED"},
        {"status": "scheduled,READY"},
        {"scheduled_procedure_step_start_date": "20261125"},
        {"scheduled_procedure_step_start_date": "2026-11-25"},
        {"scheduled_procedure_step_start_date": "20261101-20261130"},
        {"scheduled_procedure_step_start_date": "2026-11-01-2026-11-30"},
        {"scheduled_procedure_step_start_date": "20261124-20261125", "scheduled_procedure_step_start_time": "10-09"},
        {"changed_since": "2020-01-01"},
        {"changed_since": "2020-01-01T00:00:00 01:00"},
        {"patient_name": "", "status": "", "changed_since": ""},
    ],
)
def test_a_step_is_found_by(filters: dict[str, Any]) -> None:
    made(
        "S1",
        accession_number="A1",
        requested_procedure_id="P1",
        study_instance_uid="1.2.3",
        modality="CT",
        scheduled_station_ae_title="CT1\\CT2",
    )
    assert found(**filters) == ["S1"]


@pytest.mark.parametrize(
    "filters",
    [
        {"patient_name": "muller"},
        {"patient_id": "1"},
        {"accession_number": "a1"},  # PS3.4 C.2.2.2.1: names alone are found without case
        {"station": "CT"},
        {"status": "CANCELLED"},
        {"scheduled_procedure_step_start_date": "20261126-"},
        {"scheduled_procedure_step_start_date": "20261125", "scheduled_procedure_step_start_time": "1000-"},
        {"changed_since": "2999-01-01T00:00:00Z"},
        {"patient_id": "%"},
    ],
)
def test_a_step_is_not_found_by(filters: dict[str, Any]) -> None:
    made("S1", accession_number="A1", scheduled_station_ae_title="CT1\\CT2")
    assert found(**filters) == []


def test_every_wrong_filter_is_named() -> None:
    with pytest.raises(InvalidFilter) as refused:
        found(
            patient="17",
            status="GONE",
            scheduled_procedure_step_start_date="yesterday",
            changed_since="0001-01-01T00:00:00+23:59",
            study_instance_uid="x",
        )
    assert set(refused.value.errors) == {
        "patient",
        "status",
        "scheduled_procedure_step_start_date",
        "changed_since",
        "study_instance_uid",
    }


def test_pages_follow_the_start_and_meet_each_step_once() -> None:
    starts = [("20261126", "0800"), ("20261125", "1200"), ("20261125", "0900"), ("20261125", "0900"), ("20261124", "")]
    for number, (day, moment) in enumerate(starts):
        made(f"S{number}", scheduled_procedure_step_start_date=day, scheduled_procedure_step_start_time=moment)
    for name, day in (("S5", "soon"), ("S6", "later")):  # another system's, which no calendar has
        order = Order(patient_id="17", scheduled_procedure_step_start_date=day, scheduled_procedure_step_id=name)
        order = Order(**{**order.said(), "patient_name": "Müller^Jürgen"})
        schedule.schedule(principal=system("import"), order=order, lenient=True)
    expected = ["S4", "S2", "S3", "S1", "S0", "S5", "S6"]
    assert found() == expected
    for size in (1, 2, 3, 6):
        met: list[str] = []
        after: Position | None = None
        while True:
            page = search.page(search.read({}), principal=RIS, limit=size, after=after)
            met += [step.scheduled_procedure_step_id for step in page.steps]
            if page.following is None:
                break
            after = Position.read(str(page.following))
        assert met == expected


@pytest.mark.parametrize("text", ["", "1", "x/1", "/x", "2026-11-25T08:00:00+01:00/1", "/" + "9" * 30])
def test_a_position_that_nobody_wrote_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Position.read(text)


def test_who_may_not_see_the_worklist_finds_nothing() -> None:
    made("S1")
    clinician = Principal(kind=Kind.USER, name="c", services=frozenset({Service.FIND}))
    assert found(clinician) == []
    assert found(Principal(kind=Kind.USER, name="r", services=frozenset({Service.WORKLIST}))) == ["S1"]


def test_the_status_is_that_of_now() -> None:
    step = made("S1")
    schedule.advance(principal=RIS, step_id=step.pk, to=StepStatus.ARRIVED)
    assert found(status="SCHEDULED") == []
    assert found(status="ARRIVED,READY") == ["S1"]
