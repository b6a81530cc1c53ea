"""Where files are in the archive: under the minute of their reception, by the name they were received under.

The place follows from the name alone, so that every step can be repeated after a crash.
"""

import contextlib
import errno
import os
import re
import shutil
import threading
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from apps.failpoints import failpoint
from apps.storage import received
from apps.storage.disk import digest_of, sync
from apps.storage.spool import Spool, moment, received_ns

_PLACE = re.compile(r"\d{4}/\d{2}/\d{2}/\d{4}/[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
_CHUNK = 1 << 20
_MINUTE_NS = 60_000_000_000
_KEPT = 4096

_synced: set[Path] = set()
_lock = threading.Lock()


def place_of(name: str) -> str:
    """Relative to the archive's root."""
    return f"{_minute(received_ns(name) // _MINUTE_NS)}/{name}"


@lru_cache
def _minute(number: int) -> str:
    return f"{moment(number * _MINUTE_NS):%Y/%m/%d/%H%M}"


def path_of(place: str) -> Path:
    """The only way from a column to a path."""
    if not _PLACE.fullmatch(place) or ".." in place:
        raise ValueError("not a place in the archive")
    return settings.ARCHIVE / place


def put(spool: Spool, names: Iterable[str]) -> None:
    """Give files of `ready/` their final names as well, durably."""
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


def retire(spool: Spool, names: Iterable[str]) -> None:
    """They are in the index: the spool need not hold them any longer."""
    for name in names:
        failpoint("index.retire")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spool.waiting_at(name))


def remove(places: Iterable[str]) -> None:
    """Files no row names any longer."""
    for place in places:
        path_of(place).unlink(missing_ok=True)
