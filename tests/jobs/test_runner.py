import logging
import threading
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import DataError, OperationalError
from django.utils import timezone

from apps.accounts.principal import Principal, system
from apps.accounts.users import principal_of
from apps.jobs import queue
from apps.jobs.models import ItemState, Job, JobState
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.jobs.runner import run_due
from apps.jobs.upkeep import prune_job
from dicom.sop_classes import Service
from tests.jobs.conftest import Verb

pytestmark = pytest.mark.django_db(transaction=True)

ME = system("test")


def after(job: Job) -> Job:
    job.refresh_from_db()
    return job


def test_a_job_runs_its_items_in_order_and_succeeds(kinds: dict[str, Verb]) -> None:
    seen = []

    def send(run: JobRun) -> None:
        for item in run.items():
            seen.append(f"{run.arguments['peer']} {item.key}")
            run.succeeded(item)

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, arguments={"peer": "ws"}, items=["1", "2", "3"])
    assert run_due() == 1
    assert seen == ["ws 1", "ws 2", "ws 3"]
    assert (after(job).state, job.done, job.total, job.failures) == (JobState.SUCCEEDED, 3, 3, 0)


def test_an_item_that_failed_for_good_fails_the_job_and_not_the_others(kinds: dict[str, Verb]) -> None:
    def send(run: JobRun) -> None:
        for item in run.items():
            if item.key == "2":
                run.failed(item, "refused")
            else:
                run.succeeded(item)

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["1", "2", "3"])
    run_due()
    assert (after(job).state, job.done, job.failures, job.error) == (JobState.FAILED, 2, 1, "1 of 3 failed")
    assert job.items.get(key="2").error == "refused"


def test_a_postponed_item_is_tried_again_alone(kinds: dict[str, Verb]) -> None:
    seen = []

    def send(run: JobRun) -> None:
        for item in run.items():
            seen.append(item.key)
            if seen.count("2") == 1 and item.key == "2":
                run.postponed(item, "busy")
            else:
                run.succeeded(item)

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["1", "2", "3"])
    run_due()
    assert (after(job).state, job.error) == (JobState.QUEUED, "1 of 3 still to be done")
    Job.objects.update(due_at=timezone.now())
    run_due()
    assert seen == ["1", "2", "3", "2"]
    assert (after(job).state, job.done) == (JobState.SUCCEEDED, 3)


def test_what_is_postponed_at_the_last_attempt_has_failed(kinds: dict[str, Verb]) -> None:
    def send(run: JobRun) -> None:
        for item in run.items():
            run.postponed(item, "busy")

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["1", "2"], maximum_attempts=1)
    run_due()
    assert (after(job).state, job.failures) == (JobState.FAILED, 2)
    assert {(item.state, item.error) for item in job.items.all()} == {(ItemState.FAILED, "busy")}


def test_a_job_that_cannot_be_done_fails_at_once_with_its_reason(kinds: dict[str, Verb]) -> None:
    def send(run: JobRun) -> None:
        raise JobError("No peer called ws")

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME)
    run_due()
    assert (after(job).state, job.error, job.attempts) == (JobState.FAILED, "No peer called ws", 1)


def test_a_job_says_when_to_try_again(kinds: dict[str, Verb]) -> None:
    def send(run: JobRun) -> None:
        raise TryAgain("closed at night", delay=timedelta(hours=5))

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME)
    run_due()
    assert after(job).state == JobState.QUEUED
    assert job.due_at - timezone.now() > timedelta(hours=4)


def test_a_bug_in_a_verb_is_logged_by_a_reference_that_the_job_shows(
    kinds: dict[str, Verb], caplog: pytest.LogCaptureFixture
) -> None:
    def send(run: JobRun) -> None:
        raise ZeroDivisionError

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, maximum_attempts=1)
    with caplog.at_level(logging.ERROR):
        run_due()
    assert after(job).state == JobState.FAILED
    reference = job.error.split("reference ")[1].split()[0]
    assert reference in caplog.text and "ZeroDivisionError" in caplog.text


def test_the_next_job_runs_after_a_broken_one(kinds: dict[str, Verb]) -> None:
    def broken(run: JobRun) -> None:
        raise ZeroDivisionError

    kinds.update(broken=broken, fine=lambda run: None)
    queue.submit(kind="broken", principal=ME)
    job = queue.submit(kind="fine", principal=ME)
    assert run_due() == 2
    assert after(job).state == JobState.SUCCEEDED


def test_what_the_database_does_not_keep_is_a_bug_not_a_database_that_is_away(kinds: dict[str, Verb]) -> None:
    def break_(run: JobRun) -> None:
        raise DataError("value too long")

    kinds["send"] = break_
    job = queue.submit(kind="send", principal=system("test"))
    run_due(limit=1)
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert "An error of the program" in job.error


def test_a_database_that_goes_away_leaves_the_job_to_the_next_lease(kinds: dict[str, Verb]) -> None:
    def send(run: JobRun) -> None:
        raise OperationalError("server closed the connection")

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME)
    run_due()
    assert after(job).state == JobState.RUNNING
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    kinds["send"] = lambda run: None
    run_due()
    assert after(job).state == JobState.SUCCEEDED


def test_a_cancelled_job_ends_between_two_items(kinds: dict[str, Verb], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.jobs.run.LOOK_EVERY", 0.0)

    def send(run: JobRun) -> None:
        for item in run.items():
            run.succeeded(item)
            queue.cancel(run.job, principal=ME)

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["1", "2", "3"])
    run_due()
    assert (after(job).state, job.done) == (JobState.CANCELLED, 1)


def test_a_worker_that_stops_gives_its_job_back_and_nothing_is_done_twice(kinds: dict[str, Verb]) -> None:
    stopping = threading.Event()
    seen = []

    def send(run: JobRun) -> None:
        for item in run.items():
            seen.append(item.key)
            run.succeeded(item)
            stopping.set()

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["1", "2"])
    run_due(stopping=stopping)
    assert (after(job).state, job.done) == (JobState.QUEUED, 1)
    run_due()
    assert seen == ["1", "2"]
    assert (after(job).state, job.done, job.attempts) == (JobState.SUCCEEDED, 2, 1)


def test_a_worker_thought_dead_stops_at_his_next_step(kinds: dict[str, Verb]) -> None:
    seen: list[str] = []

    def send(run: JobRun) -> None:
        for item in run.items():
            if not seen:
                Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
                assert queue.claim(worker="heir", kinds=["send"])
            seen.append(item.key)
            run.succeeded(item)

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["1", "2"])
    run_due()
    assert seen == ["1"]
    assert (after(job).state, job.worker, job.done) == (JobState.RUNNING, "heir", 0)


def test_a_step_longer_than_the_lease_keeps_the_job(kinds: dict[str, Verb], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.jobs.runner.BEAT", 0.01)
    renewed = threading.Event()
    keep = queue.keep

    def noticed(job: Job) -> queue.Wish:
        try:
            return keep(job)
        finally:
            renewed.set()

    monkeypatch.setattr("apps.jobs.queue.keep", noticed)

    def send(run: JobRun) -> None:
        Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        renewed.clear()
        assert renewed.wait(60)
        assert queue.claim(worker="heir", kinds=["send"]) is None

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME)
    run_due()
    assert after(job).state == JobState.SUCCEEDED, job.error


def test_a_job_plans_its_items_once(kinds: dict[str, Verb]) -> None:
    def read(run: JobRun) -> None:
        run.plan(["a", "b"])
        for item in run.items():
            if item.key == "b" and run.job.attempts == 1:
                raise TryAgain("later", delay=timedelta())
            run.succeeded(item)

    kinds["read"] = read
    job = queue.submit(kind="read", principal=ME)
    assert run_due() == 2
    assert (after(job).state, job.done, job.total) == (JobState.SUCCEEDED, 2, 2)


def test_a_job_reports_progress_and_lines(kinds: dict[str, Verb]) -> None:
    def read(run: JobRun) -> None:
        run.progress(5, 10)
        run.log("half of it")

    kinds["read"] = read
    job = queue.submit(kind="read", principal=ME)
    run_due()
    assert (after(job).done, job.total, job.lines.get().text) == (5, 10, "half of it")


def test_a_job_has_the_rights_its_user_has_when_it_runs(kinds: dict[str, Verb]) -> None:
    user = get_user_model().objects.create_superuser("doctor", password="x")
    seen: list[Principal] = []
    kinds["look"] = lambda run: seen.append(run.principal)
    queue.submit(kind="look", principal=principal_of(user))
    user.is_superuser = False
    user.save()
    queue.submit(kind="look", principal=principal_of(user))
    run_due()
    assert [principal.may(Service.FIND) for principal in seen] == [False, False]


def test_jobs_that_ended_long_ago_are_forgotten(kinds: dict[str, Verb]) -> None:
    kinds.update(prune=prune_job, send=lambda run: None)
    old = queue.submit(kind="send", principal=ME)
    run_due()
    Job.objects.update(ended_at=timezone.now() - timedelta(days=31))
    job = queue.submit(kind="prune", principal=ME)
    run_due()
    assert list(Job.objects.values_list("pk", flat=True)) == [job.pk]
    assert job.lines.get().text.startswith("1 jobs that ended")
    assert old.pk != job.pk


def test_a_job_paused_while_it_runs_goes_on_later_where_it_was(kinds: dict[str, Verb]) -> None:
    seen: list[str] = []

    def send(run: JobRun) -> None:
        for item in run.items():
            seen.append(item.key)
            run.succeeded(item)
            if seen == ["1"]:
                queue.pause(run.job, principal=ME)
                run.beat()
                assert run.interrupted

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME, items=["1", "2"])
    run_due()
    assert (seen, after(job).state, job.attempts) == (["1"], JobState.QUEUED, 0)
    assert run_due() == 0
    queue.resume(job, principal=ME)
    run_due()
    assert (seen, after(job).state) == (["1", "2"], JobState.SUCCEEDED)


def test_what_came_of_a_job_stands_with_it(kinds: dict[str, Verb]) -> None:
    def send(run: JobRun) -> None:
        run.result(files=2)
        run.result(bytes=9)

    kinds["send"] = send
    job = queue.submit(kind="send", principal=ME)
    run_due()
    assert after(job).result == {"files": 2, "bytes": 9}
