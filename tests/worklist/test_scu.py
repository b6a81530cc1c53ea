"""`manage.py dicom worklist`: what a remote worklist has, and its import."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.network.models import Peer
from apps.worklist.models import ScheduledProcedureStep, StepStatus, WorklistPatient
from tests.node import free_port
from tests.worklist.asking import ordered
from tests.worklist.conftest import Serve
from tests.worklist.wlmscpfs import AE_TITLE, Wlmscpfs, running

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wlmscpfs]:
    with running(tmp_path_factory.mktemp("wlistdb")) as server:
        yield server


def run(port: int, *arguments: str, ae_title: str = AE_TITLE) -> tuple[str, int]:
    """What the command says, and its exit status."""
    output, status = StringIO(), 0
    try:
        call_command("dicom", "worklist", f"{ae_title}@127.0.0.1:{port}", *arguments, stdout=output)
    except SystemExit as error:
        status = int(str(error.code))
    return output.getvalue(), status


def records(port: int, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(port, *arguments, "--json")[0].splitlines()]


@pytest.mark.django_db
def test_a_remote_worklist_is_shown_as_a_table(theirs: Wlmscpfs) -> None:
    text, status = run(theirs.port, "-k", "Modality=MR", "-k", "PatientName=VIV*")
    head, _, *lines, total = text.splitlines()
    assert (status, total) == (0, "1 answer")
    assert {"PatientName", "Modality", "ScheduledProcedureStepStartDate"} <= set(head.split())
    assert {"VIVALDI^ANTONIO", "MR", "AA32\\AA33"} <= set(lines[0].split())
    assert run(theirs.port, "-k", "PatientID=nobody") == ("0 answers\n", 0)


@pytest.mark.django_db
def test_what_a_remote_worklist_has_is_taken_and_told(theirs: Wlmscpfs) -> None:
    outcomes = [line["outcome"] for line in records(theirs.port, "--import") if "outcome" in line]
    assert outcomes == ["new"] * 10
    assert WorklistPatient.objects.count() == 4
    step = ScheduledProcedureStep.objects.with_order().get(scheduled_procedure_step_id="SPD3445")
    assert (step.modality, step.scheduled_station_ae_title, step.requested_contrast_agent) == (
        "MR",
        "AA32\\AA33",
        "BARIUMSULFAT",
    )
    assert step.requested_procedure.requested_procedure_priority == "LOW"
    text, status = run(theirs.port, "--import", "-k", "PatientID=BLV734623", "-k", "AccessionNumber=00008")
    assert (text.splitlines()[-1], status) == ("1 unchanged", 0)
    WorklistPatient.objects.filter(patient_id="BLV734623").update(patient_name="ELISE", patient_name_key="elise")
    text, status = run(theirs.port, "--import", "-k", "PatientID=BLV734623")
    assert (text.splitlines()[-1], status) == ("2 conflict", 1)
    assert "patient_name: the patient of this ID has another: ELISE" in text


def test_our_own_worklist_is_taken_back_unchanged(serve: Serve) -> None:
    ordered("S1", status=StepStatus.READY, patient_name="Müller^Jürgen", issuer_of_accession_number="RIS")
    ordered("S2", patient_id="18", scheduled_station_ae_title="", patient_sex="F", medical_alerts="a\\b")
    lines = [line for line in records(serve().port, "--import") if "outcome" in line]
    assert [(line["outcome"], line.get("changed")) for line in lines] == [
        ("unchanged", None),
        ("changed", ["scheduled_station_ae_title"]),  # for whichever asks
    ]


@pytest.mark.django_db
def test_nobody_there_or_a_key_that_is_none_is_an_error(theirs: Wlmscpfs) -> None:
    for arguments in (["-k", "Nonsense=1"], ["-k", "PatientID.Modality=CT"]):
        with pytest.raises(CommandError):
            run(theirs.port, *arguments)
    with pytest.raises(CommandError):
        run(1)


def remote(client: Client, **said: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post("/api/worklist/remote/", said, content_type="application/json")
    document: dict[str, Any] = answer.json()
    return answer.status_code, document


@pytest.mark.django_db
def test_a_remote_worklist_is_asked_over_rest_and_taken_when_that_is_meant(
    theirs: Wlmscpfs, admin_client: Client
) -> None:
    Peer.objects.create(name="RIS", ae_title=AE_TITLE, host="127.0.0.1", port=theirs.port)
    keys = {"modality": "MR", "patient_name": "VIV*"}
    status, told = remote(admin_client, peer="RIS", keys=keys)
    assert (status, told["imported"]) == (200, False)
    assert [(line["outcome"], line["scheduled_procedure_step_id"]) for line in told["results"]] == [("new", "SPD3445")]
    assert told["results"][0]["attributes"]["00100020"]["Value"] == ["AV35674"]
    assert not ScheduledProcedureStep.objects.exists()
    status, told = remote(admin_client, peer="RIS", keys=keys, **{"import": True})
    assert (status, [line["outcome"] for line in told["results"]]) == (200, ["new"])
    assert ScheduledProcedureStep.objects.get().scheduled_procedure_step_id == "SPD3445"
    assert [line["outcome"] for line in remote(admin_client, peer="RIS", keys=keys)[1]["results"]] == ["unchanged"]
    assert len(remote(admin_client, peer="RIS")[1]["results"]) == 10


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"peer": "nobody"}, 404),
        ({"peer": "away"}, 502),
        ({"peer": "away", "limit": 0}, 400),
        ({"peer": "away", "keys": {"nothing": "x"}}, 400),
        ({"peer": "away", "keys": ["x"]}, 400),
        ({"peer": "away", "import": "yes"}, 400),
        ({}, 400),
    ],
)
def test_a_remote_worklist_that_cannot_be_asked_says_why(
    admin_client: Client, said: dict[str, Any], status: int
) -> None:
    Peer.objects.create(name="away", ae_title="AWAY", host="127.0.0.1", port=free_port())
    assert remote(admin_client, **said)[0] == status
