"""`manage.py dicom commit`: asks, and waits for the report on either association."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from dicom.commitment import INSTANCE
from dicom.part10 import meta_group
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from tests.commitment.asking import ROLE
from tests.commitment.test_asking import Archive, report
from tests.node import free_port
from tests.storage import made
from tests.storage.made import CT, EXPLICIT, data_set

pytestmark = pytest.mark.django_db(transaction=True)


class Caller(Archive):
    """Reports on an association of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = free_port()

    def _tell(self, assoc: Any, request: Dataset) -> None:
        event_type, ds = report(request, self.failed)
        ae = AE("LTA")
        ae.add_requested_context(PUSH)
        own = ae.associate("127.0.0.1", self.calls, ext_neg=[ROLE])
        status, _ = own.send_n_event_report(ds, event_type, PUSH, INSTANCE)
        self.answers.append(status.Status)
        own.release()


@pytest.fixture(params=[Archive, Caller])
def remote(request: pytest.FixtureRequest) -> Archive:
    made_here: Archive = request.param()
    return made_here


@pytest.fixture
def target(remote: Archive) -> Iterator[str]:
    ae = AE("LTA")
    ae.add_supported_context(PUSH)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, remote.act)])
    try:
        yield f"LTA@127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()
        remote.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for uid in ("1.5.1", "1.5.2"):
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        (tmp_path / f"{uid}.dcm").write_bytes(meta + data_set(sop=uid))
    return tmp_path


def listening(remote: Archive) -> list[str]:
    return ["--listen", str(remote.calls)] if isinstance(remote, Caller) else []


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_is_kept_ends_well(target: str, remote: Archive, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("dicom", "commit", target, str(folder), "--json", *listening(remote))
    *told, last = lines(capsys)
    assert sorted((line["sop_instance_uid"], line["committed"]) for line in told) == [("1.5.1", True), ("1.5.2", True)]
    assert (last["committed"], last["failed"], last["reported"]) == (2, 0, True)
    remote.join()
    assert remote.answers == [0x0000]


def test_what_is_not_kept_is_named_and_makes_the_exit_status_1(
    target: str, remote: Archive, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.failed = {"1.5.2": 0x0112}
    with pytest.raises(SystemExit) as ended:
        call_command("dicom", "commit", target, str(folder), *listening(remote))
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "1.5.2: 0112 No such object instance" in said
    assert f"1 of 2 committed by {target}" in said
    assert "1.5.1" not in said


def test_instances_of_ours_are_asked_for_by_key(
    archive: None, target: str, remote: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    made.receive(sop="1.5.1")
    made.receive(sop="1.5.9", study="1.9", series="1.9.1")
    made.index()
    call_command("dicom", "commit", target, "-k", "StudyInstanceUID=1.2.3", "--json", *listening(remote))
    assert [line.get("sop_instance_uid") for line in lines(capsys)] == ["1.5.1", None]


@pytest.mark.parametrize("remote", [Archive], indirect=True)
def test_what_cannot_be_asked_says_why(target: str, remote: Archive, folder: Path) -> None:
    for words in ([], ["-k", "Modality=CT"], ["-k", "StudyInstanceUID"], [str(folder), "-k", "PatientID=1"]):
        with pytest.raises(CommandError):
            call_command("dicom", "commit", target, *words)
    assert not remote.requests


@pytest.mark.parametrize("remote", [Archive], indirect=True)
def test_who_refuses_or_never_reports_makes_the_exit_status_1(
    target: str, remote: Archive, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.status = 0x0213
    with pytest.raises(SystemExit):
        call_command("dicom", "commit", target, str(folder))
    assert "refused: Status 0213" in capsys.readouterr().out
    remote.status, remote.at_once = 0x0000, False
    with pytest.raises(SystemExit):
        call_command("dicom", "commit", target, str(folder), "--wait", "0.2")
    assert "has not reported in time" in capsys.readouterr().out


@pytest.mark.parametrize("remote", [Archive], indirect=True)
def test_a_port_that_is_taken_is_said(target: str, folder: Path) -> None:
    with pytest.raises(CommandError, match="Cannot listen on port"):
        call_command("dicom", "commit", target, str(folder), "--listen", target.rpartition(":")[2])
