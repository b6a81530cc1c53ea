import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.principal import system
from apps.jobs import bell, outbox, queue, schedules, shares, sweep, tasks
from apps.jobs.models import Job, JobState, Schedule
from apps.jobs.outbox import Reaction
from apps.jobs.run import JobRun, TryAgain
from apps.jobs.runner import run_due
from apps.jobs.shares import Shares
from apps.jobs.sweep import Runners
from tests.jobs.bell_app import heard
from tests.jobs.conftest import Verb
from tests.node import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ME = system("test")


@pytest.fixture(autouse=True)
def runners(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runners]:
    made = Runners(2)
    monkeypatch.setattr(sweep, "_runners", made)
    yield made
    made.stop(10)


@pytest.fixture
def a_bell(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    settings.CELERY_APP = "tests.jobs.bell_app.heard"
    monkeypatch.setattr(bell, "_silent_until", 0.0)
    heard.rung.clear()
    return heard.rung


def states() -> list[str]:
    return list(Job.objects.order_by("id").values_list("state", flat=True))


def test_a_sweep_runs_what_schedules_and_events_ask_for_without_any_bell(
    kinds: dict[str, Verb], events: dict[str, list[Reaction]]
) -> None:
    kinds.update(purge=lambda run: None, look=lambda run: None)
    events["stored"] = [Reaction("look")]
    outbox.write("stored", {})
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    Schedule.objects.update(next_at=timezone.now())
    sweep.sweep_once()
    wait_for(lambda: states() == [JobState.SUCCEEDED] * 2)


def test_what_breaks_before_is_in_the_way_of_no_job(kinds: dict[str, Verb], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise ZeroDivisionError

    kinds["send"] = lambda run: None
    queue.submit(kind="send", principal=ME)
    monkeypatch.setattr(outbox, "dispatch", broken)
    with pytest.raises(ZeroDivisionError):
        sweep.sweep_once()
    wait_for(lambda: states() == [JobState.SUCCEEDED])


def test_a_sweep_takes_over_the_job_of_a_dead_worker(kinds: dict[str, Verb]) -> None:
    kinds["send"] = lambda run: None
    queue.submit(kind="send", principal=ME)
    assert queue.claim(worker="dead", kinds=["send"])
    sweep.sweep_once()
    assert states() == [JobState.RUNNING]
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    sweep.sweep_once()
    wait_for(lambda: states() == [JobState.SUCCEEDED])


def test_a_long_job_does_not_hold_up_the_sweep_nor_the_next_job(kinds: dict[str, Verb]) -> None:
    go_on = threading.Event()

    def wait(run: JobRun) -> None:
        go_on.wait(30)

    kinds.update(long=wait, short=lambda run: None)
    long = queue.submit(kind="long", principal=ME)
    sweep.sweep_once()
    wait_for(lambda: Job.objects.get(pk=long.pk).state == JobState.RUNNING)
    short = queue.submit(kind="short", principal=ME)
    sweep.sweep_once()
    wait_for(lambda: Job.objects.get(pk=short.pk).state == JobState.SUCCEEDED)
    assert Job.objects.get(pk=long.pk).state == JobState.RUNNING
    go_on.set()
    wait_for(lambda: Job.objects.get(pk=long.pk).state == JobState.SUCCEEDED)


def test_a_worker_that_ends_gives_its_jobs_back_at_their_next_step(kinds: dict[str, Verb], runners: Runners) -> None:
    began, go_on = threading.Event(), threading.Event()

    def send(run: JobRun) -> None:
        for item in run.items():
            run.succeeded(item)
            began.set()
            go_on.wait(30)

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["a", "b"])
    sweep.sweep_once()
    assert began.wait(30)
    threading.Timer(0.05, go_on.set).start()
    sweep.stop(30)
    job.refresh_from_db()
    assert (job.state, job.done, job.attempts) == (JobState.QUEUED, 1, 0)
    sweep.sweep_once()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_the_task_of_the_doorbell_runs_what_is_due(kinds: dict[str, Verb]) -> None:
    kinds["send"] = lambda run: None
    queue.submit(kind="send", principal=ME)
    tasks.look()
    wait_for(lambda: states() == [JobState.SUCCEEDED])


def test_the_bell_rings_after_commit_and_not_for_what_is_due_later(a_bell: list[str]) -> None:
    with transaction.atomic():
        queue.submit(kind="send", principal=ME)
        assert a_bell == []
    assert a_bell == ["jobs.look"]
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        queue.submit(kind="send", principal=ME)
        raise ZeroDivisionError
    queue.submit(kind="send", principal=ME, due_at=timezone.now() + timedelta(hours=1))
    assert a_bell == ["jobs.look"]


def test_an_embedded_broker_is_not_rung_since_nobody_would_ever_take_the_message(
    a_bell: list[str], settings: Settings
) -> None:
    settings.CELERY_BROKER_URL = "memory://"
    queue.submit(kind="send", principal=ME)
    assert a_bell == []


def test_a_broker_that_is_down_loses_no_job_and_is_left_alone_for_a_while(
    a_bell: list[str], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CELERY_APP = "tests.jobs.bell_app.deaf"
    queue.submit(kind="send", principal=ME)
    assert "does not answer" in caplog.text
    caplog.clear()
    queue.submit(kind="send", principal=ME)
    assert not caplog.text
    assert states() == [JobState.QUEUED] * 2


@pytest.fixture
def hanging(kinds: dict[str, Verb]) -> Iterator[threading.Event]:
    """A kind of job whose peer hangs until the event is set, and has then done nothing; another that works."""
    go_on = threading.Event()

    def hang(run: JobRun) -> None:
        go_on.wait(30)
        raise TryAgain("It hangs")

    kinds.update(hang=hang, work=lambda run: None)
    yield go_on
    go_on.set()


def running() -> list[str]:
    return list(Job.objects.filter(state=JobState.RUNNING).order_by("id").values_list("peer", flat=True))


def sweep_until(condition: Callable[[], bool]) -> None:
    def swept() -> bool:
        sweep.sweep_once()
        return condition()

    wait_for(swept)


def test_peers_that_hang_do_not_hold_up_the_jobs_of_others(hanging: threading.Event) -> None:
    for peer in ("one", "two"):
        queue.submit(kind="hang", principal=ME, peer=peer)
    sweep_until(lambda: running() == ["one", "two"])
    others = [queue.submit(kind="work", principal=ME, peer=peer) for peer in ("three", "three", "four", "")]
    sweep_until(lambda: all(Job.objects.get(pk=job.pk).state == JobState.SUCCEEDED for job in others))
    assert running() == ["one", "two"]


def test_long_jobs_do_not_hold_up_those_of_another_kind(hanging: threading.Event) -> None:
    for _ in range(4):
        queue.submit(kind="hang", principal=ME)
    sweep_until(lambda: len(running()) == 2)
    others = [queue.submit(kind="work", principal=ME) for _ in range(3)]
    sweep_until(lambda: all(Job.objects.get(pk=job.pk).state == JobState.SUCCEEDED for job in others))
    assert len(running()) == 2


def test_peers_in_trouble_leave_a_thread_to_the_others_however_much_waits_for_them(
    hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "FIRST_REST", 0.0)
    for peer in ("one", "two"):
        queue.submit(kind="hang", principal=ME, peer=peer)
    sweep_until(lambda: running() == ["one", "two"])
    hanging.set()
    wait_for(lambda: Job.objects.filter(state=JobState.QUEUED, error="It hangs").count() == 2)
    hanging.clear()
    for _ in range(5):
        for peer in ("one", "two"):
            queue.submit(kind="hang", principal=ME, peer=peer, priority=1)
    sweep_until(lambda: len(running()) == 1)
    others = [queue.submit(kind="work", principal=ME, peer="three") for _ in range(5)]
    sweep_until(lambda: all(Job.objects.get(pk=job.pk).state == JobState.SUCCEEDED for job in others))
    assert len(running()) == 1


def test_a_backlog_for_a_peer_that_is_down_is_not_tried_one_by_one(hanging: threading.Event) -> None:
    hanging.set()
    for _ in range(5):
        queue.submit(kind="hang", principal=ME, peer="one")
    queue.submit(kind="work", principal=ME, peer="two")
    kept = Shares(4)
    assert run_due(shares=kept) == 2
    assert Job.objects.filter(attempts=0, state=JobState.QUEUED).count() == 4
    assert run_due(shares=kept) == 0


def test_a_peer_that_is_back_gets_its_backlog_at_once(
    hanging: threading.Event, kinds: dict[str, Verb], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "FIRST_REST", 0.5)
    hanging.set()
    for _ in range(5):
        queue.submit(kind="hang", principal=ME, peer="one")
    kept = Shares(4)
    assert run_due(shares=kept) == 1
    kinds["hang"] = lambda run: None
    wait_for(lambda: run_due(shares=kept) == 4)
