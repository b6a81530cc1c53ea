"""Sockets of clients, whose patience ends: gunicorn waits for ever, and a thread that waits serves nobody else."""

import errno
import logging
import socket
import struct
import time
from types import TracebackType
from typing import Any, Final, Self

from pacs import environment

PATIENCE: Final = environment.number("PACS_WEB_PATIENCE", 20)
RATE: Final = 4096  # bytes that have to come or go in a second, on the long run
_PIECE: Final = 1 << 18
_timeval: Final = struct.Struct("ll").pack
log = logging.getLogger(__name__)


def _too_slow() -> TimeoutError:
    log.info("a client was too slow, or silent")
    return TimeoutError(errno.EPIPE, "The other side is too slow")  # of any other number gunicorn logs a traceback


class _Slow:
    """A call that gave up waiting in here: TimeoutError."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, BlockingIOError):
            raise _too_slow() from error


_slow = _Slow()


class Socket(socket.socket):
    """Waits for the other side `PATIENCE` seconds in all, and a second more for each `RATE` bytes; never more at once.
    What we do meanwhile does not count."""

    _patience: float = PATIENCE

    @classmethod
    def of(cls, plain: socket.socket) -> Self:
        made = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        seconds, rest = divmod(PATIENCE, 1)
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            made.setsockopt(socket.SOL_SOCKET, option, _timeval(int(seconds), int(rest * 1_000_000)))
        return made

    def begin(self) -> None:
        self._patience = PATIENCE

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        began = time.monotonic()
        with _slow:
            data = super().recv(size, flags)
        self._waited(began, len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        began = time.monotonic()
        with _slow:
            count = super().recv_into(buffer, nbytes, flags)
        self._waited(began, count)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        view = memoryview(data).cast("B")
        while view:
            began = time.monotonic()
            with _slow:
                count = super().send(view, flags)
            self._waited(began, count)
            view = view[count:]

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """`sendfile(2)` could not be rationed."""
        file.seek(offset)
        sent = 0
        while piece := file.read(_PIECE if count is None else min(_PIECE, count - sent)):
            self.sendall(piece)
            sent += len(piece)
        return sent

    def setblocking(self, flag: bool, /) -> None:
        if self.fileno() >= 0:  # else it is closed already
            super().setblocking(flag)

    def _waited(self, began: float, size: int) -> None:
        self._patience = min(PATIENCE, self._patience - (time.monotonic() - began) + size / RATE)
        if self._patience < 0:
            raise _too_slow()
