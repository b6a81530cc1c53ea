"""News for upper rooms: written where it happens, turned into jobs by the roof's table."""

import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.accounts.principal import system
from apps.jobs import queue
from apps.jobs.models import OutboxEvent

logger = logging.getLogger(__name__)

BATCH = 500
GATHERED = 5000  # values in the arguments of one job
LOOK_AGAIN = 2.0  # seconds until it is asked anew whether somebody waits for an event

_awaited: dict[str, tuple[float, bool]] = {}


@dataclass(frozen=True, slots=True)
class Reaction:
    """A job to make of an event: its payload is the arguments. `key` names the values of the payload by which several
    events make one waiting job, `once` that all of them do, without arguments; `delay` lets more of them gather.
    `gathers` names the value, or values, that the job is given of all events dispatched together, each once, as a list.
    `wanted` says whether there is anything for the job to do: where not, none is made."""

    kind: str
    key: tuple[str, ...] = ()
    once: bool = False
    gathers: str = ""
    delay: timedelta = timedelta()
    priority: int = 0
    wanted: Callable[[], bool] | None = None


def reactions() -> Mapping[str, Sequence[Reaction]]:
    table: Mapping[str, Sequence[Reaction]] = import_string(settings.EVENT_KINDS)
    return table


def is_awaited(event: str) -> bool:
    """Whether a job is made of it, as it was two seconds ago at most: for who would write it all the time."""
    now = time.monotonic()
    asked, answer = _awaited.get(event, (-math.inf, False))
    if now - asked >= LOOK_AGAIN:
        answer = bool(_wanted(event))
        _awaited[event] = now, answer
    return answer


def write(event: str, payload: Mapping[str, Any]) -> None:
    """In the transaction of what happened."""
    OutboxEvent.objects.create(event=event, payload=dict(payload), created_at=timezone.now())


def write_many(event: str, payloads: Sequence[Mapping[str, Any]]) -> None:
    now = timezone.now()
    OutboxEvent.objects.bulk_create(
        OutboxEvent(event=event, payload=dict(payload), created_at=now) for payload in payloads
    )


def dispatch() -> int:
    """Makes the jobs of what was written; how many events. An event and its jobs change hands in one transaction."""
    handled = 0
    while batch := _dispatch_batch():
        handled += batch
    return handled


def _dispatch_batch() -> int:
    if not OutboxEvent.objects.exists():  # without taking SQLite's only write lock each second
        return 0
    rows: list[OutboxEvent] = []
    try:
        with transaction.atomic():
            # Of two dispatchers on PostgreSQL each takes other rows; SQLite lets one of them in at a time.
            rows = list(OutboxEvent.objects.select_for_update(skip_locked=True).order_by("id")[:BATCH])
            _answer(rows)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # a bug, or an event of another version: the others must not wait for it
        logger.exception("Of %d events one breaks, each is answered by itself", len(rows))
        for row in rows:
            _answer_alone(row)
    return len(rows)


def _answer_alone(event: OutboxEvent) -> None:
    """The one place where an event's errors end: as a job that failed, and in nobody's way."""
    row = OutboxEvent.objects.select_for_update(skip_locked=True).filter(pk=event.pk)
    try:
        with transaction.atomic():
            _answer(list(row))
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        reference = secrets.token_hex(4)
        logger.exception("Event %s breaks, reference %s", event, reference)
        with transaction.atomic():
            row.delete()
            queue.refuse(
                kind=next((each.kind for each in reactions().get(event.event, ())), event.event),
                principal=system("outbox"),
                arguments=event.payload if isinstance(event.payload, dict) else {},
                error=f"What was to be done for {event} is unknown, reference {reference} in the log",
            )


def _answer(rows: Sequence[OutboxEvent]) -> None:
    answered: set[tuple[str, str]] = set()
    gathered: dict[Reaction, set[Any]] = {}
    wanted = {event: _wanted(event) for event in {row.event for row in rows}}
    for row in rows:
        for reaction in wanted[row.event]:
            if reaction.gathers:
                value = row.payload[reaction.gathers]
                gathered.setdefault(reaction, set()).update(value if isinstance(value, list) else [value])
                continue
            key = _key(reaction, row.payload)
            if not key or (reaction.kind, key) not in answered:
                _react(reaction, row.payload, key)
                answered.add((reaction.kind, key))
    for reaction, values in gathered.items():
        for part in _parts(sorted(values)):
            _react(reaction, {reaction.gathers: part}, "")
    OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).delete()


def _wanted(event: str) -> list[Reaction]:
    return [each for each in reactions().get(event, ()) if each.wanted is None or each.wanted()]


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), GATHERED):
        yield values[start : start + GATHERED]


def _key(reaction: Reaction, payload: Mapping[str, Any]) -> str:
    return reaction.kind if reaction.once else "/".join(str(payload.get(name, "")) for name in reaction.key)


def _react(reaction: Reaction, payload: Mapping[str, Any], key: str) -> None:
    queue.submit(
        kind=reaction.kind,
        principal=system("outbox"),
        arguments={} if reaction.once else payload,
        key=key,
        due_at=timezone.now() + reaction.delay,
        priority=reaction.priority,
    )
