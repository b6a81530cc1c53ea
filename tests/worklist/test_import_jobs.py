"""Jobs that import the worklists of others: DCMTK's, by its service and from its folder."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pydicom.data import get_testdata_file
from pytest_django import Settings

from apps.accounts.principal import Kind, Principal, system
from apps.accounts.rest import InvalidRequest
from apps.jobs import kind
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.network.models import Peer
from apps.worklist import import_jobs
from apps.worklist.models import ScheduledProcedureStep
from dicom.dimse import Timeouts
from dicom.sop_classes import Service
from tests.node import free_port
from tests.qr.indexing import cancelled_when
from tests.remotes import deaf
from tests.worklist.test_importing import item, written
from tests.worklist.wlmscpfs import AE_TITLE, Wlmscpfs, running

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wlmscpfs]:
    with running(tmp_path_factory.mktemp("wlistdb")) as server:
        yield server


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.WORKLIST_FOLDER = tmp_path / "worklist"
    settings.WORKLIST_FOLDER.mkdir()
    return tmp_path / "worklist"


def known(port: int) -> None:
    Peer.objects.create(name="ris", ae_title=AE_TITLE, host="127.0.0.1", port=port)


def ran(**arguments: Any) -> Job:
    job = kind.request("import_worklist", principal=system("test"), arguments=arguments)
    run_due()
    job.refresh_from_db()
    return job


def test_all_that_the_peer_has_becomes_orders_and_a_second_time_none_is_new(theirs: Wlmscpfs) -> None:
    known(theirs.port)
    job = ran(peer="ris")
    steps = ScheduledProcedureStep.objects.count()
    assert steps == len(list(theirs.items.glob("*.wl")))
    assert (job.state, job.error, job.result["new"], job.done) == (JobState.SUCCEEDED, "", steps, steps)
    again = ran(peer="ris")
    # Of patients of several items, who say different things of them, the last one counts.
    known_already = again.result["unchanged"] + again.result["changed"]
    assert (again.state, again.result["new"], known_already) == (JobState.SUCCEEDED, 0, steps)
    assert ScheduledProcedureStep.objects.count() == steps


def test_only_what_the_keys_name_is_asked_for(theirs: Wlmscpfs) -> None:
    known(theirs.port)
    patient = next(iter(theirs.patients), None) or "AV35674"
    ran(peer="ris", keys={"patient_id": patient})
    found = set(
        ScheduledProcedureStep.objects.with_order().values_list(
            "requested_procedure__imaging_service_request__patient__patient_id", flat=True
        )
    )
    assert found == {patient}
    assert ran(peer="ris", days=1).result["new"] == 0  # they are of another century


def test_a_folder_is_read_with_all_below_it_and_what_is_no_item_is_named(folder: Path) -> None:
    (folder / "ct").mkdir()
    written(folder / "ct" / "a.wl", item("S1", "S2"))
    (folder / "ct" / "notes.txt").write_text("nothing")
    (folder / "ct" / "image.dcm").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    (folder / "lockfile").touch()
    job = ran(folder="ct")
    assert (job.state, job.error) == (JobState.FAILED, "2 of 4 could not be taken; the log says why")
    assert (job.result["new"], job.result["unreadable"]) == (2, 2)
    said = "\n".join(job.lines.values_list("text", flat=True))
    assert "image.dcm: No worklist item: it schedules no step" in said
    assert "notes.txt: " in said


@pytest.mark.parametrize("path", ["..", "/etc", "missing", "../worklist2", "link"])
def test_no_other_folder_is_read(path: str, folder: Path) -> None:
    (folder.parent / "worklist2").mkdir()
    (folder / "link").symlink_to(folder.parent)
    with pytest.raises(InvalidRequest):
        ran(folder=path)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"peer": "nobody"},
        {"peer": "ris", "folder": "."},
        {"folder": ".", "days": 1},
        {"peer": "ris", "days": -1},
        {"peer": "ris", "days": 1, "keys": {"scheduled_procedure_step_start_date": "20260101"}},
        {"peer": "ris", "keys": {"colour": "red"}},
        {"peer": "ris", "keys": {"modality": 1}},
        {"peer": "ris", "colour": "red"},
    ],
)
def test_what_cannot_be_imported_is_refused_when_it_is_asked_for(arguments: dict[str, Any]) -> None:
    known(free_port())
    with pytest.raises(InvalidRequest):
        ran(**arguments)


def test_a_peer_that_is_away_is_asked_again() -> None:
    known(free_port())
    job = ran(peer="ris")
    assert job.state == JobState.QUEUED
    assert job.due_at > timezone.now()
    assert job.error.startswith("ris: Cannot connect")


def test_an_import_is_cancelled_though_the_peer_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_jobs, "PATIENCE", Timeouts(acse=300))
    heard = threading.Event()
    with deaf(heard) as port:
        known(port)
        job = kind.request("import_worklist", principal=system("test"), arguments={"peer": "ris"})
        canceller = cancelled_when(heard, job)
        run_due()
        canceller.join()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_who_may_schedule_may_import() -> None:
    scheduler = Principal(kind=Kind.USER, name="s", services=frozenset({Service.WORKLIST, Service.MPPS}))
    reader = Principal(kind=Kind.USER, name="r", services=frozenset({Service.WORKLIST}))
    modality = Principal(kind=Kind.PEER, name="m", services=frozenset(Service))
    assert [import_jobs.may_import(who) for who in (scheduler, reader, modality)] == [True, False, False]
