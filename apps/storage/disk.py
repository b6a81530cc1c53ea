"""What several of us ask of the file system."""

import fcntl
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from blake3 import blake3
from django.conf import settings

_CHUNK = 1 << 20
_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHY = 0x80086601, 0x40086602, 0x20000  # FS_IOC_GETFLAGS and so on, 64-bit Linux


def sync(directory: Path) -> None:
    """Make its entries durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def spread(directory: Path) -> None:
    """What is made in it gets a part of the disk of its own, where the file system can (ext4, `chattr +T`).

    Else ext4 keeps all our directories close together, and looks for room among the files that have just been deleted.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # another file system, or not ours
            flags = array("L", [0])
            fcntl.ioctl(fd, _GET_FLAGS, flags)
            flags[0] |= _TOP_OF_HIERARCHY
            fcntl.ioctl(fd, _SET_FLAGS, flags)
    finally:
        os.close(fd)


def digest_of(fd: int, offset: int, *, watch: Callable[[], object] = lambda: None) -> str:
    """BLAKE3 of a file from `offset` on, as it is on disk now. `watch` is called now and then, and may raise."""
    digest = blake3()
    while chunk := os.pread(fd, _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
        watch()
    return digest.hexdigest()


def unusable(path: Path) -> str:
    """Why images would be refused (as `space` does), or an empty string."""
    try:
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0")
            probe.flush()
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    free = shutil.disk_usage(path).free
    if free < settings.MINIMUM_FREE:
        return f"{free >> 20} MiB free, less than the {settings.MINIMUM_FREE >> 20} MiB that stay free"
    return ""
