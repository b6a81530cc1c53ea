"""Instances as a ZIP made by a job: whole, named for people, with a directory that others can read."""

import io
import os
import subprocess
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from pydicom import dcmread
from pytest_django import Settings

from apps.accounts.principal import Principal, system
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import principal_of
from apps.audit.models import AuditEvent
from apps.failpoints import arm
from apps.jobs import kind, queue
from apps.jobs.kind import NotAllowed
from apps.jobs.models import Job, JobState
from apps.jobs.run import JobRun
from apps.jobs.runner import run_due
from apps.qr import exporting
from apps.qr.folders import Folders, safe
from apps.qr.retrieve import Stored
from apps.storage.archive import delete
from apps.storage.models import Instance
from tests.peers import peer
from tests.qr.files import assert_same, keep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]

STUDY = ["1.2.3"]


@pytest.fixture
def user() -> User:
    made = User.objects.create_user("reader")
    made.groups.add(Group.objects.get_or_create(name="Radiologists")[0])
    return made


def asked(user: User, **arguments: Any) -> Job:
    return kind.request("export", principal=principal_of(user), arguments=arguments)


def run(job: Job) -> Job:
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    run_due()
    job.refresh_from_db()
    return job


def opened(job: Job) -> zipfile.ZipFile:
    path = exporting.path_of(job)
    assert path is not None
    return zipfile.ZipFile(path)


def test_a_study_is_exported_bit_by_bit_into_folders_that_people_can_read(user: User) -> None:
    kept = keep(1, 2, name="Doe^Jane", study_description="../CT: head", study_date="20261127")
    kept |= keep(1, series="1.2.3.2", name="Doe^Jane", modality="SR")
    job = run(asked(user, study_instance_uids=STUDY))
    assert (job.state, job.done, job.total, job.result["instances"]) == (JobState.SUCCEEDED, 3, 3, 3)
    with opened(job) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        got = {str(dcmread(io.BytesIO(data)).SOPInstanceUID): data for data in map(archive.read, names)}
    assert_same(kept, got)
    assert {name.split("/")[0] for name in names} == {"P1 Doe Jane"}
    assert {name.split("/")[1] for name in names} == {"20261127 .. CT head"}
    event = AuditEvent.objects.get(action="export")
    assert (event.actor_name, event.detail["studies"]) == ("reader", ["1.2.3"])


def test_the_directory_can_be_read_by_others_and_names_every_file(user: User, tmp_path: Path) -> None:
    keep(1, 2)
    keep(1, series="1.2.4.1", study="1.2.4", patient_id="P2")
    job = run(asked(user, study_instance_uids=["1.2.3", "1.2.4"], dicomdir=True))
    with opened(job) as archive:
        archive.extractall(tmp_path / "medium")
    directory = tmp_path / "medium" / "DICOMDIR"
    dumped = subprocess.run([peer("dcmdump"), str(directory)], capture_output=True, text=True, timeout=60)
    assert dumped.returncode == 0, dumped.stderr
    assert dumped.stdout.count("DirectoryRecordType") == 2 + 2 + 2 + 3
    named = [record for record in dcmread(directory).DirectoryRecordSequence if "ReferencedFileID" in record]
    assert len(named) == 3
    for record in named:
        path = directory.parent.joinpath(*record.ReferencedFileID)
        assert dcmread(path).SOPInstanceUID == record.ReferencedSOPInstanceUIDInFile
    # DCMTK makes its own of the same files, which it only does where names and contents are fit for a medium.
    command = [peer("dcmmkdir"), "+r", "+id", str(directory.parent), "+D", str(tmp_path / "OTHER"), "-Nrc", "-Nxc"]
    files = [str(Path(*record.ReferencedFileID)) for record in named]
    made = subprocess.run([*command, "+I", *files], capture_output=True, text=True, timeout=60)
    assert (tmp_path / "OTHER").exists(), made.stderr


@pytest.mark.parametrize("step", ["export.instance", "export.written", "export.made"])
def test_an_export_whose_worker_died_is_made_whole_by_the_next(user: User, step: str) -> None:
    kept = keep(1, 2, 3)
    job = asked(user, study_instance_uids=STUDY)
    arm(f"{step}:raise:1")
    run(job)
    arm("")
    (exporting.folder() / f"{job.pk}.1.part").write_bytes(b"of a worker that was killed")
    assert run(job).state == JobState.SUCCEEDED
    with opened(job) as archive:
        assert (archive.testzip(), len(archive.namelist())) == (None, len(kept))
    assert [path.name for path in exporting.folder().iterdir()] == [f"{job.pk}.zip"]


def test_an_export_that_is_cancelled_leaves_nothing(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1, 2, 3)
    job = asked(user, study_instance_uids=STUDY)
    named = exporting._named

    def cancelling(*arguments: Any) -> Any:
        for row in named(*arguments):
            queue.cancel(job, principal=principal_of(user))
            monkeypatch.setattr("apps.jobs.run.LOOK_EVERY", -1.0)
            yield row

    monkeypatch.setattr(exporting, "_named", cancelling)
    assert run(job).state == JobState.CANCELLED
    assert list(exporting.folder().iterdir()) == []


def test_who_asked_downloads_it_and_others_do_not(user: User, client: Client) -> None:
    keep(1)
    job = run(asked(user, study_instance_uids=STUDY))
    address = f"/api/jobs/{job.pk}/result/"
    client.force_login(user)
    answer = client.get(address)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert zipfile.ZipFile(io.BytesIO(b"".join(answer))).testzip() is None
    other = User.objects.create_user("other")
    other.groups.set(user.groups.all())
    client.force_login(other)
    assert client.get(address).status_code == 404
    user.groups.clear()
    client.force_login(user)
    assert client.get(address).status_code == 403


def test_an_export_expires(user: User, client: Client) -> None:
    keep(1)
    job = run(asked(user, study_instance_uids=STUDY))
    path = exporting.path_of(job)
    assert path is not None
    queue.submit(kind="prune_exports", principal=Principal.from_plain(job.principal | {"kind": "system"}))
    run_due()
    assert path.exists()
    old = (timezone.now() - timedelta(days=exporting.DAYS + 1)).timestamp()
    os.utime(path, (old, old))
    queue.submit(kind="prune_exports", principal=Principal.from_plain(job.principal | {"kind": "system"}))
    run_due()
    assert not path.exists()
    client.force_login(user)
    assert client.get(f"/api/jobs/{job.pk}/result/").status_code == 404


def test_what_cannot_be_exported_is_named(user: User) -> None:
    keep(1)
    wrong: list[dict[str, Any]] = [
        {},
        {"study_instance_uids": ["1.2.9"]},
        {"study_instance_uids": "1.2.3"},
        {"series_instance_uids": ["x"]},
        {"study_instance_uids": STUDY, "dicomdir": "yes"},
        {"study_instance_uids": STUDY, "folder": "/"},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidRequest):
            asked(user, **arguments)
    user.groups.clear()
    with pytest.raises(NotAllowed):
        asked(user, study_instance_uids=STUDY)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etc passwd"),
        ("CT: head\\neck\0", "CT head neck"),
        ("Müller Jürgen", "Müller Jürgen"),
        ("CON", "CON file"),
        ("lpt1.txt", "lpt1.txt file"),
        (" . ", "other"),
        ("x" * 300, "x" * 60),
        ("=cmd|'/c calc'", "cmd c calc"),
    ],
)
def test_names_are_safe_everywhere(text: str, name: str) -> None:
    assert safe(text, otherwise="other") == name


def test_two_that_would_be_called_alike_are_kept_apart() -> None:
    folders = Folders()
    first = folders.name(1, "P1", "Doe^J", "1.1", "20261127", "Head", "1.1.1", "1", "CT", "")
    second = folders.name(1, "P1", "Doe^J", "1.2", "20261127", "HEAD", "1.2.1", "1", "CT", "")
    assert first == "P1 Doe J/20261127 Head/1 CT/000001.dcm"
    assert second == "P1 Doe J/20261127 HEAD (2)/1 CT/000001.dcm"
    nobody = [folders.name(int(uid[-1]), "", "", uid, "", "", f"{uid}.1", "", "", "") for uid in ("1.3", "1.4")]
    assert nobody == ["patient/study/series/000001.dcm", "patient (2)/study/series/000001.dcm"]


def test_people_of_the_same_id_or_of_none_are_kept_apart(user: User) -> None:
    """Of different issuers, the same ID is another person's (WIRE 14)."""
    keep(1, series="1.2.1.1", study="1.2.1", patient_id="P1", issuer="A", name="Doe^John")
    keep(1, series="1.2.2.1", study="1.2.2", patient_id="P1", issuer="B", name="Roe^Jane")
    for study in ("1.2.3", "1.2.4"):
        keep(1, series=f"{study}.1", study=study, patient_id=None, name=f"Nobody^{study}")
    studies = ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    with opened(run(asked(user, study_instance_uids=studies))) as archive:
        names = {name.split("/")[0] for name in archive.namelist()}
    assert names == {"P1 Doe John", "P1 Roe Jane", "Nobody 1.2.3", "Nobody 1.2.4"}
    with opened(run(asked(user, study_instance_uids=["1.2.3", "1.2.4"], dicomdir=True))) as archive:
        records = dcmread(io.BytesIO(archive.read("DICOMDIR"))).DirectoryRecordSequence
    assert sum(record.DirectoryRecordType == "PATIENT" for record in records) == 2


@pytest.mark.parametrize("dicomdir", [False, True])
def test_an_export_that_lacks_a_file_has_failed_is_there_and_is_whole_once_the_file_is(
    dicomdir: bool, user: User, settings: Settings
) -> None:
    keep(1, 2, 3)
    path = Path(settings.ARCHIVE) / Instance.objects.get(sop_instance_uid="1.2.3.1.2").path
    path.rename(aside := path.with_suffix(".aside"))
    job = run(asked(user, study_instance_uids=STUDY, dicomdir=dicomdir))
    assert (job.state, job.result["instances"]) == (JobState.FAILED, 2)
    assert job.error == "1 files cannot be read and are left out: the log names them"
    assert "1.2.3.1.2 is left out" in "".join(job.lines.values_list("text", flat=True))
    with opened(job) as archive:
        assert len(archive.namelist()) == 2 + dicomdir
    aside.rename(path)
    queue.retry(job, principal=system("test"))
    run(job)
    assert (job.state, job.result["instances"], job.error) == (JobState.SUCCEEDED, 3, "")
    with opened(job) as archive:
        assert len(archive.namelist()) == 3 + dicomdir


def test_what_was_asked_for_and_is_not_here_is_named(user: User) -> None:
    keep(1)
    job = run(asked(user, study_instance_uids=["1.2.3", "1.2.9"], sop_instance_uids=["1.2.3.1.1", "1.2.3.1.99"]))
    lines = list(job.lines.values_list("text", flat=True))
    assert lines[:2] == ["Nothing of the study 1.2.9 is here", "Nothing of the instance 1.2.3.1.99 is here"]


def test_what_is_deleted_meanwhile_is_not_counted(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1, 2)
    job = asked(user, study_instance_uids=STUDY)
    rows = exporting._rows

    def deleting(run: JobRun) -> list[Stored]:
        found = rows(run)
        delete(
            principal=system("test"),
            study_instance_uid="1.2.3",
            series_instance_uid="1.2.3.1",
            sop_instance_uids=["1.2.3.1.2"],
            reason="by mistake",
        )
        return found

    monkeypatch.setattr(exporting, "_rows", deleting)
    run(job)
    assert (job.state, job.result["instances"]) == (JobState.SUCCEEDED, 1)
    assert "1.2.3.1.2 is left out" in "".join(job.lines.values_list("text", flat=True))
    with opened(job) as archive:
        assert len(archive.namelist()) == 1
