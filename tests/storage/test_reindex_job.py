"""What the index lacks is taken in by a job, while the archive goes on."""

import pytest
from django.contrib.auth.models import User

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import principal_of
from apps.jobs import kind
from apps.jobs.kind import NotAllowed
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.storage import placement, reindex
from apps.storage.models import Instance
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> Principal:
    return principal_of(User.objects.create_superuser("root"))


def asked(admin: Principal) -> Job:
    job = kind.request("reindex", principal=admin, arguments={})
    run_due()
    job.refresh_from_db()
    return job


def keep(*numbers: int) -> None:
    for number in numbers:
        made.receive(study="1.2.3", series="1.2.3.1", sop=f"1.2.3.1.{number}", pixels=bytes([number]) * 8)
    made.index()


def test_what_the_index_lacks_comes_back_and_the_rest_stays(admin: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1, 2, 3)
    key = Instance.objects.get(sop_instance_uid="1.2.3.1.1").pk
    Instance.objects.exclude(pk=key).delete()
    monkeypatch.setattr(reindex, "_BATCH", 2)
    job = asked(admin)
    assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, 3, 3)
    assert (job.result["indexed"], job.result["known"], job.result["failed"]) == (2, 1, 0)
    assert Instance.objects.count() == 3 and Instance.objects.filter(pk=key).exists()


def test_a_file_that_cannot_be_indexed_is_named(admin: Principal) -> None:
    keep(1, 2)
    row = Instance.objects.get(sop_instance_uid="1.2.3.1.2")
    placement.path_of(placement.place_of(row.name)).write_bytes(b"no image")
    row.delete()
    job = asked(admin)
    assert (job.state, job.error) == (JobState.FAILED, "1 files cannot be indexed")
    assert row.name in job.lines.get().text
    assert Instance.objects.count() == 1


def test_who_does_not_administer_may_not_and_there_is_nothing_to_say(admin: Principal) -> None:
    with pytest.raises(NotAllowed):
        kind.request("reindex", principal=principal_of(User.objects.create_user("reader")), arguments={})
    with pytest.raises(InvalidRequest, match="clear: no such field"):
        kind.request("reindex", principal=admin, arguments={"clear": True})
