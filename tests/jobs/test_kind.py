"""Somebody asks for a job."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.accounts.principal import Kind as Of
from apps.accounts.principal import Principal, system
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import principal_of
from apps.audit.models import AuditEvent
from apps.jobs import kind, runner
from apps.jobs.kind import Kind, NoSuchKind, NotAllowed, Planned
from apps.jobs.models import Job, JobState
from apps.jobs.run import JobRun, TryAgain

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = Principal(kind=Of.USER, name="admin", administers=True)
READER = Principal(kind=Of.USER, name="reader")


def check(principal: Principal, arguments: object) -> Planned:
    if arguments != {"to": "CT"}:
        raise InvalidRequest({"to": "nobody"})
    return Planned({"to": "CT"}, peer="CT", items=["1", "2"])


def verb(run: JobRun) -> None:
    run.succeeded(*run.items())


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"send": Kind(verb, check=check, maximum_attempts=9), "own": Kind(verb)}
    for module in (kind, runner):
        monkeypatch.setattr(module, "kinds", lambda: kinds)


def test_who_may_ask_gets_a_job_as_the_kind_plans_it() -> None:
    job = kind.request("send", principal=ADMIN, arguments={"to": "CT"}, priority=3)
    assert (job.peer, job.total, job.priority, job.maximum_attempts) == ("CT", 2, 3, 9)
    assert AuditEvent.objects.get(action="submit").actor_name == "admin"


def test_what_is_wrong_with_the_arguments_makes_no_job() -> None:
    with pytest.raises(InvalidRequest, match="to: nobody"):
        kind.request("send", principal=ADMIN, arguments={})
    assert not Job.objects.exists() and not AuditEvent.objects.exists()


@pytest.mark.parametrize("name", ["own", "other"])
def test_the_programs_own_kinds_are_not_asked_for(name: str) -> None:
    with pytest.raises(NoSuchKind, match=name):
        kind.request(name, principal=ADMIN, arguments={})


def test_who_may_not_is_told() -> None:
    with pytest.raises(NotAllowed):
        kind.request("send", principal=READER, arguments={"to": "CT"})


def test_a_right_withdrawn_meanwhile_ends_the_job() -> None:
    job = kind.request("send", principal=ADMIN, arguments={"to": "CT"})
    Job.objects.update(principal=READER.to_plain())
    runner.run_due()
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.FAILED, "admin may not have this done any more")


def test_the_system_may_everything() -> None:
    assert kind.administers(system("outbox"))


def test_a_kind_says_how_long_it_waits_between_attempts(monkeypatch: pytest.MonkeyPatch, admin_user: User) -> None:
    def breaks(run: JobRun) -> None:
        raise TryAgain("not now")

    patient = Kind(breaks, check=check, first_delay=timedelta(minutes=2), longest_delay=timedelta(minutes=3))
    for module in (kind, runner):
        monkeypatch.setattr(module, "kinds", lambda: {"send": patient})
    job = kind.request("send", principal=principal_of(admin_user), arguments={"to": "CT"})
    for minutes in (2, 3, 3):
        Job.objects.update(due_at=timezone.now())
        before = timezone.now()
        runner.run_due()
        job.refresh_from_db()
        assert before <= job.due_at - timedelta(minutes=minutes) <= timezone.now()
