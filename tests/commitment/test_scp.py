"""N-ACTION as pynetdicom asks, N-EVENT-REPORT on the same association: PS3.4 J.3 and the reasons of PS3.3 C.14.1.1."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pydicom.dataset import Dataset
from pytest_django import Settings

from apps.accounts.principal import system
from apps.commitment import live
from apps.commitment.models import CommitmentRequest, State
from apps.jobs import runner
from apps.jobs.models import Job, JobState
from apps.storage import archive as stored
from apps.storage import placement
from apps.storage.models import DamagedFile, Instance, QuarantinedInstance
from dicom.datasets import data_set
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from tests.commitment.asking import SYNTAXES, Told, ask, asked, reference
from tests.commitment.conftest import Serve
from tests.node import wait_for
from tests.qr.serving import Serving
from tests.storage import made
from tests.storage.made import MR

T = "1.2.3.77"


def take(*uids: str) -> None:
    for uid in uids:
        made.receive(sop=uid)
    made.index()


def told(serving: Serving, ds: Dataset, reports: int = 1, syntax: str = SYNTAXES[0]) -> Told:
    """What is reported on the association that asked."""
    heard = Told()
    with serving.call(PUSH, transfer_syntaxes=[syntax], handlers=heard.handlers) as assoc:
        assert ask(assoc, ds).Status == 0x0000
        runner.run_due()
        hears(heard, reports)
    wait_for(lambda: live.watch.idle)
    return heard


def hears(heard: Told, reports: int = 1) -> None:
    """It has been told, and the archive has its answer: who releases while he answers is no peer to test with."""
    wait_for(lambda: len(heard.reports) == reports, what="a report")
    wait_for(lambda: live.watch.idle, what="its answer")


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_there_is_committed_on_the_same_association(serve: Serve, syntax: str) -> None:
    take("1.5.1", "1.5.2")
    heard = told(serve(), asked(T, reference("1.5.1"), reference("1.5.2")), syntax=syntax)
    assert heard.reports == [(T, 1, ["1.5.1", "1.5.2"], {})]
    request = CommitmentRequest.objects.get()
    assert (request.state, request.committed, request.failed) == (State.REPORTED, 2, 0)
    assert request.calling_ae_title == "CALLER"
    runner.run_due()
    assert set(Job.objects.values_list("state", flat=True)) <= {JobState.SUCCEEDED, JobState.QUEUED}


def test_each_reason_is_named_for_the_reference_it_is_about(serve: Serve) -> None:
    take("1.5.1", "1.5.2", "1.5.3", "1.5.4")
    stored.delete(principal=system("test"), study_instance_uid="1.2.3", sop_instance_uids=["1.5.4"])
    placement.path_of(Instance.objects.get(sop_instance_uid="1.5.2").path).unlink()
    heard = told(
        serve(),
        asked(
            T,
            reference("1.5.1"),
            reference("1.5.2"),
            reference("1.5.3", MR),
            reference("1.5.4"),
            reference("1.5.5"),
            reference("1.5.6", "1.2.840.10008.3.1.2.3.3"),
        ),
    )
    failed = {"1.5.2": 0x0110, "1.5.3": 0x0119, "1.5.4": 0x0112, "1.5.5": 0x0112, "1.5.6": 0x0122}
    assert heard.reports == [(T, 2, ["1.5.1"], failed)]
    assert DamagedFile.objects.get().fault == "The file is missing"


def flip(uid: str, place: int = -1) -> None:
    """One bit of a stored file."""
    path = placement.path_of(Instance.objects.get(sop_instance_uid=uid).path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def test_one_flipped_bit_is_found_and_shown_until_it_is_mended(serve: Serve) -> None:
    take("1.5.1", "1.5.2")
    flip("1.5.2")
    serving = serve()
    heard = told(serving, asked(T, reference("1.5.1"), reference("1.5.2")))
    assert heard.reports == [(T, 2, ["1.5.1"], {"1.5.2": 0x0110})]
    damaged = DamagedFile.objects.get()
    assert (damaged.sop_instance_uid, damaged.is_open) == ("1.5.2", True)
    assert damaged.fault == "The content is not what was received"
    flip("1.5.2")
    again = told(serving, asked(f"{T}.2", reference("1.5.2")))
    assert again.reports == [(f"{T}.2", 1, ["1.5.2"], {})]
    assert not DamagedFile.objects.get().is_open


def test_a_file_that_was_cut_short_is_not_committed(serve: Serve) -> None:
    take("1.5.1")
    path = placement.path_of(Instance.objects.get().path)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-2])
    assert told(serve(), asked(T, reference("1.5.1"))).reports == [(T, 2, [], {"1.5.1": 0x0110})]


def test_the_sender_of_a_version_in_quarantine_gets_no_commitment_and_others_do(serve: Serve) -> None:
    made.receive(sop="1.5.1", source=made.provenance(calling_ae_title="FIRST", peer="loopback"))
    made.receive(sop="1.5.1", name="Other^Name", source=made.provenance(calling_ae_title="CALLER", peer="loopback"))
    made.index()
    assert QuarantinedInstance.objects.get().calling_ae_title == "CALLER"
    assert told(serve(), asked(T, reference("1.5.1"))).reports == [(T, 2, [], {"1.5.1": 0x0110})]
    QuarantinedInstance.objects.update(calling_ae_title="SOMEBODY")
    assert told(serve(), asked(f"{T}.2", reference("1.5.1"))).reports == [(f"{T}.2", 1, ["1.5.1"], {})]


def test_who_sent_a_better_version_that_became_current_gets_commitment(serve: Serve) -> None:
    mine = made.provenance(calling_ae_title="CALLER", peer="loopback")
    made.receive(sop="1.5.1", source=mine)
    made.receive(sop="1.5.1", name="Other^Name", source=mine)
    made.index()
    stored.accept(principal=system("test"), name=QuarantinedInstance.objects.get().name)
    assert told(serve(), asked(T, reference("1.5.1"))).reports == [(T, 1, ["1.5.1"], {})]


def test_what_has_not_arrived_is_awaited_for_a_while(serve: Serve, settings: Settings) -> None:
    settings.COMMITMENT_WAIT = 600
    take("1.5.1")
    heard = Told()
    with serve().call(PUSH, handlers=heard.handlers) as assoc:
        assert ask(assoc, asked(T, reference("1.5.1"), reference("1.5.2"))).Status == 0x0000
        runner.run_due()
        job = Job.objects.get(kind="commitment_decide")
        assert (job.state, job.error) == (JobState.QUEUED, "1 instances have not arrived yet")
        assert (job.done, job.total) == (1, 2)
        take("1.5.2")
        Job.objects.update(due_at=timezone.now())
        runner.run_due()
        hears(heard)
    assert heard.reports == [(T, 1, ["1.5.1", "1.5.2"], {})]


def test_what_never_arrives_is_not_committed_in_the_end(serve: Serve, settings: Settings) -> None:
    settings.COMMITMENT_WAIT = 600
    heard = Told()
    with serve().call(PUSH, handlers=heard.handlers) as assoc:
        assert ask(assoc, asked(T, reference("1.5.2"))).Status == 0x0000
        runner.run_due()
        CommitmentRequest.objects.update(asked_at=timezone.now() - timedelta(seconds=601))
        Job.objects.update(due_at=timezone.now())
        runner.run_due()
        hears(heard)
    assert heard.reports == [(T, 2, [], {"1.5.2": 0x0112})]


def test_the_same_request_again_is_answered_again(serve: Serve) -> None:
    take("1.5.1")
    serving = serve()
    for _ in range(2):
        assert told(serving, asked(T, reference("1.5.1"))).reports == [(T, 1, ["1.5.1"], {})]
    assert CommitmentRequest.objects.count() == 1


def test_a_transaction_uid_that_was_used_for_others_commits_nothing(serve: Serve) -> None:
    take("1.5.1", "1.5.2")
    serving = serve()
    told(serving, asked(T, reference("1.5.1")))
    heard = told(serving, asked(T, reference("1.5.2")))
    assert heard.reports == [(T, 2, [], {"1.5.2": 0x0131})]


NO_UID = data_set(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="")
TOO_LONG = data_set(ReferencedSOPInstanceUID="1.2.3")
WRONG: dict[str, tuple[Dataset, dict[str, object], int]] = {
    "no transaction": (data_set(ReferencedSOPSequence=[reference("1.5.1")]), {}, 0x0115),
    "an empty transaction": (asked("", reference("1.5.1")), {}, 0x0115),
    "no references": (data_set(TransactionUID=T), {}, 0x0115),
    "an empty sequence": (asked(T), {}, 0x0115),
    "an empty instance": (asked(T, NO_UID), {}, 0x0115),
    "no class": (asked(T, TOO_LONG), {}, 0x0115),
    "another action": (asked(T, reference("1.5.1")), {"action": 2}, 0x0123),
    "another instance": (asked(T, reference("1.5.1")), {"instance": "1.2.3.4"}, 0x0112),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_request_that_is_wrong_is_refused_and_leaves_nothing(serve: Serve, what: str) -> None:
    ds, options, status = WRONG[what]
    with serve().call(PUSH) as assoc:
        assert ask(assoc, ds, **options).Status == status  # type: ignore[arg-type]
        assert assoc.is_established
    assert not CommitmentRequest.objects.exists()
    assert not Job.objects.exists()
