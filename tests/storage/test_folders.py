"""A folder of the server is imported by a job, where the installation says that it may be."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pydicom.data import get_testdata_file
from pytest_django import Settings

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import principal_of
from apps.jobs import kind
from apps.jobs.models import Job, JobState
from apps.jobs.run import Cancelled
from apps.jobs.runner import run_due
from apps.storage import folders, importing
from apps.storage.models import Instance

pytestmark = pytest.mark.django_db(transaction=True)

FILES = ("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm")


@pytest.fixture
def admin() -> Principal:
    return principal_of(User.objects.create_superuser("root"))


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    made = tmp_path / "import"
    (made / "old").mkdir(parents=True)
    settings.IMPORT_FROM = [str(made)]
    for name in FILES:
        (made / "old" / name).write_bytes(Path(str(get_testdata_file(name))).read_bytes())
    (made / "old" / "notes.txt").write_text("no images in here")
    return made


def asked(admin: Principal, folder: object) -> Job:
    return kind.request("import", principal=admin, arguments={"folder": folder})


def run(job: Job) -> Job:
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    run_due()
    job.refresh_from_db()
    return job


def test_a_folder_is_imported_and_again_without_harm(admin: Principal, root: Path) -> None:
    job = run(asked(admin, str(root / "old")))
    assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, 4, 4)
    held = Instance.objects.count()
    assert job.result["imported"] == held > 0
    assert job.result["not_dicom"] == 1
    again = run(asked(admin, str(root / "old")))
    assert (again.result["imported"], Instance.objects.count()) == (0, held)
    assert again.result["known"] == 3


def test_what_was_refused_is_named_with_its_reason(
    admin: Principal, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    for name in (b"cut.dcm", "größe.dcm".encode("latin-1")):
        Path(os.fsdecode(os.fsencode(root / "old") + b"/" + name)).write_bytes(whole[: len(whole) // 2])
    job = run(asked(admin, str(root / "old")))
    assert (job.state, job.result["refused"]) == (JobState.FAILED, 2)
    said = list(job.lines.order_by("pk").values_list("text", flat=True))
    assert said[0].startswith("cut.dcm is refused: C000: Data set ends within")
    assert said[1].startswith("gr\ufffd\ufffde.dcm is refused: C000: ")
    assert "2 refused" in said[2]
    monkeypatch.setattr(folders, "_MOST_NAMED", 1)
    again = list(run(asked(admin, str(root / "old"))).lines.order_by("pk").values_list("text", flat=True))
    assert again[1].startswith("and 1 more files")
    assert again[2].startswith("2 x C000")


def test_a_folder_elsewhere_is_refused_whatever_way_it_is_named(admin: Principal, root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (root / "link").symlink_to(elsewhere)
    wrong = [str(elsewhere), f"{root}/old/../../elsewhere", str(root / "link"), "import/old", str(root / "none"), "", 7]
    for folder in [*wrong, str(root / "old" / FILES[0])]:
        with pytest.raises(InvalidRequest) as refused:
            asked(admin, folder)
        assert list(refused.value.errors) == ["folder"]


def test_a_link_that_leads_elsewhere_is_not_followed(admin: Principal, root: Path) -> None:
    outside = root.parent / "secret.dcm"
    (root / "old" / FILES[0]).rename(outside)
    (root / "old" / "link.dcm").symlink_to(outside)
    job = run(asked(admin, str(root / "old")))
    assert (job.total, job.result["known"] + job.result["imported"]) == (3, 2)


def test_without_a_setting_nothing_may_be_imported(admin: Principal, root: Path, settings: Settings) -> None:
    job = asked(admin, str(root / "old"))
    settings.IMPORT_FROM = []
    with pytest.raises(InvalidRequest):
        asked(admin, str(root / "old"))
    assert run(job).state == JobState.FAILED
    assert not Instance.objects.exists()


def test_an_import_that_was_broken_off_keeps_what_it_has_and_goes_on(
    admin: Principal, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = asked(admin, str(root / "old"))
    one = importing._one

    def cancelled(path: Path, report: importing.Report) -> str | None:
        if path.name == FILES[-1]:
            raise Cancelled
        return one(path, report)

    monkeypatch.setattr(importing, "_one", cancelled)
    assert run(job).state == JobState.CANCELLED
    held = Instance.objects.count()
    assert held > 0
    monkeypatch.setattr(importing, "_one", one)
    rest = run(asked(admin, str(root / "old")))
    assert rest.state == JobState.SUCCEEDED
    assert rest.result["known"] >= held


def test_what_cannot_be_read_fails_the_job_and_is_named(
    admin: Principal, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "old" / "closed").mkdir()
    os.mkfifo(root / "old" / "pipe")
    os.mkfifo(os.fsencode(root / "old") + b"/\xff\n")
    (root / "old" / "round").symlink_to("round")
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    job = run(asked(admin, str(root / "old")))
    assert (job.state, job.error) == (JobState.FAILED, "4 files or folders were not taken: the log names the first")
    assert job.result["imported"] == 2
    log = "".join(f"{line}\n" for line in job.lines.values_list("text", flat=True))
    assert "closed is refused: Permission denied" in log
    assert "pipe is refused: No file, but a device, a pipe or a socket" in log
