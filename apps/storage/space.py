"""How much may still be written: free space, less what running receives have reserved, above the watermark."""

import os
import threading
import time
from pathlib import Path

_STEP = 1 << 20
_SAMPLE_SECONDS = 0.25


class NoSpace(Exception):
    """Writing on would leave less than the watermark free."""


class Space:
    """Free bytes of one file system as the receives of this process see them.

    Reservations bridge the time between two looks at the file system, and keep receives that run at once from all
    counting on the same free bytes.
    """

    def __init__(self, root: Path, minimum_free: int) -> None:
        self._root = root
        self._minimum_free = minimum_free
        self._lock = threading.Lock()
        self._free = 0
        self._sampled_at = float("-inf")
        self._reserved = 0  # and not yet written
        self._written = 0  # since the sample

    def reserve(self, size: int) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._sampled_at > _SAMPLE_SECONDS:
                status = os.statvfs(self._root)
                self._free = status.f_bavail * status.f_frsize
                self._sampled_at = now
                self._written = 0
            if self._free - self._written - self._reserved - size < self._minimum_free:
                raise NoSpace
            self._reserved += size

    def settle(self, *, reserved: int, written: int) -> None:
        """Of `reserved` bytes `written` are on disk, the rest is not needed."""
        with self._lock:
            self._reserved -= reserved
            self._written += written


class Reservation:
    """What one receive has reserved: taken in steps, since nobody says beforehand how long a data set is."""

    __slots__ = ("_left", "_reserved", "_space")

    def __init__(self, space: Space) -> None:
        self._space = space
        self._reserved = 0
        self._left = 0

    def use(self, size: int) -> None:
        """Before `size` bytes are written. Raises NoSpace."""
        if size > self._left:
            step = max(size - self._left, _STEP)
            self._space.reserve(step)
            self._space.settle(reserved=self._reserved - self._left, written=self._reserved - self._left)
            self._reserved = self._left = self._left + step
        self._left -= size

    def close(self) -> None:
        self._space.settle(reserved=self._reserved, written=self._reserved - self._left)
        self._reserved = self._left = 0
