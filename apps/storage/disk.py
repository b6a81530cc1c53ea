"""What several of us ask of the file system."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3
from django.conf import settings

_CHUNK = 1 << 20


def sync(directory: Path) -> None:
    """Make its entries durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
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
