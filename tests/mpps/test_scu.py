"""Reports of ours, as pynetdicom takes them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from apps.network.models import Peer
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE as RETRIEVE

pytestmark = pytest.mark.django_db


class Kept:
    """A system that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: dict[str, Dataset] = {}
        self.status = 0x0000

    def create(self, event: Any) -> tuple[int, Dataset | None]:
        if self.status == 0x0000:
            self.steps[str(event.request.AffectedSOPInstanceUID)] = event.attribute_list
        return self.status, None

    def change(self, event: Any) -> tuple[int, Dataset | None]:
        step = self.steps.get(str(event.request.RequestedSOPInstanceUID))
        if step is None:
            return 0x0112, None
        step.update(event.modification_list)
        return 0x0000, None

    def get(self, event: Any) -> tuple[int, Dataset | None]:
        return 0x0000, self.steps[str(event.request.RequestedSOPInstanceUID)]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def ris(kept: Kept) -> Iterator[str]:
    """AET@HOST:PORT of a RIS."""
    ae = AE("RIS")
    ae.add_supported_context(MPPS)
    ae.add_supported_context(RETRIEVE)
    handlers = [(evt.EVT_N_CREATE, kept.create), (evt.EVT_N_SET, kept.change), (evt.EVT_N_GET, kept.get)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield f"RIS@127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()


def report(ris: str, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    call_command("dicom", "mpps", ris, *words, "--json")
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_step_is_reported_from_its_beginning_to_its_end(
    ris: str, kept: Kept, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    keys = [
        "ScheduledStepAttributesSequence.StudyInstanceUID=1.2.3",
        "ScheduledStepAttributesSequence.ScheduledProcedureStepID=S1",
        "PatientID=17",
        "PatientName=Müller^Jörg",
        "Modality=CT",
    ]
    told = report(ris, capsys, "create", *(word for key in keys for word in ("-k", key)))
    uid = told["sop_instance_uid"]
    step = kept.steps[uid]
    assert step.PerformedProcedureStepStatus == "IN PROGRESS"
    assert step.PatientName == "Müller^Jörg"
    assert step.PerformedStationAETitle == "PACS"
    assert step.ScheduledStepAttributesSequence[0].ScheduledProcedureStepID == "S1"
    assert "ReferencedPatientSequence" in step
    assert step.PerformedProcedureStepStartDate
    report(ris, capsys, "set", uid, "-k", "PerformedProcedureStepDescription=Head")
    assert step.PerformedProcedureStepDescription == "Head"
    series = tmp_path / "series.json"
    item = {"0020000E": {"vr": "UI", "Value": ["1.2.3.1"]}, "00181030": {"vr": "LO", "Value": ["HEAD"]}}
    series.write_text(json.dumps([{"00400340": {"vr": "SQ", "Value": [item]}}]))
    report(ris, capsys, "complete", uid, "--file", str(series))
    assert step.PerformedProcedureStepStatus == "COMPLETED"
    assert step.PerformedProcedureStepEndTime
    assert step.PerformedSeriesSequence[0].SeriesInstanceUID == "1.2.3.1"
    got = report(ris, capsys, "get", uid)
    assert got["00400252"]["Value"] == ["COMPLETED"]


def test_a_step_is_discontinued(ris: str, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    uid = report(ris, capsys, "create", "1.2.9")["sop_instance_uid"]
    assert uid == "1.2.9"
    reason = "PerformedProcedureStepDiscontinuationReasonCodeSequence"
    report(ris, capsys, "discontinue", uid, "-k", f"{reason}.CodeValue=110513")
    assert kept.steps[uid].PerformedProcedureStepStatus == "DISCONTINUED"
    assert kept.steps[uid][reason][0].CodeValue == "110513"


def test_a_refusal_is_told_with_its_status(ris: str, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    kept.status = 0x0111
    with pytest.raises(SystemExit) as ended:
        report(ris, capsys, "create", "1.2.9")
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["status"] == "0111"


class TestOverRest:
    @pytest.fixture(autouse=True)
    def _peer(self, ris: str) -> None:
        Peer.objects.create(name="RIS", ae_title="RIS", host="127.0.0.1", port=int(ris.rpartition(":")[2]))

    def post(self, client: Client, **said: Any) -> tuple[int, dict[str, Any]]:
        answer = client.post("/api/procedure-steps/report/", said, content_type="application/json")
        document: dict[str, Any] = answer.json()
        return answer.status_code, document

    def test_a_step_is_reported(self, admin_client: Client, kept: Kept) -> None:
        attributes = {"00100020": {"vr": "LO", "Value": ["17"]}}
        status, told = self.post(admin_client, peer="RIS", action="create", attributes=attributes)
        assert (status, told["status"]) == (200, "0000")
        uid = told["sop_instance_uid"]
        assert kept.steps[uid].PatientID == "17"
        assert self.post(admin_client, peer="RIS", action="complete", sop_instance_uid=uid)[0] == 200
        assert kept.steps[uid].PerformedProcedureStepStatus == "COMPLETED"

    def test_what_the_peer_refuses_is_told(self, admin_client: Client, kept: Kept) -> None:
        kept.status = 0x0111
        status, told = self.post(admin_client, peer="RIS", action="create")
        assert (status, "0111" in told["title"]) == (502, True)

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            ({"peer": "RIS", "action": "create", "attributes": {"0010": 1}}, 400),
            ({"peer": "RIS", "action": "create", "attributes": [1]}, 400),
            ({"peer": "RIS", "action": "create", "attributes": {"00080060": {"vr": "CS", "Value": [{}]}}}, 400),
            ({"peer": "RIS", "action": "cancel"}, 400),
            ({"peer": "RIS", "action": "set", "sop_instance_uid": "x"}, 400),
            ({"peer": "nobody", "action": "create"}, 404),
            ({"peer": "RIS"}, 400),
        ],
    )
    def test_a_wrong_request_says_so(self, admin_client: Client, said: dict[str, Any], status: int) -> None:
        assert self.post(admin_client, **said)[0] == status

    def test_who_only_reads_reports_nothing(self, client: Client, kept: Kept) -> None:
        user = User.objects.create_user("reader")
        user.groups.add(Group.objects.get(name="Radiologists"))
        client.force_login(user)
        assert self.post(client, peer="RIS", action="create")[0] == 403
        assert not kept.steps


@pytest.mark.parametrize("words", [("set",), ("create", "--file", "nowhere.json"), ("create", "-k", "NoSuchKey=1")])
def test_a_wrong_command_line_says_so(ris: str, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("dicom", "mpps", ris, *words)
