"""The kind of job "verify": what is damaged is found, wherever it is, once, and the rest is left alone."""

import pytest

from apps.accounts.principal import system
from apps.accounts.rest import InvalidRequest
from apps.jobs import queue, runner
from apps.jobs.models import Job, JobState, Schedule
from apps.jobs.run import JobRun
from apps.storage import archive as stored
from apps.storage import examining, placement, verifying
from apps.storage.models import DamagedFile, Instance, QuarantinedInstance
from apps.storage.store import Away, store
from pacs import kinds
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)

UIDS = [f"1.5.{number}" for number in range(1, 7)]


@pytest.fixture(autouse=True)
def kept() -> None:
    """Six instances, and another version of the first."""
    for uid in UIDS:
        made.receive(sop=uid)
    made.receive(sop=UIDS[0], name="Other^Name")
    made.index()


def flip(row: Instance | QuarantinedInstance) -> None:
    path = placement.path_of(row.path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def run(**arguments: object) -> Job:
    job = queue.submit(kind="verify", principal=system("test"), arguments={"rate": 0, **arguments})
    runner.run_due()
    job.refresh_from_db()
    return job


def test_a_sound_archive_is_said_to_be_so() -> None:
    job = run()
    assert (job.state, job.error, job.done, job.total) == (JobState.SUCCEEDED, "", 7, 7)
    assert job.result["checked"] == 7
    assert job.result["damaged"] == 0
    assert not DamagedFile.objects.exists()


def test_what_is_damaged_is_listed_in_the_job_and_for_an_administrator() -> None:
    flip(Instance.objects.get(sop_instance_uid="1.5.2"))
    placement.path_of(Instance.objects.get(sop_instance_uid="1.5.4").path).unlink()
    flip(QuarantinedInstance.objects.get())
    job = run()
    assert job.state == JobState.FAILED
    assert job.error.endswith("3 damaged: see the damaged files")
    assert [(each["sop_instance_uid"], each["fault"]) for each in job.result["findings"]] == [
        ("1.5.2", examining.OTHER),
        ("1.5.4", examining.MISSING),
        ("1.5.1", examining.OTHER),
    ]
    assert sorted(DamagedFile.objects.values_list("sop_instance_uid", "fault", "is_open")) == [
        ("1.5.1", examining.OTHER, True),
        ("1.5.2", examining.OTHER, True),
        ("1.5.4", examining.MISSING, True),
    ]
    assert set(DamagedFile.objects.values_list("found_by", flat=True)) == {f"job {job.pk}"}


def test_what_was_mended_is_open_no_more() -> None:
    row = Instance.objects.get(sop_instance_uid="1.5.2")
    flip(row)
    run()
    flip(row)
    assert run().state == JobState.SUCCEEDED
    assert not DamagedFile.objects.get().is_open


def test_a_flipped_bit_of_the_header_of_the_file_is_found_too() -> None:
    row = Instance.objects.get(sop_instance_uid="1.5.3")
    path = placement.path_of(row.path)
    content = bytearray(path.read_bytes())
    content[content.index(row.digest.encode())] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    assert [each["fault"] for each in run().result["findings"]] == [examining.HEADER]


def test_whoever_goes_on_after_a_break_reads_the_rest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    examine = examining.examine

    def watched(row: Instance | QuarantinedInstance, **options: object) -> str:
        if len(read) == 3:
            read.append("killed")
            raise RuntimeError("as if it was killed")
        read.append(row.sop_instance_uid)
        return examine(row, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(verifying, "_TOLD", -1.0)
    monkeypatch.setattr(examining, "examine", watched)
    job = run()
    assert job.state == JobState.QUEUED
    assert job.done == 3
    Job.objects.update(due_at=job.created_at)
    runner.run_due()
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert [uid for uid in read if uid != "killed"] == [*UIDS, UIDS[0]]
    assert job.result["checked"] == 7


def test_one_study_can_be_read_alone() -> None:
    made.receive(sop="1.6.1", study="1.9", series="1.9.1")
    made.index()
    assert run(study_instance_uids=["1.9"]).result["checked"] == 1
    nothing = run(study_instance_uids=["1.9.9"])
    assert (nothing.state, nothing.error) == (JobState.FAILED, "Nothing of what was asked for is here")


def test_it_reads_no_faster_than_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(JobRun, "rest", lambda self, seconds: rests.append(seconds))
    size = sum(Instance.objects.values_list("size", flat=True)) + QuarantinedInstance.objects.get().size
    run(rate=size / 100 / (1 << 20))  # a hundred seconds for all of it
    assert 50 < sum(rests) <= 107


def test_what_was_deleted_meanwhile_is_no_finding() -> None:
    row = Instance.objects.get(sop_instance_uid="1.5.2")
    stored.delete(principal=system("test"), study_instance_uid="1.2.3", sop_instance_uids=["1.5.2"])
    placement.path_of(row.path).unlink()
    assert examining.examine(row, found_by="test") == ""
    assert not DamagedFile.objects.exists()


@pytest.mark.parametrize(
    "arguments", [{"rate": -1}, {"rate": "x"}, {"rate": True}, {"study_instance_uids": ["x"]}, {"other": 1}]
)
def test_what_cannot_be_read_so_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        verifying.check(system("test"), arguments)


def test_it_is_an_administrators_and_off_until_he_says_so() -> None:
    kinds.ensure_schedules()
    assert not Schedule.objects.get(name="verify").enabled


def test_an_archive_that_is_away_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a bucket that does not answer."""

    def away(*_: object) -> int:
        raise Away("it does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(type(store()), "size", away)
        job = run()
        assert job.state == JobState.QUEUED
        assert "error of the program" not in job.error
    assert not DamagedFile.objects.exists()
    Job.objects.update(due_at=job.created_at)
    runner.run_due()
    job.refresh_from_db()
    assert (job.state, job.result["checked"]) == (JobState.SUCCEEDED, 7)
