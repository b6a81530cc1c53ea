"""Submit, claim, keep, end: each a conditional update, so that of two who try one succeeds."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.accounts.principal import Kind, Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.jobs.bell import ring
from apps.jobs.models import ItemState, Job, JobItem, JobLine, JobState

# A job of a dead worker is taken over within a minute: after its lease, and a sweep (5 s). A longer lease would miss
# that, a shorter one would take jobs from the living: renewed each quarter, it outlasts two beats that fail, or one
# that a slow database keeps waiting for half a minute.
LEASE = timedelta(seconds=settings.JOB_LEASE)
PRUNED_AT_ONCE = 100  # jobs; each may have thousands of items
CANDIDATES = 20  # looked at in one go: others may be quicker with the first
FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(hours=1)


class LeaseLost(Exception):
    """The job is another worker's by now, or nobody's: stop without writing."""


def submit(
    *,
    kind: str,
    principal: Principal,
    arguments: Mapping[str, Any] | None = None,
    items: Iterable[str] = (),
    key: str = "",
    peer: str = "",
    due_at: datetime | None = None,
    priority: int = 0,
    maximum_attempts: int = 5,
) -> Job:
    """In the caller's transaction. With a key that a waiting job of this kind has already, that job is the answer."""
    now = clock()
    keys = list(items)
    job = Job(
        kind=kind,
        key=key,
        arguments=dict(arguments or {}),
        principal=principal.to_plain(),
        submitted_by=principal.name,
        owner=principal.key if principal.kind is Kind.USER else None,
        peer=peer,
        priority=priority,
        total=len(keys),
        maximum_attempts=maximum_attempts,
        created_at=now,
        due_at=due_at or now,
    )
    with transaction.atomic():
        while key:
            if waiting := Job.objects.filter(kind=kind, key=key, state=JobState.QUEUED).first():
                return waiting
            try:
                with transaction.atomic():
                    job.save(force_insert=True)
                break
            except IntegrityError:
                continue  # somebody else submitted it, and may have begun it by now
        if job.pk is None:
            job.save(force_insert=True)
        plan(job, keys)
    if job.due_at <= now:
        ring()
    return job


def refuse(*, kind: str, principal: Principal, arguments: Mapping[str, Any], error: str) -> Job:
    """A job that was not begun, so that somebody sees that it was not, and why."""
    now = timezone.now()
    return Job.objects.create(
        kind=kind,
        arguments=dict(arguments),
        principal=principal.to_plain(),
        submitted_by=principal.name,
        owner=principal.key if principal.kind is Kind.USER else None,
        state=JobState.FAILED,
        error=error,
        created_at=now,
        due_at=now,
        ended_at=now,
    )


def plan(job: Job, keys: Iterable[str], *, first: int = 0) -> None:
    rows = (JobItem(job=job, position=first + number, key=key) for number, key in enumerate(keys))
    JobItem.objects.bulk_create(rows, batch_size=1000)


def clock() -> datetime:
    """Of the database, by which jobs are due and leases end: those of the machines may differ."""
    if connection.vendor != "postgresql":  # SQLite has the machine's
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def due(kinds: Collection[str], now: datetime) -> QuerySet[Job]:
    """Waiting jobs whose time has come, and running ones whose worker has not been heard of for a lease."""
    waiting = Q(state=JobState.QUEUED, due_at__lte=now, paused=False)
    return Job.objects.filter(waiting | Q(state=JobState.RUNNING, lease_until__lt=now), kind__in=kinds)


def taken() -> Mapping[str, set[int]]:
    """The slots that running jobs have, by peer."""
    slots: dict[str, set[int]] = {}
    for job in Job.objects.filter(state=JobState.RUNNING, slot__isnull=False).exclude(peer="").only("peer", "slot"):
        slots.setdefault(job.peer, set()).add(job.slot or 0)
    return slots


def jobs_at_once(peers: Collection[str]) -> Mapping[str, int]:
    """How many jobs of each of these peers may run; the roof knows whom to ask."""
    limits: Mapping[str, int] = import_string(settings.JOB_LIMITS)(peers)
    return limits


def runnable(kinds: Collection[str], now: datetime) -> QuerySet[Job]:
    """Of the due ones those whose peer takes one more: what waits for a busy peer is in nobody's way."""
    slots = taken()
    limits = jobs_at_once(slots)
    full = [peer for peer, numbers in slots.items() if len(numbers) >= limits[peer]]
    return due(kinds, now).exclude(state=JobState.QUEUED, peer__in=full) if full else due(kinds, now)


def _free_slot(peer: str) -> int | None:
    used = taken().get(peer, set())
    return next((slot for slot in range(jobs_at_once([peer])[peer]) if slot not in used), None)


def claim(*, worker: str, kinds: Collection[str], without: Collection[str] = ()) -> Job | None:
    """The next job to run, now leased to this worker; None when there is none. First what a dead worker has left: it
    has had its turn, and stands still. `without`: peers whose jobs are not for him now."""
    now = clock()
    left = due(kinds, now).filter(state=JobState.RUNNING).order_by("lease_until", "id")
    waiting = runnable(kinds, now).filter(state=JobState.QUEUED).order_by("-priority", "due_at", "id")
    if without:
        left, waiting = left.exclude(peer__in=without), waiting.exclude(peer__in=without)
    for job in chain(left[:CANDIDATES], waiting[:CANDIDATES]):
        before = job.state
        if not _win(job, worker, now):
            continue
        previous = job.worker
        job.refresh_from_db()
        if before == JobState.RUNNING:
            say(job, f"Taken over from {previous}, not heard of since its lease ended")
            if _ends_here(job):
                continue
        held(job).update(attempts=F("attempts") + 1)
        job.attempts += 1
        return job
    return None


def _win(job: Job, worker: str, now: datetime) -> bool:
    slot = job.slot
    if job.peer and job.state == JobState.QUEUED and (slot := _free_slot(job.peer)) is None:
        return False
    # The lease's end is named too: its worker may be slow, not dead, and have renewed it since we looked.
    row = Job.objects.filter(
        pk=job.pk, state=job.state, paused=job.paused, lease=job.lease, lease_until=job.lease_until
    )
    try:
        with transaction.atomic():
            won = row.update(
                state=JobState.RUNNING,
                lease=job.lease + 1,
                lease_until=now + LEASE,
                worker=worker[:128],
                started_at=job.started_at or now,
                slot=slot,
            )
    except IntegrityError:  # another worker took that slot
        return False
    return bool(won)


def _ends_here(job: Job) -> bool:
    """Of a job whose worker died: whether it was to end or to pause, or has been tried often enough."""
    if job.cancel_requested:
        end(job, JobState.CANCELLED)
    elif job.attempts >= job.maximum_attempts:
        end(job, JobState.FAILED, error=f"The worker ended in the middle, {job.attempts} times")
    elif job.paused:
        _back_to_queue(job, clock())
    else:
        return False
    return True


def held(job: Job) -> QuerySet[Job]:
    """The row, if this claim of it still counts."""
    return Job.objects.filter(pk=job.pk, lease=job.lease, state=JobState.RUNNING)


class Wish(NamedTuple):
    """What somebody wants of a running job."""

    cancel: bool
    pause: bool


def keep(job: Job) -> Wish:
    """Renews the lease. Raises LeaseLost."""
    with transaction.atomic():
        if not held(job).update(lease_until=clock() + LEASE):
            raise LeaseLost(str(job))
        return Wish(*Job.objects.values_list("cancel_requested", "paused").get(pk=job.pk))


def end(job: Job, state: JobState, *, error: str = "") -> None:
    """For good. What was not tried or did not work counts as failed with the job. Raises LeaseLost."""
    now = timezone.now()
    changes: dict[str, Any] = {"state": state, "error": kept(error), "ended_at": now, "lease_until": None}
    with transaction.atomic():
        if state == JobState.FAILED:  # the items first, as everywhere: one who has lost the job may be at them
            left = job.items.filter(state=ItemState.QUEUED).update(state=ItemState.FAILED, finished_at=now)
            changes["failures"] = F("failures") + left
        if not held(job).update(**changes):
            raise LeaseLost(str(job))


def postpone(job: Job, *, error: str, delay: timedelta | None = None) -> None:
    """To be tried again after a delay; after the last attempt it has failed. Raises LeaseLost."""
    if job.attempts >= job.maximum_attempts:
        end(job, JobState.FAILED, error=error)
        return
    _back_to_queue(job, clock() + (back_off(job.attempts) if delay is None else delay), error=kept(error))


def give_back(job: Job) -> None:
    """The worker ends: at once for the next one, and not counted as an attempt. Raises LeaseLost."""
    _back_to_queue(job, clock(), attempts=F("attempts") - 1)


def _back_to_queue(job: Job, due_at: datetime, **changes: Any) -> None:
    """Unless somebody wishes it cancelled, whom a short attempt has not heard."""
    try:
        with transaction.atomic():
            changed = (
                held(job)
                .filter(cancel_requested=False)
                .update(state=JobState.QUEUED, due_at=due_at, lease_until=None, **changes)
            ) or held(job).update(state=JobState.CANCELLED, ended_at=timezone.now(), lease_until=None, **changes)
    except IntegrityError:
        # A job of the same key came meanwhile: it will do the same work.
        end(job, JobState.CANCELLED, error="Another job of the same kind and key waits")
        return
    if not changed:
        raise LeaseLost(str(job))


def back_off(attempts: int, *, first: timedelta = FIRST_DELAY, longest: timedelta = LONGEST_DELAY) -> timedelta:
    """10 s, 20 s, 40 s, ... an hour."""
    doublings: int = 2 ** min(attempts - 1, 16)
    return min(first * doublings, longest)


def cancel(job: Job, *, principal: Principal) -> bool:
    """A waiting job at once, a running one before its next step; False when it has ended already."""
    row = Job.objects.filter(pk=job.pk)
    with transaction.atomic():
        row.select_for_update().first()  # so that it does not begin, or go back, between the two
        changed = row.filter(state=JobState.QUEUED).update(
            state=JobState.CANCELLED, ended_at=timezone.now()
        ) or row.filter(state=JobState.RUNNING).update(cancel_requested=True)
        if changed:
            trail.record(actor=Actor.of(principal), action="cancel", object=f"job {job.pk}", detail={"kind": job.kind})
    return bool(changed)


def pause(job: Job, *, principal: Principal) -> bool:
    """Before its next step if it runs; False when it has ended or waits already."""
    return _pause(job, True, principal=principal)


def resume(job: Job, *, principal: Principal) -> bool:
    """From where it was."""
    changed = _pause(job, False, principal=principal)
    if changed:
        ring()
    return changed


def _pause(job: Job, paused: bool, *, principal: Principal) -> bool:
    action = "pause" if paused else "resume"
    with transaction.atomic():
        open_ = Job.objects.filter(pk=job.pk, state__in=[JobState.QUEUED, JobState.RUNNING], paused=not paused)
        changed = open_.update(paused=paused)
        if changed:
            trail.record(actor=Actor.of(principal), action=action, object=f"job {job.pk}", detail={"kind": job.kind})
    return bool(changed)


def change(job: Job, *, principal: Principal, priority: int | None = None, due_at: datetime | None = None) -> bool:
    """Of a waiting job; False when it waits no more."""
    said = {"priority": priority, "due_at": due_at}
    changes = {name: value for name, value in said.items() if value is not None}
    with transaction.atomic():
        changed = Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(**changes) if changes else 1
        if changed and changes:
            trail.record(
                actor=Actor.of(principal),
                action="change",
                object=f"job {job.pk}",
                detail={"kind": job.kind} | {name: str(value) for name, value in changes.items()},
            )
    if changed:
        ring()
    return bool(changed)


def retry(job: Job, *, principal: Principal) -> bool:
    """An ended job once more: what failed, not what was done. Raises ValidationError when its like waits already."""
    try:
        with transaction.atomic():
            ended = Job.objects.filter(pk=job.pk, state__in=[JobState.FAILED, JobState.CANCELLED])
            if ended.filter(state=JobState.FAILED, started_at=None).exists():
                raise ValidationError("It was refused before it was begun: ask for another one.")
            changed = ended.update(
                state=JobState.QUEUED,
                attempts=0,
                failures=0,
                error="",
                ended_at=None,
                cancel_requested=False,
                paused=False,
                due_at=clock(),
            )
            if changed:
                job.items.filter(state=ItemState.FAILED).update(state=ItemState.QUEUED, error="", finished_at=None)
                trail.record(
                    actor=Actor.of(principal), action="retry", object=f"job {job.pk}", detail={"kind": job.kind}
                )
    except IntegrityError as error:
        raise ValidationError("Another job of the same kind and key waits already.") from error
    if changed:
        ring()
    return bool(changed)


def rename(peer: str, name: str, *, servers: bool = False) -> None:
    """What is to be done for somebody is done for him under his new name, too. In the transaction that renames him.
    `servers`: jobs whose arguments name a server, which may be called like a peer."""
    left = Job.objects.filter(peer=peer).exclude(state=JobState.SUCCEEDED)
    named = Q(arguments__has_key="server")
    left = left.filter(named) if servers else left.exclude(named)
    left.exclude(state=JobState.RUNNING).update(peer=name)
    with suppress(IntegrityError), transaction.atomic():  # jobs of one who had that name before still run
        left.update(peer=name)


def hurry(waiting: Q) -> bool:
    """A job that waits for its time need not any longer."""
    changed = Job.objects.filter(waiting, state=JobState.QUEUED).update(due_at=clock())
    if changed:
        ring()
    return bool(changed)


def say(job: Job, text: str) -> None:
    JobLine.objects.create(job=job, at=timezone.now(), text=kept(text))


def kept(text: str) -> str:
    """What others say, as both databases take it."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def prune(older_than: datetime) -> int:
    """Jobs that ended before, with their items and lines; some at a time, in short transactions."""
    ended = [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]
    old = Job.objects.filter(state__in=ended, ended_at__lt=older_than).order_by()
    removed = 0
    while keys := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        removed += Job.objects.filter(pk__in=keys).delete()[1].get("jobs.Job", 0)
        failpoint("prune_jobs.removed")
    return removed
