"""One file while it is being received: written under `tmp/`, and in the end sealed into `ready/` or gone."""

import errno
import logging
import os
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from blake3 import blake3

from apps.failpoints import failpoint
from apps.storage.space import NoSpace, Reservation, Space
from apps.storage.spool import Spool

log = logging.getLogger(__name__)

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL
_IOV_MAX = 1024
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


class Incoming:
    """As a context manager it leaves nothing behind unless it has been sealed."""

    def __init__(self, spool: Spool, name: str, space: Space) -> None:
        self._spool = spool
        self._name = name
        self._reservation = Reservation(space)
        self._sealed = False
        with our_disk:
            self.fd = os.open(name, _NEW, 0o640, dir_fd=spool.tmp_fd)
        failpoint("intake.opened")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        self._reservation.close()
        if not self._sealed:
            with our_disk:
                os.unlink(self._name, dir_fd=self._spool.tmp_fd)

    def take(self, meta: bytes, fragments: Iterable[list[memoryview]]) -> tuple[str, int]:
        """Write all; the BLAKE3 digest and the length of the data set. What `fragments` raises flies."""
        digest = blake3()
        size = 0
        head: list[bytes | memoryview] = [meta]
        for buffers in fragments:
            for buffer in buffers:
                digest.update(buffer)
                size += len(buffer)
            self._write([*head, *buffers])
            head = []
            failpoint("intake.fragment")
        if head:
            self._write(head)
        failpoint("intake.written")
        return digest.hexdigest(), size

    def _write(self, buffers: Sequence[bytes | memoryview]) -> None:
        with our_disk:
            self._reservation.use(sum(map(len, buffers)))
            for start in range(0, len(buffers), _IOV_MAX):
                _write_all(self.fd, buffers[start : start + _IOV_MAX])

    def seal(self, digest: str, slot: int) -> None:
        """Durable under its name in `ready/` when this returns: what Success stands for."""
        with our_disk:
            os.pwrite(self.fd, digest.encode("ascii"), slot)
            if not failpoint("intake.sync"):
                os.fdatasync(self.fd)
            failpoint("intake.rename")
            os.rename(self._name, self._name, src_dir_fd=self._spool.tmp_fd, dst_dir_fd=self._spool.ready_fd)
            self._sealed = True
            if not failpoint("intake.directory_sync"):
                os.fsync(self._spool.ready_fd)
        failpoint("intake.durable")


def _write_all(fd: int, buffers: Sequence[bytes | memoryview]) -> None:
    written = os.writev(fd, buffers)
    if written == sum(map(len, buffers)):
        return
    for buffer in buffers:  # a disk nearly full takes part of what it is given
        rest = memoryview(buffer)[min(written, len(buffer)) :]
        written -= len(buffer) - len(rest)
        while rest:
            rest = rest[os.write(fd, rest) :]
