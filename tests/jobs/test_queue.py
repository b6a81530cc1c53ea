from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from apps.accounts.principal import system
from apps.audit.models import AuditEvent
from apps.jobs import queue
from apps.jobs.models import ItemState, Job, JobState
from apps.jobs.queue import LeaseLost

pytestmark = pytest.mark.django_db

ME = system("test")


def claim(*kinds: str) -> Job:
    job = queue.claim(worker="w", kinds=kinds or ["send"])
    assert job is not None
    return job


def forget(job: Job) -> None:
    """As if its worker had not been heard of for long."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def state_of(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def test_a_submitted_job_waits_with_its_items() -> None:
    job = queue.submit(kind="send", principal=ME, arguments={"peer": "ws"}, items=["1.2", "1.3"])
    assert (job.state, job.total, job.submitted_by) == (JobState.QUEUED, 2, "test")
    assert [item.key for item in job.items.all()] == ["1.2", "1.3"]


def test_a_job_is_claimed_once() -> None:
    job = queue.submit(kind="send", principal=ME)
    assert claim().pk == job.pk
    assert queue.claim(worker="other", kinds=["send"]) is None


def test_the_urgent_go_first_then_the_longest_waiting() -> None:
    first, second = queue.submit(kind="send", principal=ME), queue.submit(kind="send", principal=ME)
    urgent = queue.submit(kind="send", principal=ME, priority=5)
    assert [claim().pk for _ in range(3)] == [urgent.pk, first.pk, second.pk]


def test_a_job_is_not_claimed_before_its_time_nor_by_who_does_not_know_its_kind() -> None:
    queue.submit(kind="send", principal=ME, due_at=timezone.now() + timedelta(hours=1))
    queue.submit(kind="newer", principal=ME)
    assert queue.claim(worker="w", kinds=["send"]) is None


def test_of_one_kind_and_key_one_job_waits_and_another_may_run() -> None:
    running = queue.submit(kind="metadata", principal=ME, key="1.2")
    assert queue.submit(kind="metadata", principal=ME, key="1.2").pk == running.pk
    claim("metadata")
    waiting = queue.submit(kind="metadata", principal=ME, key="1.2")
    assert waiting.pk != running.pk
    assert queue.submit(kind="metadata", principal=ME, key="1.3").pk not in (waiting.pk, running.pk)


def test_the_job_of_a_dead_worker_is_taken_over_and_he_can_write_no_more() -> None:
    queue.submit(kind="send", principal=ME)
    dead = claim()
    assert queue.claim(worker="b", kinds=["send"]) is None
    forget(dead)
    heir = claim()
    assert (heir.pk, heir.attempts) == (dead.pk, 2)
    for write in (
        lambda: queue.keep(dead),
        lambda: queue.end(dead, JobState.SUCCEEDED),
        lambda: queue.postpone(dead, error="no"),
        lambda: queue.give_back(dead),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert state_of(heir) == JobState.RUNNING
    assert "Taken over" in heir.lines.get().text


def test_a_worker_who_keeps_his_lease_keeps_the_job() -> None:
    queue.submit(kind="send", principal=ME)
    job = claim()
    forget(job)
    queue.keep(job)
    assert queue.claim(worker="b", kinds=["send"]) is None


def test_a_job_that_kills_its_workers_fails_in_the_end() -> None:
    job = queue.submit(kind="send", principal=ME, items=["1.2"], maximum_attempts=2)
    for _ in range(2):
        forget(claim())
    assert queue.claim(worker="w", kinds=["send"]) is None
    assert state_of(job) == JobState.FAILED
    assert (job.failures, job.error) == (1, "The worker ended in the middle, 2 times")
    assert job.items.get().state == ItemState.FAILED


def test_a_cancelled_job_whose_worker_died_is_not_begun_again() -> None:
    job = queue.submit(kind="send", principal=ME)
    forget(claim())
    queue.cancel(job, principal=ME)
    assert queue.claim(worker="w", kinds=["send"]) is None
    assert state_of(job) == JobState.CANCELLED


def test_delays_double_up_to_an_hour() -> None:
    assert [queue.back_off(n).total_seconds() for n in (1, 2, 3, 9, 10, 1000)] == [10, 20, 40, 2560, 3600, 3600]


def test_after_the_last_attempt_a_job_has_failed() -> None:
    job = queue.submit(kind="send", principal=ME, maximum_attempts=2)
    queue.postpone(claim(), error="unreachable")
    assert state_of(job) == JobState.QUEUED and job.due_at > timezone.now()
    Job.objects.update(due_at=timezone.now())
    queue.postpone(claim(), error="still unreachable")
    assert (state_of(job), job.error) == (JobState.FAILED, "still unreachable")


def test_a_job_given_back_is_due_at_once_and_its_attempt_not_counted() -> None:
    queue.submit(kind="send", principal=ME)
    queue.give_back(claim())
    assert claim().attempts == 1


def test_a_job_that_goes_back_where_its_like_waits_ends() -> None:
    first = queue.submit(kind="metadata", principal=ME, key="1.2")
    running = claim("metadata")
    second = queue.submit(kind="metadata", principal=ME, key="1.2")
    queue.postpone(running, error="busy")
    assert (state_of(first), state_of(second)) == (JobState.CANCELLED, JobState.QUEUED)


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_asked() -> None:
    waiting = queue.submit(kind="send", principal=ME, due_at=timezone.now() + timedelta(hours=1))
    queue.submit(kind="send", principal=ME)
    running = claim()
    assert queue.cancel(waiting, principal=ME) and queue.cancel(running, principal=ME)
    assert (state_of(waiting), state_of(running)) == (JobState.CANCELLED, JobState.RUNNING)
    assert queue.keep(running) == (True, False)
    queue.end(running, JobState.CANCELLED)
    assert not queue.cancel(running, principal=ME)
    assert AuditEvent.objects.filter(action="cancel", object_kind="job").count() == 2


def test_a_wish_to_cancel_counts_also_where_a_short_attempt_has_not_heard_it() -> None:
    for back in (lambda job: queue.postpone(job, error="unreachable"), queue.give_back):
        queue.submit(kind="send", principal=ME)
        running = claim()
        assert queue.cancel(running, principal=ME)
        back(running)
        assert (state_of(running), running.ended_at is None) == (JobState.CANCELLED, False)


def test_a_job_that_was_refused_unchecked_is_not_tried_again_unchecked() -> None:
    job = queue.refuse(kind="send", principal=ME, arguments={"peer": 7}, error="no such peer")
    with pytest.raises(ValidationError, match="before it was begun"):
        queue.retry(job, principal=ME)
    assert state_of(job) == JobState.FAILED


def test_a_retried_job_does_what_failed_not_what_was_done() -> None:
    job = queue.submit(kind="send", principal=ME, items=["1.2", "1.3"])
    held = claim()
    held.items.filter(key="1.2").update(state=ItemState.SUCCEEDED)
    queue.end(held, JobState.FAILED, error="broken")
    assert queue.retry(job, principal=ME)
    assert (state_of(job), job.attempts, job.failures, job.error) == (JobState.QUEUED, 0, 0, "")
    assert [item.key for item in job.items.filter(state=ItemState.QUEUED)] == ["1.3"]
    assert not queue.retry(job, principal=ME)


def test_a_job_is_not_retried_beside_its_like() -> None:
    job = queue.submit(kind="metadata", principal=ME, key="1.2")
    queue.cancel(job, principal=ME)
    queue.submit(kind="metadata", principal=ME, key="1.2")
    with pytest.raises(ValidationError):
        queue.retry(job, principal=ME)
    assert state_of(job) == JobState.CANCELLED


def test_old_jobs_are_pruned_and_those_that_wait_or_run_are_not() -> None:
    old, waiting = queue.submit(kind="send", principal=ME, items=["1.2"]), queue.submit(kind="send", principal=ME)
    queue.end(claim(), JobState.SUCCEEDED)
    assert queue.prune(timezone.now() + timedelta(seconds=1)) == 1
    assert list(Job.objects.values_list("pk", flat=True)) == [waiting.pk]
    assert not Job.objects.filter(pk=old.pk).exists()


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many jobs of a peer may run, by its name."""
    limits: dict[str, int] = {}
    monkeypatch.setattr(queue, "jobs_at_once", lambda peers: {peer: limits.get(peer, 1) for peer in peers})
    return limits


def claimed() -> str | None:
    job = queue.claim(worker="w", kinds=["send"])
    return job.key if job else None


def test_a_peer_that_is_busy_holds_up_its_own_jobs_and_nobody_elses(limits: dict[str, int]) -> None:
    limits |= {"CT": 2}
    for number in range(queue.CANDIDATES * 2):
        queue.submit(kind="send", principal=ME, peer="CT", key=f"CT {number}", priority=5)
    queue.submit(kind="send", principal=ME, peer="MR", key="MR")
    queue.submit(kind="send", principal=ME, key="nobody")
    assert [claimed() for _ in range(5)] == ["CT 0", "CT 1", "MR", "nobody", None]
    queue.end(Job.objects.get(key="CT 0"), JobState.SUCCEEDED)
    assert [claimed() for _ in range(2)] == ["CT 2", None]
    assert set(Job.objects.filter(peer="CT", state=JobState.RUNNING).values_list("slot", flat=True)) == {0, 1}


def test_a_job_taken_over_keeps_its_place_at_the_peer(limits: dict[str, int]) -> None:
    queue.submit(kind="send", principal=ME, peer="CT", key="first")
    queue.submit(kind="send", principal=ME, peer="CT", key="second")
    assert [claimed(), claimed()] == ["first", None]
    Job.objects.filter(key="first").update(lease_until=timezone.now() - timedelta(seconds=1))
    assert [claimed(), claimed()] == ["first", None]


def test_of_two_workers_that_saw_the_same_free_place_one_gets_it(
    limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("first", "second"):
        queue.submit(kind="send", principal=ME, peer="CT", key=key)
    assert claimed() == "first"
    monkeypatch.setattr(queue, "taken", dict)  # the other one looked before that
    assert claimed() is None
    assert state_of(Job.objects.get(key="second")) == JobState.QUEUED


def test_a_paused_job_waits_until_it_is_let_go_on() -> None:
    job = queue.submit(kind="send", principal=ME, key="a")
    assert queue.pause(job, principal=ME) and not queue.pause(job, principal=ME)
    assert claimed() is None
    assert queue.resume(job, principal=ME) and not queue.resume(job, principal=ME)
    assert claimed() == "a"
    actions = AuditEvent.objects.filter(object_kind="job").values_list("action", flat=True)
    assert sorted(actions) == ["pause", "resume"]


def test_what_a_dead_worker_left_goes_before_the_most_urgent() -> None:
    left = queue.submit(kind="send", principal=ME, priority=-5)
    forget(claim())
    queue.submit(kind="send", principal=ME, priority=50)
    assert claim().pk == left.pk


def test_a_machine_whose_clock_is_wrong_takes_no_job_from_the_living(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite is on one machine, with one clock")
    queue.submit(kind="send", principal=ME)
    claim()
    ahead = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: ahead)
    assert queue.claim(worker="b", kinds=["send"]) is None
    queue.submit(kind="other", principal=ME)
    assert queue.claim(worker="b", kinds=["other"]) is not None


def test_a_paused_job_whose_worker_died_waits_until_it_may_go_on() -> None:
    job = queue.submit(kind="send", principal=ME)
    forget(claim())
    queue.pause(job, principal=ME)
    assert queue.claim(worker="b", kinds=["send"]) is None
    assert (state_of(job), job.paused) == (JobState.QUEUED, True)
    queue.resume(job, principal=ME)
    assert claim().pk == job.pk
