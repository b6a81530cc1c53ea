"""The archive in a file system: a file goes from the spool to its place by a hard link, or as a copy."""

import errno
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from django.conf import settings

from apps.failpoints import failpoint
from apps.storage import received
from apps.storage.disk import digest_of, sync, unusable
from apps.storage.placement import path_of, place_of
from apps.storage.received import Received
from apps.storage.spool import Spool, is_name
from dicom.errors import InvalidDataSet

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
_CHUNK = 1 << 20
_KEPT = 4096

_synced: set[Path] = set()
_lock = threading.Lock()


class LocalStore:
    def put(self, spool: Spool, names: Sequence[str]) -> None:
        root = str(settings.ARCHIVE)
        directories = set()
        for name in names:
            place = place_of(name)
            directory = f"{root}/{place[: -len(name) - 1]}"
            if directory not in directories:
                if not os.path.isdir(directory):  # new, or somebody has removed it
                    _synced.discard(Path(directory))
                prepare(Path(directory))
                directories.add(directory)
            _link(spool, name, f"{root}/{place}")
            failpoint("index.linked")
        if not failpoint("index.directory_sync"):
            for directory in directories:
                sync(Path(directory))

    def open(self, place: str, *, fresh: bool = False) -> int:
        return os.open(path_of(place), os.O_RDONLY)

    def read(self, place: str) -> Received:
        return received.read(path_of(place))

    def read_many(self, places: Iterable[str]) -> Iterator[Received | OSError | InvalidDataSet]:
        for place in places:
            try:
                yield self.read(place)
            except (OSError, InvalidDataSet) as error:
                yield error

    def expect(self, place: str, size: int) -> None:
        with suppress(OSError):
            fd = self.open(place)
            try:
                os.posix_fadvise(fd, 0, size, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(fd)

    def exists(self, place: str) -> bool:
        return path_of(place).exists()

    def size(self, place: str) -> int:
        return path_of(place).stat().st_size

    def sizes(self, places: Iterable[str]) -> Iterator[int | OSError]:
        for place in places:
            try:
                yield self.size(place)
            except OSError as error:
                yield error

    def remove(self, places: Iterable[str]) -> None:
        for place in places:
            path_of(place).unlink(missing_ok=True)

    def purge(self, place: str) -> bool:
        try:
            fd = self.open(place)
        except FileNotFoundError:
            return True
        try:
            flock(fd, LOCK_EX | LOCK_NB)
            path_of(place).unlink()
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def places(self) -> Iterator[str]:
        """Directories are named by the minute, files by the nanosecond."""
        root = settings.ARCHIVE
        for path in _below(root, 4):
            yield str(path.relative_to(root))

    def write_record(self, path: str, content: bytes) -> None:
        target: Path = settings.ARCHIVE / path
        prepare(target.parent)
        partial = target.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
        sync(target.parent)

    def withdraw_record(self, path: str) -> None:
        target: Path = settings.ARCHIVE / path
        target.unlink(missing_ok=True)
        sync(target.parent)

    def records(self) -> Iterator[str]:
        root = settings.ARCHIVE
        for path in sorted((root / "records").glob("*/*/*.json")):
            yield str(path.relative_to(root))

    def read_record(self, path: str) -> bytes:
        content: bytes = (settings.ARCHIVE / path).read_bytes()
        return content

    def trouble(self) -> str:
        return unusable(settings.ARCHIVE)


def _below(directory: Path, levels: int) -> Iterator[Path]:
    if not directory.is_dir():
        return
    for name in sorted(os.listdir(directory)):
        if levels and name.isascii() and name.isdigit():
            yield from _below(directory / name, levels - 1)
        elif not levels and is_name(name):
            yield directory / name


def _link(spool: Spool, name: str, target: str) -> None:
    try:
        os.link(spool.waiting_at(name), target, follow_symlinks=False)
    except FileExistsError:
        return  # put there before a crash; a copy gets its name when it is complete
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _copy(spool.ready / name, Path(target))


def _copy(source: Path, target: Path) -> None:
    """To another file system: complete, durable and compared before it has the name."""
    partial = target.with_name(f".{target.name}.partial")
    with source.open("rb") as reader, partial.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK)
        writer.flush()
        os.fsync(writer.fileno())
    copied = received.read(partial)
    with partial.open("rb") as reader:
        same = digest_of(reader.fileno(), copied.dataset_offset) == copied.digest
    if not same:
        partial.unlink()
        raise OSError(errno.EIO, "The copy in the archive differs from what was received")
    partial.rename(target)


def prepare(directory: Path) -> None:
    """Make it, and make sure once a process that its way down from the root survives a power cut."""
    if directory in _synced:
        return
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    above = directory.parent
    while above.is_relative_to(settings.ARCHIVE.parent):
        sync(above)
        above = above.parent
    with _lock:
        if len(_synced) >= _KEPT:
            _synced.clear()
        _synced.add(directory)
