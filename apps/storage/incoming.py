"""One file while it is being received: a blank of `tmp/` is filled, and in the end sealed or gone.

Bytes are gathered in memory, a stage at a time. What fits into one is scanned there and written once, its digest in
place. Large pieces go to the disk past the page cache: what comes in does not push out what is being read.
"""

import errno
import fcntl
import logging
import mmap
import os
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from blake3 import blake3
from django.conf import settings

from apps.failpoints import failpoint
from apps.storage.space import NoSpace, Reservation, Space
from apps.storage.spool import Spool
from dicom.windows import BytesWindow, FileWindow, Readable

log = logging.getLogger(__name__)

_STAGE = 1 << 20
_KEPT = 16  # stages that wait for the next receive
_BLOCK = 4096  # what direct writes are aligned to
_DIRECT = 1 << 17  # bytes from which the page cache costs more than it brings
_O_DIRECT = getattr(os, "O_DIRECT", 0)
_REASONS = {errno.ENOSPC: "Disk full", errno.EDQUOT: "Over quota", errno.EROFS: "Archive is read-only"}


class CannotWrite(Exception):
    """Our own disk refuses; `str()` is fit for an Error Comment."""


class _OurDisk:
    """An OSError in here is our disk's, not the sender's connection's: CannotWrite."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            log.error("the spool cannot be written: %s", error)
            raise CannotWrite(_REASONS.get(error.errno or 0, "Input or output error")) from error
        if isinstance(error, NoSpace):
            log.error("refusing to store: less than the minimum would stay free")
            raise CannotWrite("Not enough space") from error


our_disk = _OurDisk()


class _Stages:
    """Buffers at page boundaries, as direct writes want them; used again and again."""

    def __init__(self) -> None:
        self._free: deque[memoryview] = deque()

    def borrow(self) -> memoryview:
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(mmap.mmap(-1, _STAGE))

    def give_back(self, stage: memoryview) -> None:
        if len(self._free) < _KEPT:
            self._free.append(stage)


_stages = _Stages()


class Incoming:
    """As a context manager it leaves nothing behind unless it has been sealed."""

    def __init__(self, spool: Spool, space: Space) -> None:
        self._spool = spool
        self._reservation = Reservation(space)
        self._sealed = False
        self._staged = self._written = 0  # bytes in the stage, and before them in the file
        self._meta = 0
        with our_disk:
            self._blank = spool.blank()
        self._fd = self._blank.fd
        self.name = spool.new_name(self._blank.number)
        self._stage = _stages.borrow()
        failpoint("intake.opened")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _stages.give_back(self._stage)
        os.close(self._fd)
        self._reservation.close()
        if not self._sealed:
            with our_disk:
                self._blank.unlink()

    def take(self, meta: bytes, fragments: Iterable[list[memoryview]]) -> tuple[str, int]:
        """All there is; the BLAKE3 digest and the length of the data set. What `fragments` raises flies."""
        digest, stage = blake3(), self._stage
        self._meta = begin = position = len(meta)
        stage[:position] = meta
        for views in fragments:
            for view in views:
                end = position + len(view)
                while end > _STAGE:
                    room = _STAGE - position
                    stage[position:] = view[:room]
                    digest.update(stage[begin:])
                    self._write_out(_STAGE)
                    view = view[room:]
                    begin, position, end = 0, 0, end - _STAGE
                stage[position:end] = view
                position = end
            failpoint("intake.fragment")
        digest.update(stage[begin:position])
        self._staged = position
        if self._written:
            self._write_out(position)
        failpoint("intake.written")
        return digest.hexdigest(), self._written + self._staged - len(meta)

    def data_set(self) -> Readable:
        """What was taken, as long as the block lasts."""
        if self._written:
            return FileWindow(self._fd, self._meta, self._written - self._meta)
        return BytesWindow(self._stage[self._meta : self._staged])

    def seal(self, digest: str, slot: int) -> None:
        """Durable when this returns, under its name in `tmp/`: what Success stands for."""
        encoded = digest.encode("ascii")
        with our_disk:
            if self._written:
                _write(self._fd, encoded, slot)
            else:
                self._stage[slot : slot + len(encoded)] = encoded
                self._write_out(self._staged)
            if not failpoint("intake.sync"):
                os.fdatasync(self._fd)
        self._spool.accept(self._blank, self.name)
        self._sealed = True
        failpoint("intake.durable")

    def _write_out(self, size: int) -> None:
        """So much of the stage to the end of the file."""
        with our_disk:
            self._reservation.use(size)
            done = 0
            if size >= _DIRECT and settings.DIRECT_IO:
                done = _write_directly(self._fd, self._stage[: size // _BLOCK * _BLOCK], self._written)
            _write(self._fd, self._stage[done:size], self._written + done)
        self._written += size
        self._staged = 0


def _write_directly(fd: int, view: memoryview, offset: int) -> int:
    """Past the page cache; how much the disk took, none where the file system does not do that."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, _O_DIRECT)
        try:
            return os.pwrite(fd, view, offset)
        finally:
            fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return 0


def _write(fd: int, data: bytes | memoryview, offset: int) -> None:
    left = memoryview(data)
    while left:  # a disk nearly full takes part of what it is given
        count = os.pwrite(fd, left, offset)
        left = left[count:]
        offset += count
