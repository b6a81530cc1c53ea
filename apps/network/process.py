"""Which process of its node this is: its process id, unless another container of the node has one of the same id.

A lock beside the spool says so: the kernel lets go of it when the process is gone, whatever has its id then.
"""

import fcntl
import logging
import os
import threading
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

_APART = 1 << 22  # Linux gives process ids below it
_MOST = 1 << 31

_lock = threading.Lock()
_held: dict[tuple[int, Path], tuple[int, int]] = {}


def number() -> int:
    """The same for as long as this process lives, and that of no other process of the node that lives."""
    me = os.getpid(), _folder()
    with _lock:
        if me not in _held:
            try:
                _held[me] = _hold(*me)
            except OSError as error:
                logger.error("no lock in %s: %s", me[1], error)
                return me[0]
        return _held[me][0]


def leave() -> None:
    """At an orderly end."""
    me = os.getpid(), _folder()
    with _lock:
        if me in _held:
            mine, lock = _held.pop(me)
            _path(mine).unlink(missing_ok=True)
            os.close(lock)


def is_alive(process: int) -> bool:
    try:
        lock = os.open(_path(process), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        if not _locked(lock):
            return True
        _path(process).unlink(missing_ok=True)
        return False
    finally:
        os.close(lock)


def _folder() -> Path:
    return Path(settings.SPOOL) / "processes"


def _path(process: int) -> Path:
    return _folder() / f"{process}.lock"


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _hold(process: int, folder: Path) -> tuple[int, int]:
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.lock"):
        if left.stem.isdecimal():
            is_alive(int(left.stem))  # what a process that was killed has left goes
    for candidate in range(process, _MOST, _APART):
        while True:
            lock = os.open(_path(candidate), os.O_RDWR | os.O_CREAT, 0o600)
            if not _locked(lock):
                os.close(lock)
                break
            if _is_in_place(lock, _path(candidate)):
                return candidate, lock
            os.close(lock)  # somebody took it for a dead one's
    raise OSError("no number is free")


def _is_in_place(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False
