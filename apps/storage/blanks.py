"""Empty files made ahead, whose names in `tmp/` survive a power cut before a byte is written into them.

A new file is safe only once its directory is, and that costs a disk write of its own. One write for many names leaves
each instance with that of its content. It is acknowledged under the name it has here; a power cut that undoes the
rename into `ready/` leaves it where `Abandoned` finds it, and its digest proves that it is whole.
"""

import errno
import fcntl
import itertools
import os
import re
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from apps.failpoints import failpoint
from apps.storage.disk import digest_of, sync
from dicom import part10
from dicom.errors import InvalidDataSet

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL
_WRITERS = re.compile(r"(\d{1,10})-[0-9a-f]{8}", re.ASCII)
_FEWEST, _MOST = 8, 128  # made at once: few where little comes
_DEAR = 40e-6  # seconds of CPU for one: three times what it costs where ext4 finds room at once
_MOVES = 3  # in a row that made it no cheaper


class Folder:
    """A directory `{process}-{random}` below `tmp/`, its name durable; locked, and not taken for abandoned, as long as
    this object is. Raises OSError."""

    def __init__(self, tmp: Path) -> None:
        self.fd = -1
        while True:
            path = tmp / f"{os.getpid()}-{secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            self.path, self.fd = str(path), os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if os.fstat(self.fd).st_nlink:  # else it was taken for abandoned before it was locked
                sync(tmp)
                return
            fd, self.fd = self.fd, -1
            os.close(fd)

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self.fd)


class Blank(NamedTuple):
    """An empty file, open: its number, which is its name in the directory; and its descriptor."""

    number: int
    folder: Folder
    fd: int
    identity: tuple[int, int]

    def discard(self) -> None:
        os.close(self.fd)
        with suppress(OSError):
            self.unlink()

    def unlink(self) -> None:
        os.unlink(str(self.number), dir_fd=self.folder.fd)

    def rename(self, path: str) -> None:
        os.rename(str(self.number), path, src_dir_fd=self.folder.fd)


class Blanks:
    """Of one process, in a directory of its own; in another one when this one has become dear: where many files have
    just been deleted, ext4 without a journal looks at each of them for every new one."""

    def __init__(self, tmp: Path) -> None:
        self._tmp = tmp
        self._lock = threading.Lock()
        self._process = 0
        self._folder: Folder | None = None
        self._numbers = itertools.count()
        self._made: deque[Blank] = deque()
        self._next = _FEWEST
        self._moves = _MOVES

    def __del__(self) -> None:
        """Nobody takes from it any more: the directory counts as abandoned."""
        for blank in self._made:
            with suppress(OSError):
                os.close(blank.fd)

    def take(self) -> Blank:
        """Raises OSError: FileNotFoundError when somebody has moved the directory away, or cleared it."""
        with self._lock:
            if self._process != os.getpid():  # the first time, and after a fork: the lock is the parent's
                self._begin()
            if not self._made:
                self._make()
            blank = self._made.popleft()
            if not self._is_in_place(blank):
                os.close(blank.fd)
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), blank.folder.path)
            return blank

    def restock(self) -> None:
        """Between receives, so that no sender waits for it. Raises OSError."""
        with self._lock:
            if self._process == os.getpid() and len(self._made) < _FEWEST:
                self._make()

    def _begin(self) -> None:
        while self._made:
            os.close(self._made.pop().fd)
        self._folder, self._moves = None, _MOVES
        self._process = os.getpid()

    def _is_in_place(self, blank: Blank) -> bool:
        try:
            return _identity(os.stat(f"{blank.folder.path}/{blank.number}")) == blank.identity
        except FileNotFoundError:
            return False

    def forget(self) -> None:
        """The next take begins with a new directory."""
        self._process = 0

    def _make(self) -> None:
        folder = self._folder = self._folder or Folder(self._tmp)
        made: list[Blank] = []
        began = time.thread_time()
        try:
            for number in itertools.islice(self._numbers, self._next):
                fd = os.open(str(number), _NEW, 0o640, dir_fd=folder.fd)
                made.append(Blank(number, folder, fd, _identity(os.fstat(fd))))
            each = (time.thread_time() - began) / len(made)
            if not failpoint("intake.directory_sync"):
                os.fsync(folder.fd)
        except OSError:
            for blank in made:
                blank.discard()
            raise
        self._made.extend(made)
        self._next = min(2 * self._next, _MOST)
        self._weigh(each)

    def _weigh(self, each: float) -> None:
        """Whether the next ones are to be made elsewhere: their CPU tells, which a slow disk or a busy machine does not
        raise."""
        if each < _DEAR:
            self._moves = _MOVES
        elif self._moves:
            self._moves -= 1
            self._folder = None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_writers(path: Path) -> bool:
    """Whether it has the name of a process's directory."""
    return _WRITERS.fullmatch(path.name) is not None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The directory of a process that is no more."""

    path: Path
    fd: int

    @property
    def process(self) -> int:
        return int(self.path.name.partition("-")[0])

    def whole(self) -> Iterator[tuple[int, int]]:
        """Number and receive time of each file that proves itself: its bytes have the digest that it says. Nobody may
        have been told Success for it, but nobody knows."""
        for name in sorted(filter(str.isdecimal, os.listdir(self.fd))):
            received_ns = _proved(name, self.fd)
            if received_ns:
                yield int(name), received_ns

    def remove(self) -> None:
        shutil.rmtree(self.path)


@contextmanager
def abandoned(path: Path) -> Iterator[Abandoned | None]:
    """A directory of `tmp/`, kept from others as long as the block lasts; None while its process lives."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        yield Abandoned(path, folder)
    finally:
        os.close(folder)


def _proved(name: str, folder: int) -> int:
    """The receive time of a whole file, else 0."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        with suppress(InvalidDataSet):
            meta = part10.read_meta(fd)
            if meta.provenance and meta.digest and digest_of(fd, meta.dataset_offset) == meta.digest:
                return meta.provenance.received_ns
    finally:
        os.close(fd)
    return 0
