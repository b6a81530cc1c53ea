"""The kind of job "send": what is asked for, what the peer gets, and what it refuses."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection

from apps.accounts.principal import Kind as Of
from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.jobs import kind, queue
from apps.jobs.kind import NotAllowed
from apps.jobs.models import ItemState, Job, JobItem, JobState
from apps.jobs.runner import run_due
from apps.network import config
from apps.network.models import DicomwebServer, Peer
from apps.qr import sending
from apps.qr.asked import LEVELS
from apps.storage import archive
from apps.storage.models import Instance
from dicom.dimse import Association
from dicom.sop_classes import Service
from tests.node import free_port, wait_for
from tests.qr.files import SR, keep
from tests.qr.jobs import ME, STUDY, asked, destination, errors, log, run
from tests.qr.receiver import Receiver
from tests.storage.made import CT, EXPLICIT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]


# Asking


def test_what_is_asked_for_is_checked() -> None:
    keep(1)
    destination(free_port())
    destination(free_port(), "off", enabled=False)
    Peer.objects.create(name="caller", ae_title="CALLER")
    for name in ("nobody", "off", "caller", ""):
        with pytest.raises(InvalidRequest, match="peer: "):
            asked(name)
    for field in LEVELS:
        for wrong in (["1.2.x"], ["9.9.9"], "1.2.3", [1], [""], ["1" * 65]):
            with pytest.raises(InvalidRequest, match=f"{field}: "):
                asked(**{field: wrong})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="study_instance_uids: What is to be sent"):
        asked(study_instance_uids=[])
    with pytest.raises(InvalidRequest, match="colour: no such field"):
        kind.request("send", principal=ME, arguments={"peer": "workstation", "colour": "red", **STUDY})
    assert not Job.objects.exists()


def test_who_may_not_have_it_moved_may_not_have_it_sent() -> None:
    keep(1)
    destination(free_port())
    for principal in (
        Principal(kind=Of.USER, name="mover", services=frozenset({Service.MOVE})),
        Principal(kind=Of.USER, name="admin", administers=True),
    ):
        assert kind.kinds()["send"].right(principal)
    reader = Principal(kind=Of.USER, name="reader", services=frozenset({Service.FIND, Service.GET}))
    with pytest.raises(NotAllowed):
        kind.request("send", principal=reader, arguments={"peer": "workstation", **STUDY})


def test_studies_series_and_instances_are_sent_once_each_and_in_order() -> None:
    keep(2, 1, series="1.2.3.2", series_number="2")
    keep(10, 9, series="1.2.3.1", series_number="1")
    keep(1, series="1.2.4.1", study="1.2.4")
    keep(1, 2, series="1.2.4.2", study="1.2.4")
    with Receiver() as receiver:
        destination(receiver.port)
        job = run(
            asked(
                study_instance_uids=["1.2.3"],
                series_instance_uids=["1.2.3.2", "1.2.4.1"],
                sop_instance_uids=["1.2.3.1.9", "1.2.4.2.2", "1.2.4.1.1"],
            )
        )
    assert (job.state, job.total, job.done) == (JobState.SUCCEEDED, 6, 6)
    assert [arrived.sop_instance_uid for arrived in receiver.arrived] == [
        "1.2.3.1.9",
        "1.2.3.1.10",
        "1.2.3.2.1",
        "1.2.3.2.2",
        "1.2.4.1.1",
        "1.2.4.2.2",
    ]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_peer_that_is_renamed_gets_what_waits_for_it(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PEER", 0.0)
    keep(*range(1, 6))

    def rename() -> None:
        peer = Peer.objects.filter(name="workstation").first()
        if peer is not None:
            peer.name = "reading room"
            config.save(peer, principal=ME)

    def rename_in_a_thread(number: int, assoc: Association) -> int:
        rename()
        connection.close()
        time.sleep(0.2)
        return 0

    with Receiver(answer=rename_in_a_thread if when == "meanwhile" else lambda number, assoc: 0) as receiver:
        destination(receiver.port)
        job = asked()
        DicomwebServer.objects.create(name="workstation", url="http://127.0.0.1:1")
        other = queue.submit(kind="stow", principal=ME, arguments={"server": "workstation"}, peer="workstation")
        if when == "before":
            rename()
        run(job)
    other.refresh_from_db()
    assert (job.state, job.done, job.peer, other.peer) == (JobState.SUCCEEDED, 5, "reading room", "workstation")


def test_what_was_asked_for_and_is_not_here_is_named() -> None:
    keep(1)
    with Receiver() as receiver:
        destination(receiver.port)
        job = run(asked(study_instance_uids=["1.2.3", "1.2.9"], sop_instance_uids=["1.2.3.1.1", "1.2.3.1.99"]))
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 1, 1)
    assert errors(job) == {"1.2.3.1.99": "There is nothing of this UID"}
    assert "Nothing of the study 1.2.9 is here" in log(job)


def test_what_is_deleted_meanwhile_fails_alone() -> None:
    keep(1, 2, 3)
    destination(free_port())
    job = asked()
    assert run(job).total == 3  # nobody listens yet
    archive.delete(principal=ME, study_instance_uid="1.2.3", sop_instance_uids=["1.2.3.1.2"])
    with Receiver() as receiver:
        destination(receiver.port)
        run(job)
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 2, 1)
    assert errors(job) == {"1.2.3.1.2": "This was deleted"}


def test_what_is_deleted_while_it_is_sent_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PEER", 0.0)
    keep(*range(1, 31))

    def delete(number: int, assoc: Association) -> int:
        if number == 0:
            archive.delete(principal=ME, study_instance_uid="1.2.3")
            wait_for(lambda: JobItem.objects.filter(state=ItemState.FAILED).exists(), timeout=20)
            connection.close()
        return 0

    with Receiver(answer=delete) as receiver:
        destination(receiver.port)
        job = run(asked())
    assert job.state == JobState.FAILED
    assert job.done == len(receiver.arrived) <= 3  # and what was on its way
    assert set(errors(job).values()) == {"This was deleted"}


def test_a_job_whose_whole_study_is_gone_says_so() -> None:
    keep(1)
    destination(free_port())
    job = asked()
    Instance.objects.all().delete()
    assert run(job).state == JobState.FAILED
    assert "is here any more" in job.error


# What the peer says


def test_a_remark_of_the_peer_is_kept_with_what_it_has_taken() -> None:
    keep(1, 2, 3)
    with Receiver(lambda number, assoc: (0, 0xB000, 0x0111)[number]) as receiver:
        destination(receiver.port)
        job = run(asked())
    assert (job.state, job.done) == (JobState.SUCCEEDED, 3)
    assert errors(job) == {"1.2.3.1.2": "B000: Data elements were coerced", "1.2.3.1.3": "0111: It is there already"}
    assert "1 x B000" in log(job)


def test_what_the_peer_refuses_for_good_fails_alone_with_its_words() -> None:
    keep(1, 2, 3)

    def answer(number: int, assoc: Association) -> int:
        return 0xA900 if receiver.arrived[-1].sop_instance_uid.endswith(".2") else 0

    with Receiver(answer) as receiver:
        destination(receiver.port)
        job = run(asked())
    assert (job.state, job.done, job.failures, job.attempts) == (JobState.FAILED, 2, 1, 1)
    assert errors(job) == {"1.2.3.1.2": "A900: The data set does not match the SOP class"}


def test_a_peer_without_room_is_left_alone_for_a_while_and_then_gets_everything() -> None:
    keep(*range(1, 81))
    full = threading.Event()
    full.set()
    with Receiver(lambda number, assoc: 0xA700 if full.is_set() and number >= 3 else 0) as receiver:
        destination(receiver.port)
        job = run(asked())
        assert (job.state, job.done, job.failures) == (JobState.QUEUED, 3, 0)
        assert len(receiver.arrived) < 80
        assert job.error == "77 of 80 still to be sent: A700: Out of resources"
        assert set(errors(job).values()) == {"A700: Out of resources"}
        full.clear()
        run(job)
    assert (job.state, job.done, job.error) == (JobState.SUCCEEDED, 80, "")
    assert errors(job) == {}
    accepted = Counter(arrived.sop_instance_uid for arrived in receiver.arrived[:3] + receiver.arrived[-77:])
    assert set(accepted.values()) == {1}


def test_a_sop_class_that_the_peer_does_not_take_fails_and_the_others_go() -> None:
    keep(1, 2)
    keep(3, series="1.2.3.2", sop_class=SR, modality="SR")
    with Receiver(sop_classes=(CT,)) as receiver:
        destination(receiver.port)
        job = run(asked())
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 2, 1)
    assert errors(job) == {"1.2.3.2.3": "0122: SOP class not supported: The receiver does not accept this SOP class"}


def test_a_peer_that_takes_nothing_at_all_leaves_a_reason_at_each() -> None:
    keep(*range(1, 41))
    with Receiver(sop_classes=()) as receiver:
        destination(receiver.port)
        job = run(asked())
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 0, 40)
    assert job.error == "40 of 40 failed"
    assert "40 x 0122: SOP class not supported" in log(job)


# Commitment


def test_a_peer_that_commits_is_asked_once_for_what_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1, 2)
    table = {**kind.kinds(), "commit": kind.Kind(lambda run: None)}
    monkeypatch.setattr(sending, "kinds", lambda: table)
    with Receiver() as receiver:
        destination(receiver.port, commits_storage=True)
        job = run(asked())
        assert job.state == JobState.SUCCEEDED
        Job.objects.filter(pk=job.pk).update(state=JobState.FAILED)
        queue.retry(job, principal=ME)
        run_due(limit=1)
    commit = Job.objects.get(kind="commit")
    assert (commit.arguments, commit.peer) == ({"peer": "workstation", "job": job.pk}, "workstation")
    job.refresh_from_db()
    assert job.result["commit_job"] == commit.pk


def test_what_is_stored_leaves_as_it_is_stored(tmp_path: Path) -> None:
    kept = keep(1, 2, 3)
    with Receiver(transfer_syntaxes=(EXPLICIT,)) as receiver:
        destination(receiver.port)
        assert run(asked()).state == JobState.SUCCEEDED
    assert {arrived.sop_instance_uid: arrived.data_set for arrived in receiver.arrived} == kept
    assert set(Job.objects.get().items.values_list("state", flat=True)) == {ItemState.SUCCEEDED}
