"""What we ask of peers: pynetdicom as an archive that commits, on the same association or later on one of its own."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pytest_django import Settings

from apps.accounts.principal import Kind as Who
from apps.accounts.principal import Principal, system
from apps.accounts.rest import InvalidRequest
from apps.commitment import asking
from apps.commitment.models import CommitmentRequest, Direction, State
from apps.jobs import kind, queue, runner
from apps.jobs.models import ItemState, Job, JobState
from apps.network.models import Peer
from dicom.commitment import INSTANCE
from dicom.datasets import data_set
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from dicom.sop_classes import Service
from tests.commitment.asking import ROLE, asked, reference
from tests.commitment.conftest import Serve
from tests.node import wait_for
from tests.qr.serving import Serving
from tests.storage import made

STUDY = "1.2.3"
UIDS = ["1.5.1", "1.5.2", "1.5.3"]
JANE = Principal(Who.USER, "jane", key=7, services=frozenset({Service.COMMITMENT, Service.FIND}))


def report(request: Dataset, failed: dict[str, int], *, named: int = 3) -> tuple[int, Dataset]:
    """Event type and information that answer a request; only so many references are named."""
    ds = data_set(TransactionUID=request.TransactionUID)
    items = list(request.ReferencedSOPSequence)[:named]
    good = [item for item in items if item.ReferencedSOPInstanceUID not in failed]
    bad = [item for item in items if item.ReferencedSOPInstanceUID in failed]
    for item in bad:
        item.FailureReason = failed[item.ReferencedSOPInstanceUID]
    ds.ReferencedSOPSequence = good
    if bad:
        ds.FailedSOPSequence = bad
    return (2 if bad else 1), ds


class Archive:
    """Another's. `at_once`: it reports on the association that asked."""

    def __init__(self) -> None:
        self.requests: list[Dataset] = []
        self.status = 0x0000
        self.at_once = True
        self.failed: dict[str, int] = {}
        self.answers: list[int] = []
        self._threads: list[threading.Thread] = []

    def act(self, event: Any) -> tuple[int, Dataset | None]:
        request = event.action_information
        self.requests.append(request)
        if self.status == 0x0000 and self.at_once:
            thread = threading.Thread(target=self._tell, args=(event.assoc, request))
            self._threads.append(thread)
            thread.start()
        return self.status, None

    def _tell(self, assoc: Any, request: Dataset) -> None:
        event_type, ds = report(request, self.failed)
        status, _ = assoc.send_n_event_report(ds, event_type, PUSH, INSTANCE)
        self.answers.append(status.get("Status", -1))

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def remote() -> Archive:
    return Archive()


@pytest.fixture
def peer(remote: Archive, transactional_db: None, archive: None) -> Iterator[Peer]:
    ae = AE("LTA")
    ae.add_supported_context(PUSH)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, remote.act)])
    for uid in UIDS:
        made.receive(sop=uid)
    made.index()
    try:
        yield Peer.objects.create(
            name="LTA", ae_title="LTA", host="127.0.0.1", port=server.socket.getsockname()[1], commits_storage=True
        )
    finally:
        server.shutdown()
        remote.join()


def submitted(**arguments: Any) -> Job:
    return kind.request(
        "commit",
        principal=JANE,
        arguments={"peer": "LTA", **(arguments or {"study_instance_uids": [STUDY]})},
    )


@pytest.fixture(autouse=True)
def as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of these tests have no rows."""
    monkeypatch.setattr(runner, "refreshed", lambda principal: principal)


def run(job: Job) -> Job:
    Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(due_at=timezone.now())
    runner.run_due()
    job.refresh_from_db()
    return job


def tell(serving: Serving, request: Dataset, failed: dict[str, int], **options: Any) -> int:
    """On an association of the archive's own; the status we answer with."""
    event_type, ds = report(request, failed, **options)
    with serving.call(PUSH, extended=[ROLE]) as assoc:
        status, _ = assoc.send_n_event_report(ds, event_type, PUSH, INSTANCE)
    return int(status.Status)


def test_a_report_on_the_same_association_ends_the_job(peer: Peer, remote: Archive, settings: Settings) -> None:
    settings.COMMITMENT_PATIENCE = 30
    job = run(submitted())
    assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, 3, 3)
    assert (job.result["committed"], job.result["failed"], job.result["not_committed"]) == (3, 0, [])
    remote.join()
    assert remote.answers == [0x0000]
    assert [str(item.ReferencedSOPInstanceUID) for item in remote.requests[0].ReferencedSOPSequence] == UIDS
    request = CommitmentRequest.objects.get()
    assert (request.direction, request.state, request.committed) == (Direction.SENT, State.REPORTED, 3)


def test_what_is_not_committed_is_named_with_its_reason_and_only_that_is_asked_again(
    peer: Peer, remote: Archive, settings: Settings
) -> None:
    settings.COMMITMENT_PATIENCE = 30
    remote.failed = {"1.5.2": 0x0112}
    job = run(submitted())
    assert job.state == JobState.FAILED
    assert job.error == "LTA does not keep 1 of 3 instances; the first: 0112 No such object instance"
    assert [entry["sop_instance_uid"] for entry in job.result["not_committed"]] == ["1.5.2"]
    assert job.result["not_committed"][0]["reason"] == "0112 No such object instance"
    remote.failed = {}
    queue.retry(job, principal=system("test"))
    run(job)
    assert (job.state, job.result["failed"]) == (JobState.SUCCEEDED, 0)
    assert [str(item.ReferencedSOPInstanceUID) for item in remote.requests[1].ReferencedSOPSequence] == ["1.5.2"]
    assert remote.requests[0].TransactionUID != remote.requests[1].TransactionUID


def test_a_report_that_comes_later_is_taken_by_our_listener(serve: Serve, peer: Peer, remote: Archive) -> None:
    remote.at_once = False
    serving = serve(name="LTA", services=frozenset(Service))
    job = run(submitted())
    assert (job.state, job.error) == (JobState.QUEUED, "LTA has not reported yet")
    assert job.result["state"] == State.ASKED
    assert job.due_at > timezone.now() + timedelta(minutes=9)
    assert tell(serving, remote.requests[0], {"1.5.3": 0x0119}) == 0x0000
    job.refresh_from_db()
    assert job.due_at <= timezone.now()
    run(job)
    assert job.state == JobState.FAILED
    assert "1 of 3 instances; the first: 0119" in job.error
    assert tell(serving, remote.requests[0], {}) == 0x0000  # again: nothing changes
    assert CommitmentRequest.objects.get().failed == 1


def test_what_a_report_does_not_name_is_not_committed(serve: Serve, peer: Peer, remote: Archive) -> None:
    remote.at_once = False
    serving = serve(name="LTA")
    job = run(submitted())
    assert tell(serving, remote.requests[0], {}, named=2) == 0x0000
    run(job)
    assert job.error.endswith("1 of 3 instances; the first: 0110 Processing failure: The report does not name it")


def test_a_report_is_taken_from_whom_we_asked_only(serve: Serve, peer: Peer, remote: Archive) -> None:
    remote.at_once = False
    serving = serve(name="somebody else")
    job = run(submitted())
    assert tell(serving, remote.requests[0], {}) == 0x0115
    assert CommitmentRequest.objects.get().state == State.ASKED
    assert tell(serve(name="LTA"), asked("1.2.3.4.5", reference("1.5.1")), {}) == 0x0115  # never asked for
    assert run(job).state == JobState.QUEUED


def test_who_does_not_report_in_time_is_asked_again_and_a_late_report_counts(
    serve: Serve, peer: Peer, remote: Archive
) -> None:
    remote.at_once = False
    serving = serve(name="LTA")
    job = run(submitted())
    CommitmentRequest.objects.update(asked_at=timezone.now() - asking.OVERDUE[0])
    run(job)
    assert len(remote.requests) == 2
    assert job.state == JobState.QUEUED
    assert sorted(CommitmentRequest.objects.values_list("state", flat=True)) == [State.ASKED, State.OVERDUE]
    assert tell(serving, remote.requests[0], {}) == 0x0000
    assert run(job).state == JobState.SUCCEEDED


def test_who_never_reports_is_not_asked_for_ever(peer: Peer, remote: Archive) -> None:
    remote.at_once = False
    job = submitted()
    for _ in range(len(asking.OVERDUE) + 2):
        CommitmentRequest.objects.update(asked_at=timezone.now() - timedelta(days=2))
        run(job)
    assert job.state == JobState.FAILED
    assert job.error == "LTA was asked 5 times, and has never reported"


def test_who_is_away_is_tried_again(peer: Peer, remote: Archive, settings: Settings) -> None:
    settings.COMMITMENT_PATIENCE = 30
    Peer.objects.filter(pk=peer.pk).update(port=1)
    job = run(submitted())
    assert job.state == JobState.QUEUED
    assert "Cannot connect" in job.error
    Peer.objects.filter(pk=peer.pk).update(port=peer.port)
    assert run(job).state == JobState.SUCCEEDED
    assert CommitmentRequest.objects.count() == 1


def test_who_is_disabled_is_asked_once_he_is_enabled_again(peer: Peer, remote: Archive, settings: Settings) -> None:
    settings.COMMITMENT_PATIENCE = 30
    job = submitted()
    Peer.objects.update(enabled=False)
    assert run(job).state == JobState.QUEUED
    assert job.error == "The peer LTA is disabled, or has no address"
    Peer.objects.update(enabled=True)
    assert run(job).state == JobState.SUCCEEDED


def test_what_a_peer_has_reported_counts_though_it_was_disabled_or_removed_since(
    serve: Serve, peer: Peer, remote: Archive
) -> None:
    remote.at_once = False
    serving = serve(name="LTA")
    job = run(submitted())
    assert tell(serving, remote.requests[0], {}) == 0x0000
    peer.delete()
    assert run(job).state == JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("status", "state"), [(0x0110, JobState.QUEUED), (0x0213, JobState.QUEUED), (0x0112, JobState.FAILED)]
)
def test_a_refused_request_is_tried_again_where_that_may_help(
    peer: Peer, remote: Archive, status: int, state: JobState
) -> None:
    remote.status = status
    job = run(submitted())
    assert job.state == state
    assert job.error == f"LTA refused: Status {status:04X}"


def test_a_peer_without_the_service_is_said_to_have_none(transactional_db: None, archive: None) -> None:
    ae = AE("LTA")
    ae.add_supported_context("1.2.840.10008.1.1")
    made.receive(sop="1.5.1")
    made.index()
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        Peer.objects.create(name="LTA", ae_title="LTA", host="127.0.0.1", port=server.socket.getsockname()[1])
        job = run(submitted())
    finally:
        server.shutdown()
    assert (job.state, job.error) == (JobState.FAILED, "LTA does not offer storage commitment")
    assert CommitmentRequest.objects.get().state == State.REFUSED


def test_of_a_send_only_what_was_sent_is_asked_for(peer: Peer, remote: Archive, settings: Settings) -> None:
    settings.COMMITMENT_PATIENCE = 30
    send = queue.submit(kind="send", principal=JANE, items=UIDS, due_at=timezone.now() + timedelta(days=1))
    send.items.filter(key__in=UIDS[:2]).update(state=ItemState.SUCCEEDED)
    job = run(submitted(job=send.pk))
    assert (job.state, job.result["committed"]) == (JobState.SUCCEEDED, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"peer": "NOBODY", "study_instance_uids": [STUDY]},
        {"peer": "LTA"},
        {"peer": "LTA", "study_instance_uids": []},
        {"peer": "LTA", "study_instance_uids": ["x"]},
        {"peer": "LTA", "study_instance_uids": "1.2"},
        {"peer": "LTA", "study_instance_uids": ["1.2.3"] * 10_001},
        {"peer": "LTA", "job": 999},
        {"peer": "LTA", "job": "1"},
        {"peer": "LTA", "job": 1 << 70},
        {"peer": "LTA", "study_instance_uids": [STUDY], "sop_instance_uids": ["1.5.1"]},
        {"peer": "LTA", "study_instance_uids": [STUDY], "other": 1},
        {"peer": 7, "study_instance_uids": [STUDY]},
    ],
)
def test_what_cannot_be_asked_for_is_refused(peer: Peer, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        asking.check(system("test"), arguments)


def test_what_others_have_sent_is_not_told_of(peer: Peer, remote: Archive) -> None:
    """Whether there is such a job, and which images it was about."""
    send = queue.submit(kind="send", principal=system("test"), items=UIDS, due_at=timezone.now() + timedelta(days=1))
    with pytest.raises(InvalidRequest, match="no such job"):
        submitted(job=send.pk)
    arguments = {"peer": "LTA", "job": send.pk}
    job = run(queue.submit(kind="commit", principal=JANE, arguments=arguments, peer="LTA"))
    assert job.state == JobState.FAILED
    assert not remote.requests


def test_what_a_report_names_as_kept_and_as_not_kept_is_not_committed(
    serve: Serve, peer: Peer, remote: Archive
) -> None:
    remote.at_once = False
    serving = serve(name="LTA")
    job = run(submitted())
    event_type, ds = report(remote.requests[0], {"1.5.2": 0x0112})
    ds.ReferencedSOPSequence = [*ds.ReferencedSOPSequence, reference("1.5.2")]
    with serving.call(PUSH, extended=[ROLE]) as assoc:
        assert assoc.send_n_event_report(ds, event_type, PUSH, INSTANCE)[0].Status == 0x0000
    assert run(job).error.startswith("LTA does not keep 1 of 3 instances")


def test_what_is_not_here_is_named_as_not_asked_for(peer: Peer, remote: Archive, settings: Settings) -> None:
    settings.COMMITMENT_PATIENCE = 30
    job = run(submitted(study_instance_uids=[STUDY, "9.9.9"]))
    assert job.state == JobState.SUCCEEDED
    assert job.lines.values_list("text", flat=True)[0] == "Nothing of 9.9.9 is here: it is not asked for"


def test_nothing_is_asked_where_nothing_is_there(peer: Peer, remote: Archive) -> None:
    job = run(submitted(study_instance_uids=["9.9.9"]))
    assert (job.state, job.error) == (JobState.FAILED, "Nothing of what was asked for is here")
    assert not remote.requests
    wait_for(lambda: not CommitmentRequest.objects.exists())
