"""Reports on an association of ours, to who has released his."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pynetdicom import AE, evt

from apps.accounts.principal import system
from apps.commitment import live, reporting
from apps.commitment.models import CommitmentRequest, State
from apps.jobs import queue, runner
from apps.jobs.models import Job, JobState
from apps.network import config
from apps.network.models import Listener, Peer
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from tests.commitment.asking import Told, ask, ask_and_go, asked, modality, reference
from tests.commitment.conftest import Serve
from tests.node import free_port, wait_for
from tests.qr.serving import Serving
from tests.storage import made

T = "1.2.3.78"


@pytest.fixture
def serving(serve: Serve) -> Serving:
    made.receive(sop="1.5.1")
    made.index()
    return serve()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def caller(told: Told) -> Iterator[Peer]:
    """Whom we can call back."""
    with modality(told) as port:
        yield Peer.objects.create(name="CT", ae_title="CALLER", host="127.0.0.1", port=port, services=["commitment"])


def run() -> None:
    """All that waits, as if its time had come and the association had been gone for long."""
    wait_for(lambda: live.watch.idle)
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    runner.run_due()
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    runner.run_due()


def request() -> CommitmentRequest:
    return CommitmentRequest.objects.get()


def test_who_has_released_is_told_on_a_new_association(serving: Serving, caller: Peer, told: Told) -> None:
    ask_and_go(serving, asked(T, reference("1.5.1"), reference("1.5.2")))
    run()
    assert told.reports == [(T, 2, ["1.5.1"], {"1.5.2": 0x0112})]
    assert request().state == State.REPORTED
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.SUCCEEDED}


def test_a_report_names_the_listeners_that_retrieve_where_its_own_does_not(
    serving: Serving, caller: Peer, told: Told
) -> None:
    ask_and_go(serving, asked(T, reference("1.5.1")))
    run()
    Listener.objects.update(services=["echo", "store", "commitment"])
    for title, service in (("MOVES", "move"), ("GETS", "get"), ("TAKES", "store")):
        Listener.objects.create(name=title, ae_title=title, port=free_port(), services=[service])
    ask_and_go(serving, asked(f"{T}.2", reference("1.5.1")))
    run()
    assert told.retrieve == ["PACS", ["GETS", "MOVES"]]


def test_a_report_that_is_refused_is_tried_again(serving: Serving, caller: Peer, told: Told) -> None:
    told.status = 0x0110
    ask_and_go(serving, asked(T, reference("1.5.1")))
    run()
    job = Job.objects.get(kind=reporting.REPORT)
    assert job.state == JobState.QUEUED
    assert "has not taken the report: Status 0110" in job.error
    assert request().state == State.DECIDED
    told.status = 0x0000
    run()
    assert request().state == State.REPORTED
    assert len(told.reports) >= 2
    assert told.reports[0] == told.reports[-1] == (T, 1, ["1.5.1"], {})


def test_a_peer_that_is_away_is_tried_again(serving: Serving, told: Told) -> None:
    peer = Peer.objects.create(name="CT", ae_title="CALLER", host="127.0.0.1", port=free_port())
    ask_and_go(serving, asked(T, reference("1.5.1")))
    run()
    assert "Cannot connect" in Job.objects.get(kind=reporting.REPORT).error
    assert "Cannot connect" in request().error
    with modality(told) as port:
        Peer.objects.filter(pk=peer.pk).update(port=port)
        run()
    assert told.reports == [(T, 1, ["1.5.1"], {})]
    assert (request().state, request().error) == (State.REPORTED, "")


def test_after_the_last_attempt_the_request_says_that_it_was_never_told(serving: Serving) -> None:
    Peer.objects.create(name="CT", ae_title="CALLER", host="127.0.0.1", port=free_port())
    ask_and_go(serving, asked(T, reference("1.5.1")))
    run()
    Job.objects.filter(kind=reporting.REPORT).update(attempts=reporting.ATTEMPTS - 1)
    run()
    assert Job.objects.get(kind=reporting.REPORT).state == JobState.FAILED
    assert request().state == State.NOT_REPORTED


def test_who_cannot_be_called_is_told_so_at_the_job_and_once_he_can_it_is_tried_again(
    serving: Serving, told: Told
) -> None:
    ask_and_go(serving, asked(T, reference("1.5.1")))
    run()
    job = Job.objects.get(kind=reporting.REPORT)
    assert job.state == JobState.FAILED
    assert "has no host and port" in job.error
    assert request().state == State.NOT_REPORTED
    with modality(told) as port:
        Peer.objects.create(name="CT", ae_title="CALLER", host="127.0.0.1", port=port)
        queue.retry(job, principal=system("test"))
        run()
    assert told.reports == [(T, 1, ["1.5.1"], {})]


@pytest.mark.parametrize("ae_title", ["CALLER", "CALLER2"])
def test_who_has_another_name_and_ae_title_by_now_is_told_and_not_who_has_his_old_one(
    ae_title: str, serve: Serve, told: Told
) -> None:
    made.receive(sop="1.5.1")
    made.index()
    peer = Peer.objects.create(name="CT", ae_title="CALLER", host="127.0.0.1", port=free_port())
    ask_and_go(serve(name="CT"), asked(T, reference("1.5.1")))
    run()
    other = Told()
    with modality(told) as port, modality(other) as elsewhere:
        peer.name, peer.ae_title, peer.port = "CT 2", ae_title, port
        config.save(peer, principal=system("test"))
        Peer.objects.create(name="Another CT", ae_title="CALLER", host="127.0.0.1", port=elsewhere)
        run()
    assert (told.reports, other.reports) == ([(T, 1, ["1.5.1"], {})], [])
    assert request().state == State.REPORTED


def test_who_is_disabled_is_told_once_he_is_enabled_again(serving: Serving, caller: Peer, told: Told) -> None:
    Peer.objects.update(enabled=False)
    ask_and_go(serving, asked(T, reference("1.5.1")))
    run()
    job = Job.objects.get(kind=reporting.REPORT)
    assert (job.state, job.error, request().state) == (JobState.QUEUED, "The peer CT is disabled", State.DECIDED)
    Peer.objects.update(enabled=True)
    run()
    assert told.reports == [(T, 1, ["1.5.1"], {})]


def test_a_report_refused_on_the_same_association_goes_on_one_of_ours(
    serving: Serving, caller: Peer, told: Told
) -> None:
    refusing = Told()
    refusing.status = 0x0213
    with serving.call(PUSH, handlers=refusing.handlers) as assoc:
        assert ask(assoc, asked(T, reference("1.5.1"))).Status == 0x0000
        runner.run_due()
        wait_for(lambda: refusing.reports)
        wait_for(lambda: live.watch.idle)
        run()
    assert told.reports == [(T, 1, ["1.5.1"], {})]


def test_a_peer_that_knows_no_role_selection_is_told_as_well(serving: Serving, told: Told) -> None:
    ae = AE("CALLER")
    ae.add_supported_context(PUSH)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, told.take)])
    try:
        Peer.objects.create(
            name="CT", ae_title="CALLER", host="127.0.0.1", port=server.socket.getsockname()[1], services=[]
        )
        ask_and_go(serving, asked(T, reference("1.5.1")))
        run()
    finally:
        server.shutdown()
    assert told.reports == [(T, 1, ["1.5.1"], {})]


def test_a_report_is_left_to_the_association_that_holds_it_and_no_longer(
    serving: Serving, caller: Peer, told: Told
) -> None:
    ask_and_go(serving, asked(T, reference("1.5.1")))
    wait_for(lambda: live.watch.idle)
    held = timezone.now() + timedelta(minutes=1)
    CommitmentRequest.objects.update(held_by="an association", held_until=held)
    runner.run_due()
    job = Job.objects.get(kind=reporting.REPORT)
    assert (job.state, job.due_at, told.reports) == (JobState.QUEUED, held, [])
    CommitmentRequest.objects.update(held_until=timezone.now())  # nobody renews it
    run()
    assert told.reports == [(T, 1, ["1.5.1"], {})]
