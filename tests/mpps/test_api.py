"""REST of performed procedure steps."""

import json
from collections.abc import Callable
from typing import Any

import pydicom
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from apps.mpps.models import PerformedProcedureStep
from apps.worklist.models import LinkState, ScheduledProcedureStep, StudyLink
from tests.worklist.asking import ordered

pytestmark = pytest.mark.django_db

STEPS = "/api/procedure-steps/"
JSON = "application/json"
DICOM_JSON = "application/dicom+json"
CT = "1.2.840.10008.5.1.4.1.1.2"
SERIES = {
    "series_instance_uid": "1.2.3.1",
    "protocol_name": "Head",
    "instances": [{"sop_class_uid": CT, "sop_instance_uid": f"1.2.3.1.{number}"} for number in (1, 2)],
}
WRONG_ENTRY = {
    "code_value": "110514",
    "coding_scheme_designator": "DCM",
    "code_meaning": "Incorrect worklist entry selected",
}
UNSCHEDULED = {"patient_id": "17", "patient_name": "Doe^Jane", "modality": "CT", "performed_station_ae_title": "CT1"}


@pytest.fixture
def user() -> Callable[[str], Client]:
    def signed_in(role: str) -> Client:
        made = User.objects.create_user(role.lower())
        made.groups.add(Group.objects.get_or_create(name=role)[0])
        client = Client()
        client.force_login(made)
        return client

    return signed_in


@pytest.fixture
def technologist(user: Callable[[str], Client]) -> Client:
    return user("Technologists")


def send(
    client: Client, method: str, path: str, document: Any, content_type: str = "application/json", **headers: str
) -> Any:
    return getattr(client, method)(path, json.dumps(document), content_type=content_type, headers=headers)


def begun(client: Client, **fields: Any) -> dict[str, Any]:
    answer = send(client, "post", STEPS, fields)
    assert answer.status_code == 201, answer.content
    row: dict[str, Any] = answer.json()
    return row


def status(step: ScheduledProcedureStep) -> str:
    return ScheduledProcedureStep.objects.get(pk=step.pk).status


def test_a_step_of_the_worklist_is_begun_and_completed(technologist: Client) -> None:
    step = ordered(study_instance_uid="1.2.3", modality="CT", scheduled_station_ae_title="CT1\\CT2")
    row = begun(technologist, scheduled_steps=[step.pk])
    assert (row["status"], row["modality"], row["performed_station_ae_title"]) == ("IN PROGRESS", "CT", "CT1")
    assert row["patient_name"] == step.requested_procedure.imaging_service_request.patient.patient_name
    assert [(item["step"], item["study_instance_uid"]) for item in row["scheduled_steps"]] == [(step.pk, "1.2.3")]
    assert status(step) == "STARTED"
    address = f"/api/procedure-steps/{row['id']}/"
    changed = send(
        technologist, "patch", address, {"series": [SERIES], "performed_procedure_step_description": "CT head"}
    )
    assert changed.status_code == 200, changed.content
    assert changed.json()["progress"] == {"received": 0, "referred": 2, "text": "0 of 2 received"}
    assert changed.json()["missing"] == ["1.2.3.1.1", "1.2.3.1.2"]
    ended = send(technologist, "post", f"{address}complete/", {})
    assert (ended.status_code, ended.json()["status"]) == (200, "COMPLETED")
    assert ended.json()["performed_procedure_step_end_date"]
    assert status(step) == "COMPLETED"
    actions = [event["action"] for event in technologist.get(f"{address}history/").json()["results"]]
    assert actions == ["create", "set", "set"]


def test_a_step_without_a_schedule_needs_a_station_only(technologist: Client) -> None:
    row = begun(technologist, **UNSCHEDULED)
    assert row["scheduled_steps"][0]["step"] is None
    assert row["scheduled_steps"][0]["study_instance_uid"]
    refused = send(technologist, "post", STEPS, {"patient_id": "17"})
    assert (refused.status_code, set(refused.json()["errors"])) == (400, {"performed_station_ae_title"})


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"patient": "17"}, "patient"),
        ({"scheduled_steps": [999]}, "scheduled_steps"),
        ({"scheduled_steps": "1"}, "scheduled_steps"),
        ({"scheduled_steps": [2**63]}, "scheduled_steps"),
        ({"performed_procedure_step_start_date": "yesterday"}, "performed_procedure_step_start_date"),
        ({"modality": ""}, "modality"),
        ({"patient_sex": 1}, "patient_sex"),
        ({"series": [{"series_instance_uid": "x"}]}, "series"),
        ({"series": [{**SERIES, "protocol_name": ""}]}, "protocol_name"),
        ({"procedure_code_sequence": [{"code_value": "1"}]}, "procedure_code_sequence"),
        ({"sop_instance_uid": 3}, "sop_instance_uid"),
    ],
)
def test_a_wrong_field_is_named(technologist: Client, fields: dict[str, Any], wrong: str) -> None:
    answer = send(technologist, "post", STEPS, {**UNSCHEDULED, **fields})
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {wrong}
    assert not PerformedProcedureStep.objects.exists()


def test_a_uid_is_given_once(technologist: Client) -> None:
    begun(technologist, **UNSCHEDULED, sop_instance_uid="1.9.1")
    assert send(technologist, "post", STEPS, {**UNSCHEDULED, "sop_instance_uid": "1.9.1"}).status_code == 409
    assert send(technologist, "post", STEPS, {**UNSCHEDULED, "sop_instance_uid": "x"}).status_code == 400


def test_what_ended_is_not_changed_any_more(technologist: Client) -> None:
    address = f"/api/procedure-steps/{begun(technologist, **UNSCHEDULED)['id']}/"
    missing = send(technologist, "post", f"{address}complete/", {})
    assert (missing.status_code, set(missing.json()["errors"])) == (400, {"series"})
    assert send(technologist, "post", f"{address}complete/", {"series": [SERIES]}).status_code == 200
    for answer in (
        send(technologist, "patch", address, {"performed_procedure_step_description": "x"}),
        send(technologist, "post", f"{address}discontinue/", {}),
        send(technologist, "post", f"{address}close/", {"status": "COMPLETED", "reason": "x"}),
    ):
        assert answer.status_code == 409


def test_who_knows_an_older_version_changes_nothing(technologist: Client) -> None:
    row = begun(technologist, **UNSCHEDULED)
    address = f"/api/procedure-steps/{row['id']}/"
    known = {"If-Match": technologist.get(address)["ETag"]}
    description = {"performed_procedure_step_description": "x"}
    assert send(technologist, "patch", address, description, **known).status_code == 200
    assert send(technologist, "patch", address, description, **known).status_code == 412
    assert send(technologist, "post", f"{address}complete/", {"series": [SERIES]}, **known).status_code == 412


def test_the_wrong_entry_gives_the_step_back_and_its_images_to_a_person(technologist: Client) -> None:
    step = ordered(study_instance_uid="1.2.3")
    row = begun(technologist, scheduled_steps=[step.pk], performed_station_ae_title="CT1")
    address = f"/api/procedure-steps/{row['id']}/discontinue/"
    wrong = send(technologist, "post", address, {"reason": {"code_value": "1"}})
    assert (wrong.status_code, set(wrong.json()["errors"])) == (400, {"reason"})
    ended = send(technologist, "post", address, {"reason": WRONG_ENTRY}).json()
    assert (ended["status"], ended["needs_reconciliation"]) == ("DISCONTINUED", True)
    assert ended["discontinuation_reason"] == "Incorrect worklist entry selected"
    assert status(step) == "SCHEDULED"
    link = StudyLink.objects.get(study_instance_uid="1.2.3")
    assert (link.state, link.question) == (LinkState.WITHDRAWN, "Incorrect worklist entry selected")


def test_a_person_closes_a_step_and_says_which_one_it_was(technologist: Client) -> None:
    right, wrong = ordered("S1"), ordered("S2")
    row = begun(technologist, scheduled_steps=[wrong.pk], performed_station_ae_title="CT1")
    address, item = f"/api/procedure-steps/{row['id']}/", row["scheduled_steps"][0]["item"]
    attached = send(
        technologist, "post", f"{address}scheduled/", {"item": item, "step": right.pk, "reason": "mixed up"}
    )
    assert attached.json()["scheduled_steps"][0]["step"] == right.pk
    assert (status(right), status(wrong)) == ("STARTED", "SCHEDULED")
    for document, name in (
        ({"item": item + 1}, "item"),
        ({"item": [item]}, "item"),
        ({"item": item, "step": "x"}, "step"),
    ):
        answer = send(technologist, "post", f"{address}scheduled/", document)
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {name})
    empty = send(technologist, "post", f"{address}close/", {"status": "IN PROGRESS"})
    assert set(empty.json()["errors"]) == {"status", "reason"}
    closed = send(technologist, "post", f"{address}close/", {"status": "COMPLETED", "reason": "switched off"})
    assert closed.json()["status"] == "COMPLETED"
    assert status(right) == "COMPLETED"


def test_a_data_set_is_taken_and_given_whole(technologist: Client) -> None:
    given = {
        "00080018": {"vr": "UI", "Value": ["1.9.1"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jürgen"}]},
        "00400241": {"vr": "AE", "Value": ["CT1"]},
        "00400244": {"vr": "DA", "Value": ["20261125"]},
        "00400245": {"vr": "TM", "Value": ["101500"]},
        "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
        "00400253": {"vr": "SH", "Value": ["P1"]},
        "00400270": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}]},
        "00091001": {"vr": "LO", "Value": ["private"]},
    }
    made = send(technologist, "post", STEPS, given, DICOM_JSON, Accept=DICOM_JSON)
    assert (made.status_code, made["Content-Type"]) == (201, DICOM_JSON)
    assert made.json() == given
    dataset = pydicom.Dataset.from_json(made.json())
    assert (dataset.SOPInstanceUID, dataset.PatientName.alphabetic) == ("1.9.1", "Müller^Jürgen")
    (listed,) = technologist.get("/api/procedure-steps/", headers={"Accept": DICOM_JSON}).json()
    assert listed == given
    changes = {"00400254": {"vr": "LO", "Value": ["CT head"]}}
    changed = send(technologist, "patch", made["Location"], changes, DICOM_JSON)
    assert changed.json()["performed_procedure_step_description"] == "CT head"
    del given["00400253"]
    missing = send(technologist, "post", STEPS, given, DICOM_JSON)
    assert (missing.status_code, set(missing.json()["errors"])) == (400, {"performed_procedure_step_id"})
    broken = send(technologist, "post", STEPS, {"00400253": "P1"}, DICOM_JSON)
    assert set(broken.json()["errors"]) == {"performed_procedure_step_id"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [2, 1]),
        ("status=IN_PROGRESS", [2]),
        ("status=COMPLETED,DISCONTINUED", [1]),
        ("patient_name=doe*", [2, 1]),
        ("patient_id=18", []),
        ("station=CT1&modality=CT", [2, 1]),
        ("study_instance_uid=1.2.3", [1]),
        ("accession_number=A*", []),
        ("performed_procedure_step_start_date=19990101-20000101", []),
        ("changed_since=2999-01-01", []),
        ("step=77", []),
    ],
)
def test_steps_are_searched_the_latest_first(technologist: Client, query: str, found: list[int]) -> None:
    first = begun(technologist, **UNSCHEDULED, study_instance_uid="1.2.3")
    send(technologist, "post", f"/api/procedure-steps/{first['id']}/complete/", {"series": [SERIES]})
    second = begun(technologist, **UNSCHEDULED)
    address: str | None = f"/api/procedure-steps/?limit=1&{query}"
    met = []
    while address:
        page = technologist.get(address).json()
        met += [row["id"] for row in page["results"]]
        address = page["next"]
    assert met == [{1: first["id"], 2: second["id"]}[number] for number in found]


@pytest.mark.parametrize(
    ("query", "wrong"), [("q=1", "q"), ("status=GONE", "status"), ("after=x", "after"), ("step=x", "step")]
)
def test_a_wrong_parameter_is_named(technologist: Client, query: str, wrong: str) -> None:
    answer = technologist.get(f"/api/procedure-steps/?{query}")
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {wrong})


def test_who_reports_no_steps_may_read_them_only(user: Callable[[str], Client], technologist: Client) -> None:
    row = begun(technologist, **UNSCHEDULED)
    address = f"/api/procedure-steps/{row['id']}/"
    radiologist, clinician = user("Radiologists"), user("Clinicians")
    assert radiologist.get(address).status_code == 200
    assert clinician.get(address).status_code == 403
    for answer in (
        send(radiologist, "post", STEPS, UNSCHEDULED),
        send(radiologist, "patch", address, {"performed_procedure_step_description": "x"}),
        send(radiologist, "post", f"{address}close/", {"status": "COMPLETED", "reason": "x"}),
    ):
        assert answer.status_code == 403


def test_the_same_report_again_is_given_the_first_answer(technologist: Client) -> None:
    key = {"Idempotency-Key": "k1"}
    first = send(technologist, "post", STEPS, UNSCHEDULED, **key)
    again = send(technologist, "post", STEPS, UNSCHEDULED, **key)
    assert first.content == again.content
    assert PerformedProcedureStep.objects.count() == 1
