"""What can be made again, kept on disk: bounded, the least recently used goes first, and no request depends on it.

Several processes share it without talking: an entry appears whole, under its key, or not at all. Keys carry what their
entry was made from (a primary key and its revision), so that what has changed is never served.
"""

import contextlib
import errno
import fcntl
import io
import logging
import os
import re
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from django.conf import settings

from apps.failpoints import failpoint

log = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", re.ASCII)
_FOLDERS: Final = 256
_TOUCH_AFTER: Final = 60.0  # seconds: what is read again and again is not touched each time
_SHARE: Final = 16  # a process looks at the whole when it has written this part of it
_LEAST: Final = 4096  # bytes that any file takes


class Cache:
    """Below `PACS_DATA/cache`. The part of a key before its first dash says whose entry it is: those lie together."""

    def __init__(self, name: str, most_bytes: int) -> None:
        self._name, self._most = name, most_bytes
        self._unseen = most_bytes  # bytes written since the last look: the first write looks
        self._complained = False

    def read(self, key: str) -> BinaryIO | None:
        """Open, at its start."""
        path = self._path(key)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None
        with contextlib.suppress(OSError):
            if time.time() - os.fstat(file.fileno()).st_mtime > _TOUCH_AFTER:
                os.utime(file.fileno())
        return file

    def write(self, key: str, pieces: Iterable[bytes]) -> BinaryIO:
        """Open, at its start; in memory where the disk does not take it."""
        with self.making(key) as entry:
            spare: BinaryIO | None = None
            for piece in pieces:
                if spare is None and not entry.add(piece):
                    spare = entry.salvaged()
                if spare is not None:
                    spare.write(piece)
            made = spare or entry.kept() or entry.salvaged()
        made.seek(0)
        return made

    @contextmanager
    def making(self, key: str) -> Iterator["Entry"]:
        """An entry to add pieces to, gone at the end of the block unless it was kept."""
        entry = Entry(self._path(key))
        try:
            entry.begin()
            yield entry
        finally:
            entry.discard()
            if entry.error:
                self._complain(entry.error)
            elif entry.size:
                self._complained = False
            self._count(entry.size)

    def adopt(self, key: str, path: str) -> None:
        """A file that lies beside the cache, whole and durable, by another name; not where the disk refuses."""
        target = self._path(key)
        try:
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            _leave_room(target.parent)
            os.link(path, target)
            size = os.stat(path).st_size
        except OSError as error:
            log.debug("%s is not adopted: %s", key, error)
            return
        self._count(size)

    def has(self, key: str) -> bool:
        return self._path(key).exists()

    def discard(self, key: str) -> None:
        with contextlib.suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def remove(self, owner: str, *, but: str = "") -> None:
        """The entries of `owner` whose keys do not begin with `but`."""
        folder = self._path(owner).parent
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if name.partition("-")[0] == owner and not (but and name.startswith(but)):
                    (folder / name).unlink(missing_ok=True)

    def _count(self, size: int) -> None:
        self._unseen += max(size, _LEAST)
        if self._unseen > self._most // _SHARE:
            self.sweep()

    def sweep(self) -> None:
        """Down to three quarters: between two looks several processes may write their share."""
        self._unseen = 0
        with _alone(self._root) as alone:
            if not alone:
                return  # another process is at it
            sizes = sorted((status.st_mtime_ns, _taken(status)) for _, status in _files(self._root))
            excess = sum(size for _, size in sizes) - self._most * 3 // 4
            youngest = 0
            for mtime, size in sizes:
                if excess <= 0:
                    break
                youngest, excess = mtime, excess - size
            for path, status in _files(self._root) if youngest else ():
                if status.st_mtime_ns <= youngest:
                    with contextlib.suppress(OSError):
                        os.unlink(path)

    @property
    def _root(self) -> Path:
        return Path(settings.DATA) / "cache" / self._name

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("not a key of a cache")
        owner = key.partition("-")[0]
        return self._root / f"{zlib.crc32(owner.encode()) % _FOLDERS:02x}" / key

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.warning("The cache %s is of no use now, all goes on without: %s", self._name, error)
        self._complained = True


class Entry:
    """Under a temporary name, until it is kept. What the disk refuses is remembered in `error`, and costs the entry."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self.size = 0
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        self._file: BinaryIO | None = None
        self._is_there = False

    def begin(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            _leave_room(self._path.parent)
            # No buffer: what has been added is in the file, or known not to be.
            self._file = self._temporary.open("w+b", buffering=0)
            self._is_there = True
        except OSError as error:
            self.error = error

    def add(self, piece: bytes) -> bool:
        if self.error or self._file is None:
            return False
        try:
            if failpoint("cache.full"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self.error = error
            return False
        self.size += len(piece)
        return True

    @property
    def fd(self) -> int | None:
        """Of what was added, to be looked at before it is kept."""
        return None if self.error or self._file is None else self._file.fileno()

    def salvaged(self) -> io.BytesIO:
        """What was added before the disk refused, in memory, at its end."""
        memory = io.BytesIO()
        if self._file is not None:
            self._file.seek(0)
            while memory.tell() < self.size and (data := self._file.read(self.size - memory.tell())):
                memory.write(data)
        return memory

    def keep(self) -> None:
        if file := self.kept():
            file.close()

    def kept(self) -> BinaryIO | None:
        """Open, unless the disk refused something. Synchronised first: after a power cut an entry is whole or not
        there."""
        if self.error or self._file is None:
            return None
        try:
            os.fdatasync(self._file.fileno())
            self._temporary.rename(self._path)
        except OSError as error:
            self.error = error
            return None
        self._is_there = False
        kept, self._file = self._file, None
        return kept

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._is_there:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)


def _leave_room(folder: Path) -> None:
    """What intake leaves free is not the cache's to fill."""
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize < settings.MINIMUM_FREE:
        raise OSError("the disk has no room to spare")


def _files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Unfinished ones too: one that nobody finishes is the oldest one day."""
    for number in range(_FOLDERS):
        try:
            with os.scandir(root / f"{number:02x}") as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        yield entry.path, entry.stat(follow_symlinks=False)
        except OSError:
            continue


def _taken(status: os.stat_result) -> int:
    return max(_LEAST, status.st_size)


@contextmanager
def _alone(root: Path) -> Iterator[bool]:
    try:
        with (root / ".sweeping").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
    except FileNotFoundError:
        yield False
