"""Reports on the association that asked, as long as it lives: one thread of a process looks for what is decided."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, InterfaceError
from django.utils import timezone

from apps.commitment import reporting
from apps.commitment.models import CommitmentRequest, State
from apps.commitment.received import HOLD
from apps.network.database import borrowed, give_back
from dicom.dimse import Association, DimseError

log = logging.getLogger(__name__)

LOOK_EVERY = 0.2  # seconds
RENEW_EVERY = HOLD.total_seconds() / 3
AFTER_FAILURE = 2.0


class Watch:
    """Of one process: associations by the request they wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, Association] = {}
        self._sending = 0
        self._runs = False

    def add(self, key: int, assoc: Association) -> None:
        with self._lock:
            self._waiting[key] = assoc
            if not self._runs:
                threading.Thread(target=self._run, name="commitment", daemon=True).start()
                self._runs = True

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._sending and not self._runs

    def _run(self) -> None:
        renewed = time.monotonic()
        try:
            while self._goes_on():
                pause = LOOK_EVERY
                try:
                    with borrowed():
                        self._look()
                        if time.monotonic() - renewed > RENEW_EVERY:
                            self._renew()
                            renewed = time.monotonic()
                except (Error, InterfaceError) as error:  # holds run out by themselves meanwhile
                    log.warning("Requests for storage commitment cannot be looked at: %s", error)
                    pause = AFTER_FAILURE
                time.sleep(pause)
        finally:
            give_back()

    def _goes_on(self) -> bool:
        with self._lock:
            self._runs = bool(self._waiting)
            return self._runs

    def _look(self) -> None:
        waiting = dict(self._waiting)
        states = dict(CommitmentRequest.objects.filter(pk__in=waiting).values_list("pk", "state"))
        for key, assoc in waiting.items():
            if assoc.ended is not None:
                reporting.leave(key, assoc.id)
            elif states.get(key) == State.DECIDED:
                with self._lock:
                    self._sending += 1
                threading.Thread(target=self._report, args=(key, assoc), name=f"report {key}", daemon=True).start()
            elif states.get(key) == State.ASKED:
                continue
            self._forget(key, assoc)

    def _forget(self, key: int, assoc: Association) -> None:
        with self._lock:
            if self._waiting.get(key) is assoc:  # else it was asked for once more
                del self._waiting[key]

    def _renew(self) -> None:
        until = timezone.now() + HOLD
        for key, assoc in dict(self._waiting).items():
            CommitmentRequest.objects.filter(pk=key, held_by=assoc.id).update(held_until=until)

    def _report(self, key: int, assoc: Association) -> None:
        try:
            with _named(key):
                report(key, assoc)
        finally:
            give_back()
            with self._lock:
                self._sending -= 1


@contextmanager
def _named(key: int) -> Iterator[None]:
    """What the database does in this thread is not worth a word: the hold runs out, and the job reports."""
    try:
        yield
    except (Error, InterfaceError) as error:
        log.warning("The report of request %d for storage commitment is left to its job: %s", key, error)


def report(key: int, assoc: Association) -> None:
    """On this association, unless somebody else does; its job reports otherwise."""
    with borrowed():
        request = reporting.due().filter(pk=key).first()
        if request is None or not reporting.hold(key, assoc.id, timezone.now() + reporting.HOLD):
            return
    try:
        reporting.send(assoc, request)
    except DimseError as error:
        log.info("The report of request %d was not taken on its association: %s", key, error)
        with borrowed():
            reporting.leave(key, assoc.id, error=str(error))
        return
    with borrowed():
        reporting.taken(key)


watch = Watch()
