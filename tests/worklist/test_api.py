"""REST of the worklist."""

import json
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client

from apps.accounts import rest
from apps.worklist.models import RequestedProcedure, ScheduledProcedureStep, WorklistPatient

pytestmark = pytest.mark.django_db

ORDER = {
    "patient_id": "17",
    "patient_name": "Müller^Jürgen",
    "modality": "CT",
    "scheduled_station_ae_title": "CT1",
    "scheduled_procedure_step_start_date": "20261125",
    "scheduled_procedure_step_start_time": "0830",
}


@pytest.fixture
def user() -> Callable[[str], Client]:
    def signed_in(role: str) -> Client:
        made = User.objects.create_user(role.lower(), password="right-of-ours")
        made.groups.add(Group.objects.get_or_create(name=role)[0])
        client = Client()
        client.force_login(made)
        return client

    return signed_in


@pytest.fixture
def ris(user: Callable[[str], Client]) -> Client:
    return user("Schedulers")


def send(client: Client, method: str, path: str, document: Any, **headers: str) -> Any:
    return getattr(client, method)(path, json.dumps(document), content_type="application/json", headers=headers)


def made(client: Client, **attributes: Any) -> dict[str, Any]:
    answer = send(client, "post", "/api/worklist/", {**ORDER, **attributes})
    assert answer.status_code == 201, answer.content
    row: dict[str, Any] = answer.json()
    return row


def test_what_is_created_is_told_and_can_be_read(ris: Client) -> None:
    answer = send(ris, "post", "/api/worklist/", ORDER)
    row = answer.json()
    assert answer.status_code == 201
    assert row["status"] == "SCHEDULED"
    assert {name: row[name] for name in ORDER} == {**ORDER, "scheduled_procedure_step_start_time": "083000"}
    for generated in ("study_instance_uid", "scheduled_procedure_step_id", "accession_number"):
        assert row[generated]
    again = ris.get(answer["Location"])
    assert again.json() == row
    assert again["ETag"] == answer["ETag"] == f'"{row["version"]}"'


def test_codes_numbers_and_lists_are_written_as_json_has_them(ris: Client) -> None:
    code = {"code_value": "CTHEAD", "coding_scheme_designator": "99LOCAL", "code_meaning": "CT head"}
    row = made(
        ris,
        requested_procedure_code_sequence=[code],
        scheduled_station_ae_title=["CT1", "CT2"],
        patient_weight=71.5,
        pregnancy_status=4,
        duration_minutes=20,
        patient_sex=None,
    )
    assert row["requested_procedure_code_sequence"] == [code]
    assert row["scheduled_station_ae_title"] == "CT1\\CT2"
    assert (row["patient_weight"], row["pregnancy_status"], row["duration_minutes"]) == ("71.5", "4", 20)


@pytest.mark.parametrize(
    ("attributes", "wrong"),
    [
        ({"patient_id": ""}, "patient_id"),
        ({"patient_id": 17}, "patient_id"),
        ({"patient_sex": "X"}, "patient_sex"),
        ({"patientID": "17"}, "patientID"),
        ({"status": "COMPLETED"}, "status"),
        ({"status": ["SCHEDULED"]}, "status"),
        ({"id": 3}, "id"),
        ({"duration_minutes": "20"}, "duration_minutes"),
        ({"duration_minutes": True}, "duration_minutes"),
        ({"duration_minutes": 0}, "duration_minutes"),
        ({"study_instance_uid": "1.2."}, "study_instance_uid"),
        ({"study_instance_uid": "1..2"}, "study_instance_uid"),
        ({"study_instance_uid": ".1.2"}, "study_instance_uid"),
        ({"patient_name": "\u200b"}, "patient_name"),
        ({"patient_name": "^\u200b^"}, "patient_name"),
        ({"patient_id": "\u200b\u2060"}, "patient_id"),
        ({"scheduled_procedure_step_start_date": "20260230"}, "scheduled_procedure_step_start_date"),
        ({"requested_procedure_code_sequence": "CTHEAD"}, "requested_procedure_code_sequence"),
        ({"requested_procedure_code_sequence": [{"code_value": "1"}]}, "requested_procedure_code_sequence"),
        ({"requested_procedure_code_sequence": [{"code": "1"}]}, "requested_procedure_code_sequence"),
        ({"scheduled_station_ae_title": ["CT1", ""]}, "scheduled_station_ae_title"),
    ],
)
def test_a_wrong_field_is_named(ris: Client, attributes: dict[str, Any], wrong: str) -> None:
    answer = send(ris, "post", "/api/worklist/", {**ORDER, **attributes})
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert set(answer.json()["errors"]) == {wrong}
    assert not ScheduledProcedureStep.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"3", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "application/json", 400),
        (b"[" * 5000 + b"]" * 5000, "application/json", 400),
        (b" " * (rest.LARGEST + 1), "application/json", 413),
        (b"patient_id=17", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
    ],
)
def test_a_body_that_is_none_is_refused(ris: Client, body: bytes, content_type: str, status: int) -> None:
    answer = ris.post("/api/worklist/", body, content_type=content_type)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"


def test_another_person_under_a_known_id_is_a_conflict_unless_it_is_meant(ris: Client) -> None:
    made(ris)
    other = {**ORDER, "patient_name": "Roe^Richard"}
    answer = send(ris, "post", "/api/worklist/", other)
    assert answer.status_code == 409
    assert set(answer.json()["errors"]) == {"patient_name"}
    assert send(ris, "post", "/api/worklist/?update_patient=true", other).status_code == 201
    assert WorklistPatient.objects.get().patient_name == "Roe^Richard"


@pytest.mark.parametrize("method", ["patch", "put"])
def test_minutes_are_emptied_by_null_and_by_a_replacement_without_them(ris: Client, method: str) -> None:
    row = made(ris, duration_minutes=20)
    body = {"duration_minutes": None} if method == "patch" else ORDER
    answer = send(ris, method, f"/api/worklist/{row['id']}/", body)
    assert (answer.status_code, answer.json()["duration_minutes"]) == (200, None)
    again = send(ris, method, f"/api/worklist/{row['id']}/", body)
    assert again.json()["version"] == answer.json()["version"]


def test_a_patch_changes_what_it_names(ris: Client) -> None:
    row = made(ris, patient_weight="80", requested_procedure_description="CT head")
    answer = send(ris, "patch", f"/api/worklist/{row['id']}/", {"modality": "MR", "patient_weight": None})
    changed = answer.json()
    assert answer.status_code == 200
    assert (changed["modality"], changed["patient_weight"]) == ("MR", "")
    assert changed["requested_procedure_description"] == "CT head"
    assert changed["version"] != row["version"]


def test_a_row_put_back_with_changes_is_what_the_step_becomes(ris: Client) -> None:
    row = made(ris, requested_procedure_description="CT head", patient_comments="wheelchair")
    address = f"/api/worklist/{row['id']}/"
    row.pop("patient_comments")
    changed = send(ris, "put", address, {**row, "patient_name": "Müller-Schmidt^Jürgen"})
    assert changed.status_code == 200, changed.content
    assert changed.json()["patient_name"] == "Müller-Schmidt^Jürgen"
    assert changed.json()["patient_comments"] == ""
    assert changed.json()["study_instance_uid"] == row["study_instance_uid"]
    assert send(ris, "put", address, row).status_code == 409  # of a version that is gone


def test_a_change_by_who_knows_an_older_version_fails(ris: Client) -> None:
    row = made(ris)
    address = f"/api/worklist/{row['id']}/"
    known = {"If-Match": f'"{row["version"]}"'}
    assert send(ris, "patch", address, {"modality": "MR"}, **known).status_code == 200
    for stale in (
        send(ris, "patch", address, {"modality": "CT"}, **known),
        send(ris, "post", f"{address}cancel/", {"reason": "x"}, **known),
        send(ris, "post", f"{address}status/", {"status": "ARRIVED"}, **known),
        ris.delete(f"{address}?reason=x", headers=known),
    ):
        assert stale.status_code == 412
    assert ris.get(address).json()["modality"] == "MR"


def test_a_step_is_cancelled_with_a_reason(ris: Client) -> None:
    first, second = made(ris), made(ris)
    assert send(ris, "post", f"/api/worklist/{first['id']}/cancel/", {}).json()["errors"] == {"reason": "is needed"}
    answer = send(ris, "post", f"/api/worklist/{first['id']}/cancel/", {"reason": "did not come"})
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert ris.delete(f"/api/worklist/{second['id']}/").status_code == 400
    assert ris.delete(f"/api/worklist/{second['id']}/?reason=twice").json()["status"] == "CANCELLED"


def test_a_status_goes_where_a_way_leads_and_the_history_tells(ris: Client) -> None:
    row = made(ris)
    address = f"/api/worklist/{row['id']}/"
    for status in ("ARRIVED", "STARTED", "COMPLETED"):
        assert send(ris, "post", f"{address}status/", {"status": status}).json()["status"] == status
    assert send(ris, "post", f"{address}status/", {"status": "SCHEDULED"}).status_code == 409
    assert send(ris, "post", f"{address}status/", {"status": "GONE"}).json()["errors"].keys() == {"status"}
    assert ris.delete(f"{address}?reason=late").status_code == 409
    page = ris.get(f"{address}history/?limit=3").json()
    rest_of_it = ris.get(page["next"]).json()
    events = page["results"] + rest_of_it["results"]
    assert [event["status"] for event in events] == ["SCHEDULED", "ARRIVED", "STARTED", "COMPLETED"]
    assert {event["actor"] for event in events} == {"schedulers"}
    assert rest_of_it["next"] is None


def test_a_list_is_filtered_and_comes_in_pages_by_start(ris: Client) -> None:
    for day in (3, 1, 2, 9):
        made(ris, scheduled_procedure_step_start_date=f"2026110{day}")
    made(ris, patient_id="18", patient_name="Roe^Richard")
    address: str | None = "/api/worklist/?patient_name=muller*&limit=2&scheduled_procedure_step_start_date=-20261105"
    days = []
    while address:
        answer = ris.get(address)
        days += [row["scheduled_procedure_step_start_date"][-1] for row in answer.json()["results"]]
        address = answer.json()["next"]
        assert answer.headers.get("Link") == (f'<{address}>; rel="next"' if address else None)
    assert days == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("patient=17", "patient"),
        ("status=GONE", "status"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("after=x", "after"),
        ("scheduled_procedure_step_start_date=tomorrow", "scheduled_procedure_step_start_date"),
    ],
)
def test_a_wrong_parameter_is_named(ris: Client, query: str, wrong: str) -> None:
    answer = ris.get(f"/api/worklist/?{query}")
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {wrong}


def test_many_orders_are_answered_one_by_one(ris: Client) -> None:
    orders = [{**ORDER, "accession_number": "A1"}, {"patient_id": "18"}, {**ORDER, "accession_number": "A1"}]
    answer = send(ris, "post", "/api/worklist/bulk/", orders)
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 400, 201]
    assert results[1]["errors"] == {"patient_name": "is needed"}
    assert results[0]["row"]["accession_number"] == "A1"
    assert (answer.json()["created"], answer.json()["failed"]) == (2, 1)
    assert send(ris, "post", "/api/worklist/", orders[:1]).status_code == 201


def test_of_many_orders_all_or_none_are_made_where_that_is_asked_for(ris: Client) -> None:
    orders = [ORDER, {"patient_id": "18"}, ORDER]
    answer = send(ris, "post", "/api/worklist/?atomic=true", orders)
    assert answer.status_code == 400
    assert [result["status"] for result in answer.json()["results"]] == [424, 400, 424]
    assert not WorklistPatient.objects.exists()
    assert send(ris, "post", "/api/worklist/?atomic=true", [ORDER, ORDER]).status_code == 201
    assert RequestedProcedure.objects.count() == 2


@pytest.mark.parametrize("orders", [[], [ORDER] * 1001])
def test_orders_come_by_the_thousand_at_most(ris: Client, orders: list[Any]) -> None:
    assert send(ris, "post", "/api/worklist/bulk/", orders).status_code == 400
    assert not ScheduledProcedureStep.objects.exists()


def test_who_may_not_see_or_change_the_worklist_does_not(user: Callable[[str], Client], ris: Client) -> None:
    row = made(ris)
    address = f"/api/worklist/{row['id']}/"
    radiologist, clinician = user("Radiologists"), user("Clinicians")
    assert radiologist.get(address).status_code == 200
    assert clinician.get(address).status_code == clinician.get("/api/worklist/").status_code == 403
    for answer in (
        send(radiologist, "post", "/api/worklist/", ORDER),
        send(radiologist, "patch", address, {"modality": "MR"}),
        radiologist.delete(f"{address}?reason=x"),
    ):
        assert answer.status_code == 403
    assert Client().get(address).status_code == 401


def test_a_session_needs_its_token_and_basic_credentials_none(user: Callable[[str], Client]) -> None:
    user("Schedulers")
    careful = Client(enforce_csrf_checks=True)
    careful.login(username="schedulers", password="right-of-ours")
    assert send(careful, "post", "/api/worklist/", ORDER).status_code == 403
    credentials = b64encode(b"schedulers:right-of-ours").decode()
    basic = Client(enforce_csrf_checks=True)
    assert send(basic, "post", "/api/worklist/", ORDER, Authorization=f"Basic {credentials}").status_code == 201


@pytest.mark.parametrize("key", ["0", "999999", "9" * 30])
def test_a_step_there_is_not_is_not_found(ris: Client, key: str) -> None:
    for answer in (
        ris.get(f"/api/worklist/{key}/"),
        ris.get(f"/api/worklist/{key}/history/"),
        ris.delete(f"/api/worklist/{key}/?reason=x"),
        send(ris, "patch", f"/api/worklist/{key}/", {"modality": "CT"}),
        send(ris, "post", f"/api/worklist/{key}/cancel/", {"reason": "x"}),
        ris.get("/api/nothing/"),
    ):
        assert answer.status_code == 404
        assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("text", ["a\0b", "\x1b[31m"])
def test_a_control_character_is_nowhere_taken(ris: Client, text: str) -> None:
    address = f"/api/worklist/{made(ris)['id']}/"
    for answer, name in (
        (send(ris, "post", f"{address}cancel/", {"reason": text}), "reason"),
        (ris.delete(f"{address}?{urlencode({'reason': text})}"), "reason"),
        (send(ris, "patch", address, {"patient_comments": text}), "patient_comments"),
        (send(ris, "post", "/api/worklist/", {**ORDER, text: 1}), text),
        (ris.get("/api/worklist/?patient_id=a%00b"), "patient_id"),
    ):
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {name})
    other = {"00380060": {"vr": "LO", "Value": [text]}}
    kept = send(ris, "patch", address, {"other_attributes": other}).json()["other_attributes"]
    assert "\0" not in str(kept)
    assert "\x1b" not in str(kept)


def test_what_may_be_asked_is_told(ris: Client) -> None:
    answer = ris.options("/api/worklist/")
    assert (answer.status_code, answer["Allow"]) == (204, "GET, POST, HEAD, OPTIONS")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", ["false", "true"])
def test_many_orders_of_the_same_patients_at_once_wait_for_each_other_in_turn(ris: Client, atomic: str) -> None:
    """Each request is one transaction by its Idempotency-Key; both media types are sorted alike."""
    orders = [{**ORDER, "patient_id": f"P{number:02}", "accession_number": f"A{number:02}"} for number in range(20)]
    first = send(ris, "post", "/api/worklist/?atomic=true", orders).json()["results"]
    documents = [
        ris.get(f"/api/worklist/{each['row']['id']}/", headers={"Accept": "application/dicom+json"}).json()
        for each in first
    ]
    for document in documents:
        del document["00400100"]["Value"][0]["00400009"]  # a step of its own
    both = threading.Barrier(2)

    def send_all(number: int) -> int:
        body = json.dumps(documents[:: -1 if number else 1])
        try:
            both.wait(60)
            return ris.post(
                f"/api/worklist/bulk/?atomic={atomic}",
                body,
                content_type="application/dicom+json",
                headers={"Idempotency-Key": f"{number}"},
            ).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(send_all, range(2))) == [201, 201]
