"""The association log, written beside the associations: none of them waits for the database."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, Error, InterfaceError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.jobs.run import JobRun
from apps.network import process
from apps.network.database import borrowed, give_back
from apps.network.models import AssociationLog, Node, RefusedCaller
from apps.network.rules import clean_ae_title, parse_address
from apps.network.session import Session
from dicom.dimse import Association

logger = logging.getLogger(__name__)

INTERVAL = 0.5  # seconds between two writes, and between two looks for associations to abort
CAPACITY = 10_000  # lines kept while the database is away, the newest
REFUSED_AT_MOST = 1000  # rows: whoever tries AE titles one after the other does not fill the table
KEPT_DAYS = 90
LOST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the log as it will be written; its association ID stands beside it."""

    values: dict[str, Any]
    association: Association | None = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    count: int
    first_seen: datetime
    last_seen: datetime


class AssociationJournal:
    """One for each process that has associations: begin, end and refusals are noted in memory, a thread writes them."""

    def __init__(self, *, interval: float = INTERVAL, capacity: int = CAPACITY) -> None:
        self._interval = interval
        self._capacity = capacity
        self._lock = threading.Lock()
        self._live: dict[str, _Line] = {}
        self._lines: dict[str, _Line] = {}  # to be written; an end replaces the begin of the same association
        self._refusals: dict[tuple[str, str, str], _Refusal] = {}
        self.dropped = 0
        self._reported = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="association log", daemon=True)

    # Called by the associations

    def began(self, assoc: Association, session: Session) -> None:
        line = _Line(
            {
                "node": settings.NODE,
                "process": process.number(),
                "listener": session.listener.name,
                "peer": session.caller.name,
                "calling_ae_title": _ae_title(session.calling_ae_title),
                "called_ae_title": _ae_title(session.called_ae_title),
                "address": _address(session.address),
                "began_at": timezone.now(),
            },
            assoc,
        )
        with self._lock:
            self._live[assoc.id] = line
            self._note(assoc.id, line)

    def ended(self, assoc: Association, session: Session, outcome: str) -> None:
        with self._lock:
            line = self._live.pop(assoc.id, None)
            if line is not None:
                end = {"ended_at": timezone.now(), "outcome": outcome[:200], "messages": session.messages()}
                self._note(assoc.id, _Line({**line.values, **end}))

    def refused(self, *, calling_ae_title: str, called_ae_title: str, address: str, reason: str) -> None:
        origin = _address(address)
        if origin is None:
            return
        key = (_ae_title(calling_ae_title), _ae_title(called_ae_title), origin)
        now = timezone.now()
        with self._lock:
            before = self._refusals.pop(key, None) or _Refusal(reason, 0, now, now)
            self._refusals[key] = replace(before, reason=reason[:200], count=before.count + 1, last_seen=now)
            if len(self._refusals) > REFUSED_AT_MOST:
                self._refusals.pop(next(iter(self._refusals)))

    def _note(self, association_id: str, line: _Line) -> None:
        self._lines.pop(association_id, None)
        self._lines[association_id] = line
        while len(self._lines) > self._capacity:
            self._lines.pop(next(iter(self._lines)))
            self.dropped += 1

    # The thread

    def start(self) -> None:
        process.number()  # from now on this process is seen to live
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Writes what is left, if the database lets it in time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        process.leave()

    def _run(self) -> None:
        closed = False
        away = False
        while True:
            last = self._stopping.wait(self._interval)
            try:
                with borrowed():
                    if not closed:
                        close_dead_rows()
                        closed = True
                    self.flush()
                    self._abort_as_asked()
            except Error as error:
                if not away:
                    logger.warning("The association log waits for the database: %s", error)
                away = True
            else:
                away = False
            if last:
                give_back()
                return

    def flush(self) -> None:
        """Writes what is noted; what could not be written is noted again."""
        with self._lock:
            lines, self._lines = self._lines, {}
            refusals, self._refusals = self._refusals, {}
        try:
            _write(lines)
            lines = {}
            _write_refusals(refusals)
            refusals = {}
        finally:
            self._take_back(lines, refusals)
        if self.dropped > self._reported:
            logger.warning("%d lines of the association log were dropped", self.dropped - self._reported)
            self._reported = self.dropped

    def _take_back(self, lines: dict[str, _Line], refusals: dict[tuple[str, str, str], _Refusal]) -> None:
        with self._lock:
            newer, self._lines = self._lines, {}
            for association_id, line in {**lines, **newer}.items():
                self._note(association_id, line)
            for key, refusal in refusals.items():
                since = self._refusals.get(key)
                total = refusal.count + (since.count if since else 0)
                self._refusals[key] = replace(since or refusal, count=total, first_seen=refusal.first_seen)

    def _abort_as_asked(self) -> None:
        with self._lock:
            live = {association_id: line.association for association_id, line in self._live.items()}
        if not live:
            return
        asked = AssociationLog.objects.filter(
            node=settings.NODE, process=process.number(), ended_at=None, abort_requested=True
        )
        for association_id in asked.values_list("association_id", flat=True):
            if association := live.get(association_id):
                logger.info("Association %s is aborted by an administrator", association_id)
                association.abort()


def _write(lines: dict[str, _Line]) -> None:
    try:
        _write_together(lines)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        # One that the database does not take must not keep out the others.
        for association_id, line in lines.items():
            try:
                _write_together({association_id: line})
            except (OperationalError, InterfaceError):
                raise
            except DatabaseError:
                logger.exception("Association %s cannot be logged", association_id)


def _write_together(lines: dict[str, _Line]) -> None:
    AssociationLog.objects.bulk_create(
        (AssociationLog(association_id=association_id, **line.values) for association_id, line in lines.items()),
        update_conflicts=True,
        unique_fields=["association_id"],
        update_fields=["ended_at", "outcome", "messages"],
        batch_size=500,
    )


def _write_refusals(refusals: dict[tuple[str, str, str], _Refusal]) -> None:
    if not refusals:
        return
    with transaction.atomic():
        # In one order everywhere: two processes that update the same rows do not wait for each other.
        for key, refusal in sorted(refusals.items(), key=lambda pair: pair[0]):
            names = dict(zip(("calling_ae_title", "called_ae_title", "address"), key, strict=True))
            row, made = RefusedCaller.objects.get_or_create(
                **names,
                defaults={
                    "reason": refusal.reason,
                    "count": refusal.count,
                    "first_seen": refusal.first_seen,
                    "last_seen": refusal.last_seen,
                },
            )
            if not made:
                RefusedCaller.objects.filter(pk=row.pk).update(
                    count=F("count") + refusal.count, reason=refusal.reason, last_seen=refusal.last_seen
                )
        surplus = RefusedCaller.objects.order_by("-last_seen").values_list("pk", flat=True)[REFUSED_AT_MOST:]
        RefusedCaller.objects.filter(pk__in=list(surplus)).delete()


def close_dead_rows() -> int:
    """Associations of this node whose process is gone, among them those of an earlier process with our number."""
    live = AssociationLog.objects.filter(node=settings.NODE, ended_at=None)
    ours = process.number()
    numbers = live.order_by("process").values_list("process", flat=True).distinct()
    dead = [number for number in numbers if number == ours or not process.is_alive(number)]
    return live.filter(process__in=dead).update(ended_at=timezone.now(), outcome="the process ended")


def close_rows_of_lost_nodes() -> int:
    """Associations of other machines that have not been heard of for a day: nobody else will say that they ended."""
    heard_of = Node.objects.filter(seen_at__gt=timezone.now() - LOST).values_list("node", flat=True)
    lost = AssociationLog.objects.filter(ended_at=None).exclude(node__in=[*heard_of, settings.NODE])
    return lost.update(ended_at=timezone.now(), outcome="the node has not been heard of for a day")


def request_abort(row: AssociationLog, *, principal: Principal) -> bool:
    """The process that has the association ends it within a second; False when it has ended already."""
    with transaction.atomic():
        asked = AssociationLog.objects.filter(pk=row.pk, ended_at=None).update(abort_requested=True)
        if asked:
            trail.record(
                actor=Actor.of(principal),
                action="abort",
                object=f"association {row.association_id}",
                detail={"calling_ae_title": row.calling_ae_title, "address": row.address},
            )
    return bool(asked)


def prune(older_than: datetime) -> int:
    """Ended associations from before, in short transactions."""
    old = AssociationLog.objects.filter(ended_at__lt=older_than).order_by()
    removed = 0
    while keys := list(old.values_list("pk", flat=True)[:1000]):
        removed += AssociationLog.objects.filter(pk__in=keys).delete()[0]
        failpoint("prune_associations.removed")
    return removed


def prune_job(run: JobRun) -> None:
    """A kind of job: `{"days": 90}`."""
    if lost := close_rows_of_lost_nodes():
        run.log(f"{lost} associations of nodes that are no more are closed")
    before = timezone.now() - timedelta(days=run.arguments.get("days", KEPT_DAYS))
    run.log(f"{prune(before)} associations that ended before {before:%Y-%m-%d} removed")


def _ae_title(text: str) -> str:
    return clean_ae_title(text).replace("\0", "")[:16]


def _address(text: str) -> str | None:
    address = parse_address(text)
    return str(address) if address else None


def lines_of(messages: dict[str, dict[str, int]]) -> Iterable[str]:
    """For people: "120 C-STORE", "2 C-STORE A700"."""
    for request, statuses in messages.items():
        for status, number in statuses.items():
            yield f"{number} {request} {status}".removesuffix(" 0000")
