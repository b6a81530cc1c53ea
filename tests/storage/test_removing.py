"""Studies are deleted by a job, and what was deleted is removed for good."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import principal_of
from apps.audit.models import AuditEvent
from apps.failpoints import arm
from apps.jobs import kind, queue
from apps.jobs.kind import NotAllowed
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.storage import archive, placement, removing
from apps.storage.models import DeletedInstance, Instance, Study
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> Principal:
    return principal_of(User.objects.create_superuser("root"))


def keep(study: str, *numbers: int) -> None:
    for number in numbers:
        made.receive(study=study, series=f"{study}.1", sop=f"{study}.1.{number}", pixels=bytes([number]) * 8)
    made.index()


def asked(admin: Principal, name: str, **arguments: Any) -> Job:
    return kind.request(name, principal=admin, arguments=arguments)


def run(job: Job) -> Job:
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    run_due()
    job.refresh_from_db()
    return job


def test_studies_are_deleted_for_a_reason_that_the_trail_keeps(admin: Principal) -> None:
    keep("1.2.3", 1, 2)
    keep("1.2.4", 1)
    job = run(asked(admin, "delete", study_instance_uids=["1.2.3"], reason="Wrong patient"))
    assert (job.state, job.done) == (JobState.SUCCEEDED, 1)
    assert [row.sop_instance_uid for row in Instance.objects.all()] == ["1.2.4.1.1"]
    event = AuditEvent.objects.get(action="delete", object_kind="study")
    assert (event.actor_name, event.detail["reason"], event.detail["files"]) == ("root", "Wrong patient", 2)
    archive.restore(principal=admin, deletion=DeletedInstance.objects.values_list("record", flat=True)[0])
    assert Instance.objects.count() == 3


def test_a_deletion_whose_worker_died_goes_on_where_it_was(admin: Principal) -> None:
    for study in ("1.2.3", "1.2.4"):
        keep(study, 1)
    job = asked(admin, "delete", study_instance_uids=["1.2.3", "1.2.4"], reason="Test")
    arm("delete.deleted:raise:1")
    run(job)
    arm("")
    assert run(job).state == JobState.SUCCEEDED
    assert not Study.objects.filter(number_of_study_related_instances__gt=0).exists()
    assert DeletedInstance.objects.count() == 2
    assert AuditEvent.objects.filter(action="delete", object_kind="study").count() == 2


def test_a_deletion_that_was_cancelled_leaves_the_rest(admin: Principal) -> None:
    keep("1.2.3", 1)
    job = asked(admin, "delete", study_instance_uids=["1.2.3"], reason="Test")
    queue.cancel(job, principal=admin)
    assert run(job).state == JobState.CANCELLED
    assert Instance.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"study_instance_uids": ["1.2.3"]}, "reason"),
        ({"study_instance_uids": ["1.2.3"], "reason": "x" * 300}, "reason"),
        ({"study_instance_uids": [], "reason": "x"}, "study_instance_uids"),
        ({"study_instance_uids": "1.2.3", "reason": "x"}, "study_instance_uids"),
        ({"study_instance_uids": ["1.2.9"], "reason": "x"}, "study_instance_uids"),
        ({"study_instance_uids": ["a/b"], "reason": "x"}, "study_instance_uids"),
        ({"study_instance_uids": [7], "reason": "x"}, "study_instance_uids"),
        ({"study_instance_uids": ["1.2.3"], "reason": "x", "all": True}, "all"),
    ],
)
def test_what_cannot_be_deleted_is_named(admin: Principal, arguments: dict[str, Any], where: str) -> None:
    keep("1.2.3", 1)
    with pytest.raises(InvalidRequest) as refused:
        asked(admin, "delete", **arguments)
    assert list(refused.value.errors) == [where]


def test_only_who_may_delete_may_have_it_done() -> None:
    keep("1.2.3", 1)
    user = User.objects.create_user("reader")
    user.groups.add(Group.objects.get_or_create(name="Radiologists")[0])
    for name, arguments in (("delete", removing.EXAMPLE), ("empty_recycle_area", {}), ("import", {"folder": "/"})):
        with pytest.raises(NotAllowed):
            asked(principal_of(user), name, **arguments)


def test_who_lost_the_right_meanwhile_deletes_nothing(admin: Principal) -> None:
    keep("1.2.3", 1)
    job = asked(admin, "delete", study_instance_uids=["1.2.3"], reason="Test")
    User.objects.update(is_superuser=False)
    assert run(job).state == JobState.FAILED
    assert Instance.objects.exists()


def test_the_recycle_area_is_emptied_in_parts_and_after_a_break(
    admin: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "_AT_ONCE", 2)
    keep("1.2.3", 1, 2, 3, 4, 5)
    keep("1.2.4", 1)
    archive.delete(principal=admin, study_instance_uid="1.2.3")
    paths = [placement.path_of(row.path) for row in DeletedInstance.objects.all()]
    assert all(path.exists() for path in paths)
    assert run(asked(admin, "empty_recycle_area", days=1)).result == {"files": 0}
    job = asked(admin, "empty_recycle_area")
    arm("empty.removed:raise:1")
    run(job)
    arm("")
    assert 0 < sum(path.exists() for path in paths) < 5
    assert run(job).state == JobState.SUCCEEDED
    assert not any(path.exists() for path in paths)
    assert Instance.objects.count() == 1
