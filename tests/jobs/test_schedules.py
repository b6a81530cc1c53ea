from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.principal import Principal, system
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import principal_of
from apps.audit.models import AuditEvent
from apps.jobs import kind, queue, readable, schedules
from apps.jobs.kind import Kind, Planned
from apps.jobs.models import Job, JobState, Schedule

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def in_berlin(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"


def due() -> None:
    Schedule.objects.update(next_at=timezone.now() - timedelta(days=2))


@pytest.mark.django_db
def test_a_schedule_is_made_once_and_then_the_administrators() -> None:
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    Schedule.objects.update(every=60)
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    assert Schedule.objects.get().every == 60


@pytest.mark.django_db
def test_a_due_schedule_fires_once_however_long_nobody_looked() -> None:
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1), arguments={"days": 1})
    assert schedules.fire_due() == 0
    due()
    assert (schedules.fire_due(), schedules.fire_due()) == (1, 0)
    job = Job.objects.get()
    assert (job.kind, job.arguments, job.submitted_by) == ("purge", {"days": 1}, "schedule purge")
    assert Schedule.objects.get().next_at > timezone.now() + timedelta(minutes=59)


@pytest.mark.django_db
def test_jobs_of_a_schedule_do_not_pile_up() -> None:
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    due()
    schedules.fire_due()
    due()
    schedules.fire_due()
    assert queue.claim(worker="w", kinds=["purge"])
    due()
    assert schedules.fire_due() == 0
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_a_schedule_that_ran_by_a_clock_years_ahead_runs_again_when_the_clock_is_right() -> None:
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    years = timezone.now() + timedelta(days=1500)
    Schedule.objects.update(last_at=years, next_at=years + timedelta(hours=1))
    assert (schedules.fire_due(), schedules.fire_due()) == (1, 0)
    assert Schedule.objects.get().next_at < timezone.now() + timedelta(hours=2)


@pytest.mark.django_db
def test_a_disabled_schedule_does_not_fire() -> None:
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    due()
    Schedule.objects.update(enabled=False)
    assert schedules.fire_due() == 0


@pytest.mark.django_db
def test_another_time_holds_from_now_on_and_half_a_schedule_is_refused() -> None:
    schedule = schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    schedule.at = time(3)
    with pytest.raises(ValidationError, match="Either seconds"):
        schedules.save(schedule, principal=system("test"))
    schedule.every = None
    schedules.save(schedule, principal=system("test"))
    assert Schedule.objects.get().next_at.astimezone(BERLIN).time() == time(3)
    assert AuditEvent.objects.get().detail == {
        "kind": "purge",
        "arguments": {},
        "enabled": True,
        "every": None,
        "at": "03:00",
        "cron": "",
    }


@pytest.mark.parametrize(
    ("now", "at", "expected"),
    [
        ("2026-06-01 02:59", "03:00", "2026-06-01 03:00+02:00"),
        ("2026-06-01 03:00", "03:00", "2026-06-02 03:00+02:00"),
        ("2026-12-31 23:00", "03:00", "2027-01-01 03:00+01:00"),
        # Clocks go forward: half past two does not exist that day, and comes an hour later.
        ("2026-03-29 01:00", "02:30", "2026-03-29 03:30+02:00"),
        ("2026-03-29 04:00", "02:30", "2026-03-30 02:30+02:00"),
        # Clocks go back: half past two comes twice, and counts once.
        ("2026-10-25 01:00", "02:30", "2026-10-25 02:30+02:00"),
    ],
)
def test_a_daily_time_is_the_clock_on_the_wall(now: str, at: str, expected: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=BERLIN)
    assert schedules.next_time(moment, every=None, at=time.fromisoformat(at)) == datetime.fromisoformat(expected)


def test_the_second_of_two_half_past_twos_does_not_fire_again() -> None:
    first = schedules.next_time(datetime(2026, 10, 25, 1, 0, tzinfo=BERLIN), every=None, at=time(2, 30))
    second = schedules.next_time(first, every=None, at=time(2, 30))
    assert second == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN)


WEEKDAYS = "30 2 * * 1-5"


@pytest.fixture
def of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that a user may ask for."""

    def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
        if arguments.get("to") != "CT":
            raise InvalidRequest({"to": "nobody"})
        return Planned(arguments, peer="CT", items=["1"])

    def broken(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
        raise ZeroDivisionError

    table = {"send": Kind(lambda run: None, check=check, maximum_attempts=9), "broken": Kind(print, check=broken)}
    monkeypatch.setattr(kind, "kinds", lambda: table)


def schedule_of(admin: Principal, **values: Any) -> Schedule:
    schedule = Schedule(**{"name": "nightly", "kind": "send", "arguments": {"to": "CT"}, "cron": WEEKDAYS, **values})
    schedules.save(schedule, principal=admin)
    return schedule


@pytest.fixture
def admin(admin_user: User) -> Principal:
    return principal_of(admin_user)


@pytest.mark.django_db
def test_a_users_schedule_makes_jobs_as_if_he_had_asked(of_users: None, admin: Principal) -> None:
    assert schedule_of(admin).next_at.astimezone(BERLIN).time() == time(2, 30)
    due()
    assert (schedules.fire_due(), schedules.fire_due()) == (1, 0)
    job = Job.objects.get()
    assert (job.submitted_by, job.owner, job.peer, job.total, job.maximum_attempts) == ("admin", admin.key, "CT", 1, 9)
    assert Principal.from_plain(job.principal).administers
    due()
    assert schedules.fire_due() == 1
    assert Job.objects.count() == 1  # the first one still waits


@pytest.mark.django_db
def test_a_schedule_whose_maker_lost_his_rights_says_so(of_users: None, admin: Principal) -> None:
    schedule_of(admin)
    User.objects.update(is_active=False)
    due()
    assert schedules.fire_due() == 0
    job = Job.objects.get()
    assert (job.state, job.submitted_by) == (JobState.FAILED, "admin")
    assert job.error == "Schedule nightly: Not allowed: a job of the kind send"
    assert Schedule.objects.get().next_at > timezone.now()


@pytest.mark.django_db
def test_a_schedule_that_breaks_is_in_nobodys_way(of_users: None, admin: Principal) -> None:
    schedule_of(admin)
    Schedule.objects.update(kind="broken")
    Schedule.objects.create(name="of tomorrow", kind="newer", every=60, principal={}, next_at=timezone.now())
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    due()
    assert schedules.fire_due() == 1
    assert Job.objects.get(kind="broken").error.startswith("Schedule nightly: An error of the program, reference ")
    assert Job.objects.get(kind="purge").state == JobState.QUEUED
    assert Schedule.objects.get(name="of tomorrow").next_at < timezone.now()  # left to who knows it


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"every": 604_800, "at": None, "expression": ""}, "Every 7 days"),
        ({"every": 3600, "at": None, "expression": ""}, "Every hour"),
        ({"every": 90, "at": None, "expression": ""}, "Every 90 seconds"),
        ({"every": None, "at": time(2, 5), "expression": ""}, "Each day at 02:05"),
        ({"every": None, "at": None, "expression": "30 2 * * 1-5"}, "At 02:30 on Monday through Friday"),
    ],
)
def test_when_it_fires_is_said_in_words(given: dict[str, Any], said: str) -> None:
    assert readable.times(**given) == said


def test_the_next_times_follow_each_other_and_end_where_nothing_matches() -> None:
    found = schedules.upcoming(every=None, at=None, expression="0 3 29 2 *")
    assert [(each.astimezone(BERLIN).month, each.astimezone(BERLIN).day) for each in found] == [(2, 29)] * 3
    assert found == sorted(set(found))
    assert not schedules.upcoming(every=None, at=None, expression="0 3 30 2 *")
