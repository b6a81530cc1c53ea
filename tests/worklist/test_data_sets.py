"""REST of the worklist in the DICOM JSON model."""

import json
from typing import Any

import pydicom
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from apps.worklist.models import ScheduledProcedureStep

pytestmark = pytest.mark.django_db

DICOM_JSON = "application/dicom+json"
CODE = {
    "00080100": {"vr": "SH", "Value": ["CTHEAD"]},
    "00080102": {"vr": "SH", "Value": ["99LOCAL"]},
    "00080104": {"vr": "LO", "Value": ["CT head"]},
}
# With what has no field of its own, inside and outside of the step.
ITEM: dict[str, Any] = {
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jürgen", "Ideographic": "山田^太郎"}]},
    "00100020": {"vr": "LO", "Value": ["17"]},
    "00101030": {"vr": "DS", "Value": [71.5]},
    "00080051": {"vr": "SQ", "Value": [{"00400031": {"vr": "UT", "Value": ["CLINIC"]}}]},
    "00080050": {"vr": "SH", "Value": ["A1"]},
    "00321064": {"vr": "SQ", "Value": [{**CODE, "0008010F": {"vr": "CS", "Value": ["4031"]}}]},
    "00380060": {"vr": "LO", "Value": ["service episode"]},
    "00400100": {
        "vr": "SQ",
        "Value": [
            {
                "00080060": {"vr": "CS", "Value": ["CT"]},
                "00400001": {"vr": "AE", "Value": ["CT1", "CT2"]},
                "00400002": {"vr": "DA", "Value": ["20261125"]},
                "00400003": {"vr": "TM", "Value": ["0830"]},
                "00400020": {"vr": "CS", "Value": ["ARRIVED"]},
                "00189445": {"vr": "ST", "Value": ["of another group"]},
            }
        ],
    },
}


@pytest.fixture
def ris() -> Client:
    made = User.objects.create_user("ris")
    made.groups.add(Group.objects.get_or_create(name="Schedulers")[0])
    client = Client()
    client.force_login(made)
    return client


def send(client: Client, method: str, path: str, document: Any, accept: str = DICOM_JSON) -> Any:
    body = json.dumps(document)
    return getattr(client, method)(path, body, content_type=DICOM_JSON, headers={"Accept": accept})


def test_a_data_set_makes_a_step_and_comes_back_whole(ris: Client) -> None:
    answer = send(ris, "post", "/api/worklist/", ITEM)
    assert (answer.status_code, answer["Content-Type"]) == (201, DICOM_JSON)
    data_set = answer.json()
    step, wanted = data_set.pop("00400100")["Value"][0], dict(ITEM)
    wanted_step = {**wanted.pop("00400100")["Value"][0], "00400003": {"vr": "TM", "Value": ["083000"]}}
    assert {tag: data_set[tag] for tag in wanted} == wanted
    assert {tag: step[tag] for tag in wanted_step} == wanted_step
    row = ris.get(answer["Location"]).json()
    assert row["patient_name"] == "Müller^Jürgen=山田^太郎"
    assert (row["status"], row["scheduled_station_ae_title"], row["patient_weight"]) == ("ARRIVED", "CT1\\CT2", "71.5")
    assert row["issuer_of_accession_number"] == "CLINIC"
    code = {"code_value": "CTHEAD", "coding_scheme_designator": "99LOCAL", "code_meaning": "CT head"}
    assert row["requested_procedure_code_sequence"] == [{**code, "0008010F": {"vr": "CS", "Value": ["4031"]}}]
    others = row["other_attributes"]
    assert others.keys() == {"00380060", "00400100"}
    assert others["00400100"]["Value"] == [{"00189445": {"vr": "ST", "Value": ["of another group"]}}]


def test_what_pydicom_reads_of_it_is_what_was_said(ris: Client) -> None:
    send(ris, "post", "/api/worklist/", ITEM)
    listed = ris.get("/api/worklist/", headers={"Accept": DICOM_JSON})
    assert listed["Content-Type"] == DICOM_JSON
    (item,) = listed.json()
    dataset = pydicom.Dataset.from_json(item)
    assert dataset.PatientName.alphabetic == "Müller^Jürgen"
    (step,) = dataset.ScheduledProcedureStepSequence
    assert list(step.ScheduledStationAETitle) == ["CT1", "CT2"]
    assert step.ScheduledProcedureStepStatus == "ARRIVED"
    assert dataset.StudyInstanceUID


def test_a_row_of_flat_json_brings_what_has_no_field_back(ris: Client) -> None:
    address = send(ris, "post", "/api/worklist/", ITEM)["Location"]
    row = ris.get(address).json()
    again = ris.put(address, json.dumps(row), content_type="application/json")
    assert again.status_code == 200, again.content
    assert again.json() == row
    other = {"00380062": {"vr": "LO", "Value": ["x"]}}
    changed = ris.patch(address, json.dumps({"other_attributes": other}), content_type="application/json").json()
    assert changed["other_attributes"].keys() == {"00380060", "00380062", "00400100"}
    named = json.dumps({"other_attributes": {"00100020": {"vr": "LO", "Value": ["18"]}}})
    refused = ris.patch(address, named, content_type="application/json")
    assert (refused.status_code, set(refused.json()["errors"])) == (400, {"other_attributes"})


def test_a_data_set_changes_what_it_says(ris: Client) -> None:
    address = send(ris, "post", "/api/worklist/", ITEM)["Location"]
    changes = {"00400100": {"vr": "SQ", "Value": [{"00080060": {"vr": "CS", "Value": ["MR"]}}]}}
    changed = send(ris, "patch", address, changes, accept="application/json").json()
    assert (changed["modality"], changed["patient_weight"]) == ("MR", "71.5")
    replaced = send(ris, "put", address, changes, accept="application/json").json()
    assert (replaced["modality"], replaced["patient_weight"], replaced["patient_id"]) == ("MR", "", "17")


@pytest.mark.parametrize(
    ("elements", "wrong"),
    [
        ({"PatientID": {"vr": "LO", "Value": ["17"]}}, "body"),
        ({"00100020": "17"}, "patient_id"),
        ({"00100020": {"vr": "LO", "Value": "17"}}, "patient_id"),
        ({"00100020": {"vr": "LO", "Value": [{}]}}, "patient_id"),
        ({"00100020": {"vr": "ZZ", "Value": ["17"]}}, "patient_id"),
        ({"00100030": {"vr": "DA", "Value": ["20260230"]}}, "patient_birth_date"),
        ({"00081120": {"vr": "SQ", "BulkDataURI": "/etc/passwd"}}, "00081120"),
        ({"00400100": {"vr": "SQ", "Value": [{}, {}]}}, "00400100"),
    ],
)
def test_a_wrong_element_is_named(ris: Client, elements: dict[str, Any], wrong: str) -> None:
    answer = send(ris, "post", "/api/worklist/", {**ITEM, **elements})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert set(answer.json()["errors"]) == {wrong}
    assert not ScheduledProcedureStep.objects.exists()


def test_many_data_sets_are_answered_one_by_one(ris: Client) -> None:
    answer = send(ris, "post", "/api/worklist/", [ITEM, {}])
    assert (answer.status_code, answer["Content-Type"]) == (207, "application/json")
    assert [result["status"] for result in answer.json()["results"]] == [201, 400]


def test_a_form_that_nobody_makes_is_not_acceptable(ris: Client) -> None:
    assert ris.get("/api/worklist/", headers={"Accept": "text/html"}).status_code == 406
