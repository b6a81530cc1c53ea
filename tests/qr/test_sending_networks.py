"""The kind of job "send": how a job comes to its end over bad networks and several associations."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.jobs import kind, queue
from apps.jobs.models import JobState
from apps.qr import sending
from dicom.dimse import Association
from tests.node import free_port
from tests.qr.files import assert_same, keep
from tests.qr.jobs import asked, destination, errors, run
from tests.qr.receiver import Receiver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]


def test_a_peer_that_is_down_gets_everything_afterwards() -> None:
    kept = keep(*range(1, 6))
    port = free_port()
    destination(port)
    job = asked()
    for attempt in range(1, 4):
        run(job)
        assert (job.state, job.attempts) == (JobState.QUEUED, attempt)
        assert "5 of 5 still to be sent: Cannot connect to 127.0.0.1" in job.error
    assert timezone.now() < job.due_at <= timezone.now() + sending.LONGEST_DELAY
    with Receiver() as receiver:
        destination(receiver.port)
        run(job)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert_same(kept, {arrived.sop_instance_uid: arrived.data_set for arrived in receiver.arrived})


def test_a_weekend_is_not_too_long() -> None:
    send = kind.kinds()["send"]
    delays = (
        queue.back_off(attempt, first=send.first_delay, longest=send.longest_delay)
        for attempt in range(1, send.maximum_attempts)
    )
    assert sum(delays, timedelta()) > timedelta(days=6)
    assert send.longest_delay <= timedelta(minutes=10)


def test_a_break_in_the_middle_repeats_nothing_that_was_accepted() -> None:
    kept = keep(*range(1, 21))
    broken = threading.Event()

    def answer(number: int, assoc: Association) -> int:
        if number == 10 or broken.is_set():
            broken.set()
            assoc.abort()
        return 0

    with Receiver(answer) as receiver:
        destination(receiver.port)
        job = run(asked())
        assert (job.state, job.done) == (JobState.QUEUED, 10)
        assert job.error.startswith("10 of 20 still to be sent: The peer aborted the association")
        before = len(receiver.arrived)
        broken.clear()
        run(job)
    assert (job.state, job.done, job.failures) == (JobState.SUCCEEDED, 20, 0)
    afterwards = [arrived.sop_instance_uid for arrived in receiver.arrived[before:]]
    assert sorted(afterwards) == sorted(set(kept) - {arrived.sop_instance_uid for arrived in receiver.arrived[:10]})


def test_a_peer_that_ends_the_association_after_each_instance_gets_all_in_one_attempt() -> None:
    keep(*range(1, 9))

    def answer(number: int, assoc: Association) -> int:
        threading.Timer(0.02, assoc.abort).start()
        return 0

    with Receiver(answer) as receiver:
        destination(receiver.port)
        job = run(asked())
    assert (job.state, job.done, job.attempts) == (JobState.SUCCEEDED, 8, 1)


def test_an_instance_that_brings_the_peer_down_is_in_nobodys_way() -> None:
    keep(*range(1, 9))
    bad = {"1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"}

    def answer(number: int, assoc: Association) -> int:
        if receiver.arrived[-1].sop_instance_uid in bad:
            assoc.abort()
        return 0

    with Receiver(answer) as receiver:
        destination(receiver.port)
        job = asked()
        for _ in range(3):
            run(job)
        assert (job.state, job.done) == (JobState.QUEUED, 5)
        assert set(errors(job)) == bad
        bad.clear()
        assert run(job).state == JobState.SUCCEEDED


def test_a_peer_that_refuses_the_association_has_its_words_at_the_job() -> None:
    keep(1)
    with Receiver() as receiver:
        receiver.refuse = True
        destination(receiver.port)
        job = run(asked())
    assert job.state == JobState.QUEUED
    assert "called AE title not recognised" in job.error


def test_as_many_associations_as_the_peer_allows_send_side_by_side() -> None:
    keep(*range(1, 31))
    together = threading.Barrier(3)
    seen: set[str] = set()

    def answer(number: int, assoc: Association) -> int:
        if assoc.id not in seen:
            seen.add(assoc.id)
            together.wait(60)
        return 0

    with Receiver(answer) as receiver:
        destination(receiver.port, associations_per_job=3)
        job = run(asked())
    assert (job.state, job.done) == (JobState.SUCCEEDED, 30)
    assert len(seen) == 3
    assert set(Counter(arrived.sop_instance_uid for arrived in receiver.arrived).values()) == {1}


def test_where_the_peer_takes_fewer_associations_the_others_do_the_work() -> None:
    keep(*range(1, 31))
    with Receiver(maximum_associations=1) as receiver:
        destination(receiver.port, associations_per_job=4)
        job = run(asked())
    assert (job.state, job.done, job.attempts) == (JobState.SUCCEEDED, 30, 1)
