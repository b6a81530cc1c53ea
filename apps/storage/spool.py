"""A node's files on their way into the archive: `tmp/` while written, `ready/` once durable, `failed/` put aside.

A name is "{receive time, ns}-{node}-{process}-{number}": unique without asking anybody, sorted by time of reception.
"""

import itertools
import os
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

from django.conf import settings

_NODE = re.compile(r"[A-Za-z0-9_.-]{1,24}", re.ASCII)
_NAME = re.compile(r"(\d{19})-[A-Za-z0-9_.-]{1,24}-(\d{1,10})-\d{1,12}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_numbers = itertools.count()


def received_ns(name: str) -> int:
    """The receive time a name begins with. Raises ValueError for what is no name of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError("not the name of a received file")
    return int(match[1])


def moment(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


class Spool:
    """The directories of one node; safe to share between threads and across fork."""

    def __init__(self, root: Path, node: str) -> None:
        if not _NODE.fullmatch(node):
            raise ValueError("A node's name has 1 to 24 letters, digits, dots, hyphens and underscores.")
        self.root = root
        self.node = node
        self.tmp = root / "tmp"
        self.ready = root / "ready"
        self.failed = root / "failed"
        self._prepared_by = 0
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make the directories and clear what dead writers left in `tmp/`; once in the life of a process."""
        if self._prepared_by == os.getpid():
            return
        with self._lock:
            if self._prepared_by == os.getpid():
                return
            for directory in (self.tmp, self.ready, self.failed):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.clear_abandoned()
            self._prepared_by = os.getpid()

    @cached_property
    def tmp_fd(self) -> int:
        return os.open(self.tmp, os.O_RDONLY | os.O_DIRECTORY)

    @cached_property
    def ready_fd(self) -> int:
        return os.open(self.ready, os.O_RDONLY | os.O_DIRECTORY)

    def new_name(self) -> str:
        return f"{time.time_ns():019d}-{self.node}-{os.getpid()}-{next(_numbers)}"

    def waiting(self) -> list[str]:
        """Names in `ready/`, in order of reception."""
        return sorted(name for name in os.listdir(self.ready) if is_name(name))

    def is_waiting(self, name: str) -> bool:
        return os.access(name, os.F_OK, dir_fd=self.ready_fd)

    def put_aside(self, name: str) -> None:
        """From `ready/` to `failed/`: kept, out of the way."""
        os.rename(self.ready / name, self.failed / name)
        _sync(self.failed)

    def take_back(self, name: str) -> None:
        """From `failed/` to `ready/`, to be indexed again."""
        os.rename(self.failed / name, self.ready / name)
        _sync(self.ready)

    def clear_abandoned(self) -> int:
        """Remove from `tmp/` what no living process writes: nobody was told Success for it."""
        removed = 0
        for name in os.listdir(self.tmp):
            match = _NAME.fullmatch(name)
            if match is None or self._is_abandoned(int(match[2])):
                (self.tmp / name).unlink(missing_ok=True)
                removed += 1
        return removed

    def _is_abandoned(self, process: int) -> bool:
        if process == os.getpid():  # a dead process of the same number, if we have written nothing yet
            return self._prepared_by != process
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@lru_cache
def _spool(root: Path, node: str) -> Spool:
    return Spool(root, node)


def spool() -> Spool:
    """This node's, ready to be used."""
    here = _spool(settings.SPOOL, settings.NODE)
    here.prepare()
    return here
