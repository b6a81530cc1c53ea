"""Series are made ready for viewers when they have been quiet for a minute: once for each revision."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings as Settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.accounts.principal import system
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import principal_of
from apps.failpoints import arm
from apps.jobs import kind, outbox, queue
from apps.jobs.models import ItemState, Job, JobLine, JobState, OutboxEvent
from apps.jobs.outbox import Reaction
from apps.jobs.runner import run_due
from apps.qr import wado
from apps.qr.retrieve import Stored
from apps.storage import index
from apps.storage.models import Instance, Series, Study
from dicom.metadata import Metadata
from tests.jobs.conftest import EVENTS
from tests.qr.files import keep


@pytest.fixture(autouse=True)
def _folders(folders: None) -> None:
    index._told.clear()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """SOP Instance UIDs whose metadata was made, in order."""
    seen: list[str] = []
    documents = wado._metadata

    def seeing(encoder: Metadata, row: Stored, bulk_data: str) -> bytes:
        seen.append(row.sop_instance_uid)
        return documents(encoder, row, bulk_data)

    monkeypatch.setattr(wado, "_metadata", seeing)
    yield seen


def time_passes(seconds: float) -> None:
    """For jobs and for what they look at."""
    for model, columns in ((Series, ["changed_at"]), (Study, ["changed_at"]), (Job, ["due_at", "created_at"])):
        for row in model.objects.all():
            for column in columns:
                setattr(row, column, getattr(row, column) - timedelta(seconds=seconds))
            row.save()
    index._told.clear()


def work() -> list[Job]:
    """What the worker does each second; the jobs of this kind that wait then."""
    outbox.dispatch()
    run_due()
    return list(Job.objects.filter(kind="warm_up", state=JobState.QUEUED))


def kept(settings: Settings, name: str) -> list[Path]:
    return [path for path in (settings.DATA / "cache" / name).glob("*/*") if path.is_file()]


def test_a_series_is_made_ready_when_it_has_been_quiet_for_a_minute(settings: Settings, made: list[str]) -> None:
    keep(1, 2)
    (waiting,) = work()
    assert (waiting.kind, waiting.key) == ("warm_up", "warm_up")
    assert waiting.due_at > timezone.now() + timedelta(seconds=50)
    assert made == []
    time_passes(61)
    assert work() == []
    assert made == ["1.2.3.1.1", "1.2.3.1.2"]
    assert len(kept(settings, "metadata")) == 1
    assert len(kept(settings, "thumbnails")) == 1
    assert JobLine.objects.get(job__kind="warm_up").text == "1 series made ready"


def test_who_asks_then_finds_it_made(client: Client, made: list[str]) -> None:
    keep(1)
    work()
    time_passes(61)
    work()
    client.force_login(User.objects.create_superuser("admin"))
    answer = client.get("/dicomweb/studies/1.2.3/series/1.2.3.1/metadata")
    assert b'"1.2.3.1.1"' in b"".join(answer)
    assert made == ["1.2.3.1.1"]


def test_a_series_that_goes_on_changing_is_waited_for_and_made_once(made: list[str]) -> None:
    keep(1)
    work()
    time_passes(40)
    keep(2)
    work()
    time_passes(30)  # the job is due, the series was quiet for half a minute
    (waiting,) = work()
    assert made == []
    time_passes(61)
    assert work() == []
    assert made == ["1.2.3.1.1", "1.2.3.1.2"]
    assert Job.objects.get(pk=waiting.pk).state == JobState.SUCCEEDED


def test_a_revision_is_made_once_and_the_one_before_is_not_kept(settings: Settings, made: list[str]) -> None:
    keep(1)
    keep(9, series="1.2.3.9")
    work()
    time_passes(61)
    work()
    del made[:]
    keep(2)
    work()
    time_passes(61)
    work()
    assert made == ["1.2.3.1.1", "1.2.3.1.2"]
    assert len(kept(settings, "metadata")) == 2


def test_many_studies_make_one_job(made: list[str]) -> None:
    for number in range(12):
        keep(1, series=f"7.{number}.1", study=f"7.{number}")
    assert len(work()) == 1
    time_passes(61)
    assert work() == []
    assert len(made) == 12


def test_what_somebody_waits_for_goes_first(made: list[str]) -> None:
    keep(1)
    work()
    time_passes(61)
    assert queue.claim(worker="test", kinds=["warm_up", "other"])
    Job.objects.filter(kind="warm_up").update(state=JobState.QUEUED, lease_until=None)
    queue.submit(kind="other", principal=system("test"))
    claimed = queue.claim(worker="test", kinds=["warm_up", "other"])
    assert claimed is not None
    assert claimed.kind == "other"


def test_a_file_that_is_lost_stops_nothing(settings: Settings, made: list[str]) -> None:
    keep(1)
    keep(2, series="1.2.3.2")
    work()
    (settings.ARCHIVE / Instance.objects.get(instance_number="1").path).unlink()
    time_passes(61)
    assert work() == []
    assert len(kept(settings, "metadata")) == 1
    assert Job.objects.get(kind="warm_up").state == JobState.SUCCEEDED


def test_who_asks_is_told_of_a_series_that_could_not_be_made_ready(settings: Settings, made: list[str]) -> None:
    keep(1)
    keep(2, series="1.2.3.2")
    (settings.ARCHIVE / Instance.objects.get(instance_number="1").path).unlink()
    admin = principal_of(User.objects.create_superuser("root"))
    job = kind.request("warm_caches", principal=admin, arguments={"study_instance_uids": ["1.2.3"]})
    run_due()
    job.refresh_from_db()
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 1, 1)
    assert job.items.get(state=ItemState.FAILED).key == "1.2.3.1"


def test_a_study_that_comes_image_by_image_is_told_of_once_in_a_while() -> None:
    keep(1)
    keep(2)
    keep(3, series="7.1", study="7")
    assert OutboxEvent.objects.count() == 2
    time_passes(10)
    keep(4)
    assert OutboxEvent.objects.count() == 3


def test_what_does_not_wait_is_told_of_each_change(settings: Settings) -> None:
    settings.EVENT_KINDS = "tests.jobs.conftest.EVENTS"
    EVENTS["study_changed"] = [Reaction("other")]
    try:
        keep(1)
        keep(2)
    finally:
        EVENTS.clear()
    assert OutboxEvent.objects.count() == 2


def test_studies_are_made_ready_when_somebody_asks_for_it(made: list[str]) -> None:
    keep(1, 2)
    keep(1, series="1.2.3.2")
    admin = principal_of(User.objects.create_superuser("root"))
    job = kind.request("warm_caches", principal=admin, arguments={"study_instance_uids": ["1.2.3"]})
    arm("warm.made:raise:1")
    run_due()
    arm("")
    Job.objects.update(due_at=timezone.now())
    run_due()
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, 2, 2)
    assert sorted(made) == ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.2.1"]
    for wrong in (["1.2.9"], [], "1.2.3", [7]):
        with pytest.raises(InvalidRequest):
            kind.request("warm_caches", principal=admin, arguments={"study_instance_uids": wrong})
