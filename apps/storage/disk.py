"""What several of us ask of the file system."""

import os
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

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
