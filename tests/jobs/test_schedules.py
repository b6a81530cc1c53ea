from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.principal import system
from apps.audit.models import AuditEvent
from apps.jobs import queue, schedules
from apps.jobs.models import Job, Schedule

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
    assert AuditEvent.objects.get().detail == {"enabled": True, "every": None, "at": "03:00"}


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
