"""A node's files on their way into the archive: `tmp/` until durable, `ready/` to be indexed, `failed/` put aside.

A name is "{receive time, ns}-{node}-{process}-{number}": unique without asking anybody, sorted by time of reception.
"""

import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from django.conf import settings

from apps.failpoints import failpoint
from apps.storage import notices
from apps.storage.blanks import Blank, Blanks, abandoned, is_writers
from apps.storage.disk import spread, sync
from apps.storage.handover import Handover
from apps.storage.received import Received

log = logging.getLogger(__name__)

_NODE = re.compile(r"[A-Za-z0-9_.-]{1,24}", re.ASCII)
_NAME = re.compile(r"(\d{19})-[A-Za-z0-9_.-]{1,24}-\d{1,10}-\d{1,12}", re.ASCII)
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
        self._blanks = Blanks(self.tmp)
        self._handover = Handover(move=self._move, tell=partial(notices.stored, root))

    def make(self) -> None:
        """The directories that are missing, durably."""
        for directory in (self.tmp, self.ready, self.failed):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        spread(self.tmp)
        for directory in (self.root, *list(self.root.parents)[:2]):
            sync(directory)

    def blank(self) -> Blank:
        """A file to be written. Raises OSError."""
        try:
            return self._blanks.take()
        except FileNotFoundError:  # somebody has cleared or removed `tmp/`
            self._blanks.forget()
            self.make()
            return self._blanks.take()

    def restock(self) -> None:
        """Blanks for those who come next; if the disk refuses, they will be told."""
        with suppress(OSError):
            self._blanks.restock()

    def accept(self, blank: Blank, name: str) -> None:
        """A file that is whole and durable; when it is announced, it goes to `ready/`."""
        self._handover.add(blank, name)

    def announce(self, stored: Received) -> None:
        """Its sender was told: to `ready/` and to the indexer with it, soon."""
        self._handover.announce(stored)

    def hand_over(self) -> None:
        """To `ready/` with all that this process has received, now."""
        self._handover.hand_over()

    def _move(self, blank: Blank, name: str) -> None:
        failpoint("intake.rename")
        try:
            blank.rename(self.waiting_at(name))
        except FileNotFoundError:  # somebody has removed `ready/`
            self.make()
            blank.rename(self.waiting_at(name))

    def waiting_at(self, name: str) -> str:
        return f"{self.ready}/{name}"

    def new_name(self, number: int | None = None, *, after: int = 0) -> str:
        """Of now; if that is not `after` that time, of the next moment the database can tell from it."""
        ns = max(time.time_ns(), after + 1000)
        return self._name(ns, os.getpid(), next(_numbers) if number is None else number)

    def _name(self, ns: int, process: int, number: int) -> str:
        return f"{ns:019d}-{self.node}-{process}-{number}"

    def waiting(self) -> list[str]:
        """Names in `ready/`, in order of reception."""
        try:
            return sorted(name for name in os.listdir(self.ready) if is_name(name))
        except FileNotFoundError:
            self.make()
            return []

    def still_waiting(self, names: Iterable[str]) -> list[str]:
        """Those of them that wait, in the same order."""
        waiting = {*self._handover.names, *self.waiting()}
        return [name for name in names if name in waiting]

    def is_waiting(self, name: str) -> bool:
        return name in self._handover.names or os.access(self.waiting_at(name), os.F_OK)

    def put_aside(self, name: str) -> None:
        """From `ready/` to `failed/`: kept, out of the way."""
        os.rename(self.ready / name, self.failed / name)
        sync(self.failed)

    def take_back(self, name: str) -> None:
        """From `failed/` to `ready/`, to be indexed again."""
        os.rename(self.failed / name, self.ready / name)
        sync(self.ready)

    def take_over(self) -> int:
        """Of processes that are no more: how many files were found whole and now wait in `ready/`; the rest goes."""
        found = 0
        if not self.tmp.is_dir():  # somebody has removed it
            self.make()
        for path in filter(is_writers, self.tmp.iterdir()):
            with suppress(FileNotFoundError), abandoned(path) as folder:  # another may be quicker
                if folder is None:
                    continue
                for number, ns in folder.whole():
                    name = self._name(ns, folder.process, number)
                    os.rename(str(number), self.waiting_at(name), src_dir_fd=folder.fd)
                    log.warning("found in tmp/, whole: %s", name)
                    found += 1
                sync(self.ready)
                folder.remove()
        return found


_spools: dict[tuple[Path, str], Spool] = {}
_making = threading.Lock()


def spool() -> Spool:
    """This node's, ready to be used; one for all threads, since it knows what is still to be handed over."""
    which = (settings.SPOOL, settings.NODE)
    return _spools.get(which) or _made(*which)


def _made(root: Path, node: str) -> Spool:
    with _making:
        if (root, node) not in _spools:
            here = Spool(root, node)
            here.make()
            _spools[root, node] = here
        return _spools[root, node]
