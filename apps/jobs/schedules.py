"""Jobs that come again: rows claimed like jobs, so that several workers submit each once."""

import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import Error, transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.principal import Principal, system
from apps.accounts.rest import refused
from apps.accounts.users import refreshed
from apps.audit import trail
from apps.audit.trail import Actor
from apps.jobs import cron, kind, queue
from apps.jobs.models import Job, JobState, Schedule
from dicom.errors import DicomError

logger = logging.getLogger(__name__)

NEVER: Final = timedelta(days=365_000)
WRONG: Final = timedelta(days=1)  # more than the clocks of two machines differ
_SHOWN: Final = ("kind", "arguments", "enabled", "every", "at", "cron")


class OfTheProgram(DicomError):
    """It would come back with the next start."""

    http_status = 409
    errors = {"name": "a schedule of the program: it can be switched off, and run at another time"}


class RunsAlready(DicomError):
    http_status = 409


def ensure(
    *,
    name: str,
    kind: str,
    every: timedelta | None = None,
    at: time | None = None,
    arguments: Mapping[str, Any] | None = None,
    enabled: bool = True,
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
            "enabled": enabled,
            "next_at": next_time(timezone.now(), every=seconds, at=at),
        },
    )
    return schedule


def checked(schedule: Schedule) -> None:
    """Whether it can be kept. Raises InvalidRequest, by field."""
    try:
        schedule.full_clean(exclude=["next_at"])
    except ValidationError as error:
        raise refused(error) from error


def save(schedule: Schedule, *, principal: Principal) -> None:
    """A new one, or one that changes: its time counts from now on. Of another job than before it is his who says so.
    Raises ValidationError, and what a request for the job would raise."""
    with transaction.atomic():
        old = Schedule.objects.filter(pk=schedule.pk).first() if schedule.pk else None
        schedule.full_clean(exclude=["next_at"])
        if old is not None and old.principal is None and _what(old) != _what(schedule):
            raise OfTheProgram("Name and job of a schedule of the program cannot be changed")
        if old is None or _what(old)[1:] != _what(schedule)[1:]:
            kind.plan(schedule.kind, principal=principal, arguments=schedule.arguments)
            schedule.principal = principal.to_plain()
        schedule.next_at = _next(schedule, timezone.now())
        schedule.save()
        _record(principal, "change" if old else "add", schedule)


def delete(schedule: Schedule, *, principal: Principal) -> None:
    """Raises OfTheProgram."""
    if schedule.principal is None:
        raise OfTheProgram("A schedule of the program stays")
    with transaction.atomic():
        _record(principal, "delete", schedule)
        schedule.delete()


def rename(called: str, name: str, *, servers: bool = False) -> None:
    """Whoever is called by schedules is so under his new name, too. In the transaction that renames him."""
    argument = "server" if servers else "peer"
    for schedule in Schedule.objects.select_for_update().filter(**{f"arguments__{argument}": called}):
        schedule.arguments = {**schedule.arguments, argument: name}
        schedule.save(update_fields=["arguments"])


def run_now(schedule: Schedule, *, principal: Principal) -> Job:
    """Once, besides its times, with the rights it always has. Raises RunsAlready, and what a request for the job would
    raise."""
    with transaction.atomic():
        if _is_running(schedule):
            raise RunsAlready("Its job still runs")
        job = _made(schedule)
        _note(schedule, job)
        trail.record(
            actor=Actor.of(principal), action="run", object=f"schedule {schedule.name}", detail={"job": job.pk}
        )
    return job


def upcoming(*, every: int | None, at: time | None, expression: str, count: int = 3) -> list[datetime]:
    """When it would fire, from now on."""
    moment, found = timezone.now(), []
    for _ in range(count):
        moment = next_time(moment, every=every, at=at, expression=expression)
        if moment > timezone.now() + NEVER / 2:
            break
        found.append(moment)
    return found


def fire_due() -> int:
    """Submits what is due, once, however long nobody looked. Kinds this version lacks stay for another. What has run in
    the future did so by a clock that was wrong, and would wait until that time comes."""
    now = timezone.now()
    ours = Q(principal__isnull=True) | Q(kind__in=list(kind.kinds()))
    due = Q(next_at__lte=now) | Q(last_at__gt=now + WRONG)
    return sum(_fire(schedule, now) for schedule in Schedule.objects.filter(ours, due, enabled=True))


def _fire(schedule: Schedule, now: datetime) -> bool:
    """The one place where a schedule's errors end: as a job that failed, and in nobody's way."""
    try:
        return _submitted(schedule, now)
    except Error:
        raise
    except DicomError as error:
        said = str(error)
    except Exception:  # a bug: named by a reference, like that of a job
        reference = secrets.token_hex(4)
        logger.exception("Schedule %s broke, reference %s", schedule, reference)
        said = f"An error of the program, reference {reference} in the log"
    with transaction.atomic():
        if _won(schedule, now):
            failed = queue.refuse(
                kind=schedule.kind,
                principal=_principal(schedule),
                arguments=schedule.arguments,
                error=f"Schedule {schedule.name}: {said}",
            )
            _note(schedule, failed)
    return False


def _submitted(schedule: Schedule, now: datetime) -> bool:
    with transaction.atomic():
        if not _won(schedule, now) or _is_running(schedule):
            return False
        _note(schedule, _made(schedule))
        return True


def _made(schedule: Schedule) -> Job:
    principal, key = _principal(schedule), _key(schedule)
    if schedule.principal is None:
        return queue.submit(kind=schedule.kind, principal=principal, arguments=schedule.arguments, key=key)
    planned = kind.plan(schedule.kind, principal=principal, arguments=schedule.arguments)
    job = kind.submit(schedule.kind, planned, principal=principal, key=key)
    queue.say(job, f"Asked for by the schedule {schedule.name}")
    return job


def _note(schedule: Schedule, job: Job) -> None:
    schedule.last_job = job.pk
    Schedule.objects.filter(pk=schedule.pk).update(last_job=job.pk)


def _what(schedule: Schedule) -> tuple[Any, ...]:
    return schedule.name, schedule.kind, schedule.arguments


def _won(schedule: Schedule, now: datetime) -> bool:
    row = Schedule.objects.filter(pk=schedule.pk, next_at=schedule.next_at)
    return bool(row.update(next_at=_next(schedule, now), last_at=now))


def _principal(schedule: Schedule) -> Principal:
    if schedule.principal is None:
        return system(f"schedule {schedule.name}")
    made_by = Principal.from_plain(schedule.principal)
    found = refreshed(made_by)
    return found if found.name else Principal(kind=made_by.kind, name=made_by.name, key=made_by.key)


def _next(schedule: Schedule, now: datetime) -> datetime:
    return next_time(now, every=schedule.every, at=schedule.at, expression=schedule.cron)


def next_time(now: datetime, *, every: int | None, at: time | None, expression: str = "") -> datetime:
    """The clock time of the installation's time zone, through changes of daylight saving too."""
    here = timezone.get_default_timezone()
    if expression:
        try:
            return cron.following(expression, now, here)
        except cron.Never:
            return now + NEVER
    if at is None:
        return now + timedelta(seconds=every or 1)
    today = now.astimezone(here).date()
    days = (datetime.combine(today + timedelta(days=ahead), at, tzinfo=here) for ahead in (0, 1, 2))
    # By way of UTC: a clock time that daylight saving leaves out becomes the one an hour later.
    return next(moment for day in days if (moment := day.astimezone(UTC)) > now)


def _key(schedule: Schedule) -> str:
    return f"schedule {schedule.name}"


def _is_running(schedule: Schedule) -> bool:
    return Job.objects.filter(kind=schedule.kind, key=_key(schedule), state=JobState.RUNNING).exists()


def _record(principal: Principal, action: str, schedule: Schedule) -> None:
    shown = {name: getattr(schedule, name) for name in _SHOWN}
    trail.record(
        actor=Actor.of(principal),
        action=action,
        object=f"schedule {schedule.name}",
        detail={**shown, "at": schedule.at and f"{schedule.at:%H:%M}"},
    )
