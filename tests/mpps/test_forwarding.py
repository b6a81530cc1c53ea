"""What modalities report to us is reported on: to pynetdicom, and to a second archive of ours."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from apps.accounts.principal import Kind, Principal, system
from apps.accounts.rest import InvalidRequest
from apps.jobs import kind, outbox, queue
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.mpps import procedure_step
from apps.mpps.models import ForwardedStep, PerformedProcedureStep
from apps.network.models import Peer
from dicom.datasets import encode
from dicom.jsonmodel import read
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, Service
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from tests.mpps.reporting import begun, ended
from tests.node import free_port
from tests.qr.serving import Serving

pytestmark = pytest.mark.django_db(transaction=True)

UID = "1.2.3.4.5"
CT = Principal(kind=Kind.PEER, name="ct", ae_title="CT1", services=frozenset({Service.MPPS}))


class Ris:
    """Takes what it is told as PS3.4 F.7.2 wants it, and remembers each message."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.steps: dict[str, Dataset] = {}
        self.status = 0x0000

    def create(self, event: Any) -> tuple[int, Dataset | None]:
        uid, ds = str(event.request.AffectedSOPInstanceUID), event.attribute_list
        self.told.append(("create", uid, ds.PerformedProcedureStepStatus))
        if self.status:
            return self.status, None
        if uid in self.steps:
            return 0x0111, None
        self.steps[uid] = ds
        return 0x0000, None

    def change(self, event: Any) -> tuple[int, Dataset | None]:
        uid, ds = str(event.request.RequestedSOPInstanceUID), event.modification_list
        self.told.append(("set", uid, ds.PerformedProcedureStepStatus))
        if uid not in self.steps:
            return 0x0112, None
        assert "PatientID" not in ds  # not to be set
        self.steps[uid].update(ds)
        return 0x0000, None


@pytest.fixture
def ris() -> Iterator[Ris]:
    ris, ae = Ris(), AE("RIS")
    ae.add_supported_context(MPPS)
    handlers = [(evt.EVT_N_CREATE, ris.create), (evt.EVT_N_SET, ris.change)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    port = server.socket.getsockname()[1]
    Peer.objects.create(name="ris", ae_title="RIS", host="127.0.0.1", port=port, forwards_mpps=True)
    yield ris
    server.shutdown()


def json(ds: Dataset) -> Any:
    return read(encode(ds, EXPLICIT_VR_LITTLE_ENDIAN), EXPLICIT_VR_LITTLE_ENDIAN)


def reported(ds: Dataset, *, by: Principal = CT) -> None:
    if PerformedProcedureStep.objects.filter(sop_instance_uid=UID).exists():
        procedure_step.modify(principal=by, sop_instance_uid=UID, changes=json(ds))
    else:
        procedure_step.create(principal=by, sop_instance_uid=UID, data_set=json(ds))


def ran() -> None:
    """All jobs that wait, and what they make."""
    outbox.dispatch()
    for _ in range(3):
        Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
        run_due()


def states() -> list[str]:
    jobs = Job.objects.filter(kind="forward_mpps", peer="ris").order_by("pk")
    return list(jobs.values_list("state", flat=True))


def test_each_report_is_told_on_in_its_order_with_the_same_uid(ris: Ris) -> None:
    reported(begun())
    ran()
    assert [action for action, _, _ in ris.told] == ["create", "set"]
    reported(ended("COMPLETED", "1.2.3.4.9"))
    ran()
    assert {uid for _, uid, _ in ris.told} == {UID}
    assert [status for _, _, status in ris.told] == ["IN PROGRESS", "IN PROGRESS", "COMPLETED"]
    step = ris.steps[UID]
    assert (step.PatientID, step.PerformedProcedureStepEndTime) == ("17", "103000")
    (series,) = step.PerformedSeriesSequence
    assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.9"
    assert states() == [JobState.SUCCEEDED, JobState.SUCCEEDED]


def test_a_step_that_ended_before_anybody_was_told_begins_in_progress_all_the_same(ris: Ris) -> None:
    reported(begun())
    reported(ended("DISCONTINUED", "1.2.3.4.9"))
    ran()
    assert [status for _, _, status in ris.told] == ["IN PROGRESS", "DISCONTINUED"]


def test_what_a_peer_knows_already_is_not_told_again(ris: Ris) -> None:
    reported(begun())
    ran()
    before = list(ris.told)
    outbox.write(procedure_step.PERFORMED_CHANGED, {"performed": PerformedProcedureStep.objects.get().pk})
    ran()
    assert ris.told == before


def test_a_create_whose_answer_was_lost_is_no_failure(ris: Ris) -> None:
    reported(begun())
    ran()
    ForwardedStep.objects.update(created=False, digest="")
    outbox.write(procedure_step.PERFORMED_CHANGED, {"performed": PerformedProcedureStep.objects.get().pk})
    ran()
    assert [action for action, _, _ in ris.told] == ["create", "set", "create", "set"]
    assert states()[-1] == JobState.SUCCEEDED


def test_who_reported_is_not_told_his_own(ris: Ris) -> None:
    reported(begun(), by=Principal(kind=Kind.PEER, name="ris", ae_title="RIS", services=frozenset({Service.MPPS})))
    ran()
    assert ris.told == []


def test_without_anybody_who_wants_it_no_job_is_made() -> None:
    reported(begun())
    ran()
    assert not Job.objects.filter(kind="forward_mpps").exists()


def test_a_ris_that_is_away_is_told_when_it_is_back(ris: Ris) -> None:
    peer = Peer.objects.get()
    port, peer.port = peer.port, free_port()
    peer.save()
    reported(begun())
    ran()
    assert states() == [JobState.QUEUED]
    Peer.objects.update(port=port)
    ran()
    assert (states(), len(ris.told)) == ([JobState.SUCCEEDED], 2)


@pytest.mark.parametrize(("status", "state"), [(0x0106, JobState.FAILED), (0x0110, JobState.QUEUED)])
def test_what_the_ris_will_never_take_fails_and_what_it_may_take_waits(status: int, state: str, ris: Ris) -> None:
    ris.status = status
    reported(begun())
    ran()
    assert states() == [state]
    assert Job.objects.get(peer="ris").error == f"ris: Status {status:04X}"


def test_one_step_is_told_to_a_peer_on_request(ris: Ris) -> None:
    Peer.objects.update(forwards_mpps=False)
    reported(begun())
    ran()
    assert ris.told == []
    kind.request("forward_mpps", principal=system("test"), arguments={"peer": "ris", "sop_instance_uid": UID})
    ran()
    assert len(ris.told) == 2
    for wrong in ({"peer": "ris"}, {"peer": "nobody", "sop_instance_uid": UID}, {"sop_instance_uid": UID}):
        with pytest.raises(InvalidRequest):
            kind.request("forward_mpps", principal=system("test"), arguments=wrong)


def test_what_a_second_archive_of_ours_has_in_its_final_state_is_left_there() -> None:
    with Serving() as serving:
        Peer.objects.create(name="ris", ae_title="PACS", host="127.0.0.1", port=serving.port, forwards_mpps=True)
        reported(begun())
        reported(ended("COMPLETED", "1.2.3.4.9"))
        ran()  # it is the same archive: the step is there, and final
    assert states() == [JobState.SUCCEEDED]
    assert PerformedProcedureStep.objects.get().status == "COMPLETED"


def test_of_two_jobs_of_a_step_the_later_one_waits_for_the_earlier(ris: Ris) -> None:
    reported(begun())
    step = PerformedProcedureStep.objects.get()
    arguments = {"performed": step.pk, "peer": "ris"}
    jobs = []
    for _ in range(2):
        job = queue.submit(kind="forward_mpps", principal=system("test"), arguments=arguments, key=f"{step.pk}/ris")
        Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)
        jobs.append(job)
    Job.objects.filter(pk=jobs[1].pk).update(state=JobState.QUEUED)
    run_due()
    jobs[1].refresh_from_db()
    assert (jobs[1].state, jobs[1].error, ris.told) == (JobState.QUEUED, "The one before it still runs", [])
