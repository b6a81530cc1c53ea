"""The kind of job "send": cancelled, paused, and beside a peer that hangs."""

import threading
from collections import Counter

import pytest

from apps.jobs import queue
from apps.jobs.models import Job, JobState
from apps.network.models import Peer
from dicom.dimse import Association
from tests.node import free_port, wait_for
from tests.qr.files import keep
from tests.qr.jobs import ME, asked, destination, run, running
from tests.qr.receiver import Receiver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]


def test_a_peer_that_was_disabled_or_removed_meanwhile_is_not_called() -> None:
    keep(1)
    with Receiver() as receiver:
        destination(receiver.port)
        job = asked()
        Peer.objects.update(enabled=False)
        assert run(job).state == JobState.QUEUED
        assert "disabled" in job.error
        Peer.objects.all().delete()
        assert run(job).state == JobState.FAILED
    assert not receiver.arrived


@pytest.mark.parametrize("act", ["cancel", "pause"])
def test_a_job_ends_while_the_peer_hangs(act: str) -> None:
    keep(*range(1, 6))
    with Receiver(lambda number, assoc: 0 if number < 2 else receiver.hang()) as receiver:
        destination(receiver.port)
        job = asked()
        with running(job):
            wait_for(lambda: len(receiver.arrived) == 3)
            wait_for(lambda: Job.objects.get(pk=job.pk).done == 2, what="progress while it runs")
            assert Job.objects.get(pk=job.pk).state == JobState.RUNNING
            getattr(queue, act)(job, principal=ME)
            wait_for(lambda: Job.objects.get(pk=job.pk).state != JobState.RUNNING, what="the end of it")
    job.refresh_from_db()
    assert (job.state, job.done, job.failures) == (
        JobState.CANCELLED if act == "cancel" else JobState.QUEUED,
        2,
        0,
    )


def test_a_paused_job_goes_on_where_it_was() -> None:
    keep(*range(1, 6))
    hanging = threading.Event()
    hanging.set()

    def answer(number: int, assoc: Association) -> int:
        return receiver.hang() if number == 2 and hanging.is_set() else 0

    with Receiver(answer) as receiver:
        destination(receiver.port)
        job = asked()
        with running(job):
            wait_for(lambda: len(receiver.arrived) == 3)
            queue.pause(job, principal=ME)
        hanging.clear()
        assert run(job).state == JobState.QUEUED  # it waits
        queue.resume(job, principal=ME)
        run(job)
    assert (job.state, job.done) == (JobState.SUCCEEDED, 5)
    assert Counter(arrived.sop_instance_uid for arrived in receiver.arrived).most_common(2)[1][1] == 1


def test_a_job_ends_while_it_waits_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1)
    connecting, enough = threading.Event(), threading.Event()

    def connect(self: object) -> None:
        connecting.set()
        enough.wait(60)

    monkeypatch.setattr("apps.storage.scu.Sender.connect", connect)
    destination(free_port())
    job = asked()
    with running(job):
        assert connecting.wait(60)
        queue.cancel(job, principal=ME)
        wait_for(lambda: Job.objects.get(pk=job.pk).state == JobState.CANCELLED)
        enough.set()


def test_while_one_peer_hangs_another_gets_its_own() -> None:
    keep(*range(1, 4))
    with Receiver(lambda number, assoc: slow.hang()) as slow, Receiver() as quick:
        destination(slow.port, "slow")
        destination(quick.port, "quick")
        hanging = asked("slow")
        with running(hanging):
            wait_for(lambda: slow.arrived)
            other = asked("quick")
            run(other)
            assert other.state == JobState.SUCCEEDED
            assert Job.objects.get(pk=hanging.pk).state == JobState.RUNNING
            queue.cancel(hanging, principal=ME)
