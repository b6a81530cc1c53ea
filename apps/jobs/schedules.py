"""Jobs that come again: rows claimed like jobs, so that several workers submit each once."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.principal import Principal, system
from apps.audit import trail
from apps.audit.trail import Actor
from apps.jobs import queue
from apps.jobs.models import Job, JobState, Schedule


def ensure(
    *,
    name: str,
    kind: str,
    every: timedelta | None = None,
    at: time | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Schedule:
    """Made when absent; one that is there is an administrator's by now."""
    seconds = int(every.total_seconds()) if every else None
    schedule, _ = Schedule.objects.get_or_create(
        name=name,
        defaults={
            "kind": kind,
            "every": seconds,
            "at": at,
            "arguments": dict(arguments or {}),
            "next_at": next_time(timezone.now(), every=seconds, at=at),
        },
    )
    return schedule


def save(schedule: Schedule, *, principal: Principal) -> None:
    """Another time or interval holds from now on. Raises ValidationError."""
    with transaction.atomic():
        schedule.full_clean()
        schedule.next_at = next_time(timezone.now(), every=schedule.every, at=schedule.at)
        schedule.save()
        trail.record(
            actor=Actor.of(principal),
            action="change",
            object=f"schedule {schedule.name}",
            detail={"enabled": schedule.enabled, "every": schedule.every, "at": schedule.at and f"{schedule.at:%H:%M}"},
        )


def fire_due() -> int:
    """Submits what is due, once, however long nobody looked."""
    now = timezone.now()
    fired = 0
    for schedule in Schedule.objects.filter(enabled=True, next_at__lte=now):
        with transaction.atomic():
            won = Schedule.objects.filter(pk=schedule.pk, next_at=schedule.next_at).update(
                next_at=next_time(now, every=schedule.every, at=schedule.at), last_at=now
            )
            if won and not _is_running(schedule):
                queue.submit(
                    kind=schedule.kind,
                    principal=system(f"schedule {schedule.name}"),
                    arguments=schedule.arguments,
                    key=_key(schedule),
                )
                fired += 1
    return fired


def next_time(now: datetime, *, every: int | None, at: time | None) -> datetime:
    """The clock time of the installation's time zone, through changes of daylight saving too."""
    if at is None:
        return now + timedelta(seconds=every or 1)
    here = timezone.get_default_timezone()
    today = now.astimezone(here).date()
    days = (datetime.combine(today + timedelta(days=ahead), at, tzinfo=here) for ahead in (0, 1, 2))
    # By way of UTC: a clock time that daylight saving leaves out becomes the one an hour later.
    return next(moment for day in days if (moment := day.astimezone(UTC)) > now)


def _key(schedule: Schedule) -> str:
    return f"schedule {schedule.name}"


def _is_running(schedule: Schedule) -> bool:
    return Job.objects.filter(kind=schedule.kind, key=_key(schedule), state=JobState.RUNNING).exists()
