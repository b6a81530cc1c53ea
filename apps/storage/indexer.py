"""The process that owns a node's spool: what is in `ready/` goes into the index, soon or in batches, never lost.

`ready/` is the queue, notices are hints. Whatever fails is tried again; a file that fails by itself is put aside.
"""

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from apps.storage import decisions
from apps.storage.index import index_batch
from apps.storage.models import FailedFile
from apps.storage.notices import Inbox
from apps.storage.received import Received, read
from apps.storage.spool import Spool
from apps.storage.store import Away

log = logging.getLogger(__name__)

BATCH = 500
_GATHER_SECONDS = 0.1  # between commits while busy
_LOOK_SECONDS = 0.25  # between looks into `ready/`
_TAKE_OVER_SECONDS = 10.0  # between looks for what dead processes left in `tmp/`
_LONGEST_PAUSE = 10.0
# The one process that writes much: more pages in memory, and each written back seldom.
_SQLITE = ("cache_size = -65536", "wal_autocheckpoint = 8000")
# The disk's state, not the file's: waiting helps.
_PASSING = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,  # a mount with the wrong owner would put the whole queue aside
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.ESTALE,
)


class AlreadyRunning(Exception):
    """Another process owns this spool."""


class SpoolReplaced(Exception):
    """Somebody has moved or removed this spool's directory: to be owned anew."""


class Unavailable(Exception):
    """The database or the disk is away: later."""


class Indexer:
    """As a context manager it owns the spool; `run` goes on until it is stopped, `catch_up` until nothing waits."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._looked_at = float("-inf")
        self._committed_at = float("-inf")
        self._took_over_at = float("-inf")

    def __enter__(self) -> Self:
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise AlreadyRunning(str(self._spool.root)) from error
        self._inbox = Inbox(self._spool.root)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inbox.close()
        os.close(self._lock)

    @property
    def _lock_path(self) -> Path:
        return self._spool.root / "indexer.lock"

    def _check_owned(self) -> None:
        """Raises SpoolReplaced."""
        try:
            if os.path.samestat(os.stat(self._lock_path), os.fstat(self._lock)):
                return
        except FileNotFoundError:
            pass
        raise SpoolReplaced(str(self._spool.root))

    def run(self, stopping: threading.Event) -> None:
        """Raises SpoolReplaced."""
        pause = 0.0
        begun = False
        while not stopping.is_set():
            try:
                if not begun:
                    self._begin()
                    begun = True
                self._turn(stopping)
                pause = 0.0
            except Unavailable as error:
                begun = False
                self._inbox.announced.clear()  # not to be gathered for hours: the files say it all again
                pause = min(max(2 * pause, _LOOK_SECONDS), _LONGEST_PAUSE)
                log.warning("indexing waits %.1f s: %s", pause, error)
                connection.close()
                stopping.wait(pause)

    def _begin(self) -> None:
        """What a crash has left half done."""
        try:
            if connection.vendor == "sqlite":
                with connection.cursor() as cursor:
                    for setting in _SQLITE:
                        cursor.execute(f"PRAGMA {setting}")
            decisions.catch_up()
        except (OperationalError, InterfaceError, Away) as error:
            raise Unavailable(str(error).strip()) from error

    def _turn(self, stopping: threading.Event) -> None:
        """Commits at once after a rest or when somebody waits, else so seldom that batches form."""
        inbox = self._inbox
        inbox.wait(max(0.0, self._looked_at + _LOOK_SECONDS - time.monotonic()))
        if inbox.announced:
            inbox.gather(self._committed_at + _GATHER_SECONDS - time.monotonic())
        now = time.monotonic()
        if now >= self._took_over_at + _TAKE_OVER_SECONDS:
            self._take_over()
        if inbox.hurried or now >= self._looked_at + _LOOK_SECONDS:
            self._check_owned()
            self.catch_up(stopping)
        elif inbox.announced:
            self._index(self._take(BATCH))

    def _take_over(self) -> None:
        self._took_over_at = time.monotonic()
        try:
            self._spool.take_over()
        except OSError as error:
            raise Unavailable(str(error)) from error

    def catch_up(self, stopping: threading.Event | None = None) -> int:
        """Index all that is in `ready/` now, announced or not; how many files. Raises Unavailable."""
        self._inbox.hurried = False
        names = self._spool.waiting()
        self._looked_at = time.monotonic()
        announced = self._inbox.announced
        for name in announced.keys() - set(names):
            del announced[name]  # indexed already
        for start in range(0, len(names), BATCH):
            if stopping and stopping.is_set():
                break
            self._index([announced.pop(name, name) for name in names[start : start + BATCH]])
        return len(names)

    def _take(self, most: int) -> list[Received | str]:
        announced = self._inbox.announced
        return [announced.pop(name) for name in sorted(announced)[:most]]

    def _index(self, batch: Sequence[Received | str]) -> None:
        """Raises Unavailable; any other error is a file's own, which is found by halving and put aside."""
        try:
            index_batch(
                [one if isinstance(one, Received) else read(self._spool.ready / one) for one in batch], self._spool
            )
        except (OperationalError, InterfaceError) as error:
            raise Unavailable(str(error).strip()) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _PASSING:
                raise Unavailable(str(error)) from error
            if len(batch) > 1:
                middle = len(batch) // 2
                self._index(batch[:middle])
                self._index(batch[middle:])
                return
            self._put_aside(batch[0], error)
        finally:
            self._committed_at = time.monotonic()

    def _put_aside(self, one: Received | str, error: Exception) -> None:
        name = one if isinstance(one, str) else one.name
        if not self._spool.is_waiting(name):
            return
        log.error("a file cannot be indexed and is put aside: %s", name, exc_info=error)
        try:
            FailedFile.objects.update_or_create(
                name=name,
                defaults={
                    "node": self._spool.node,
                    "reason": f"{type(error).__name__}: {error}"[:2000],
                    "failed_at": timezone.now(),
                    "retried_at": None,
                },
            )
        except (OperationalError, InterfaceError) as away:
            raise Unavailable(str(away).strip()) from away
        self._spool.put_aside(name)
