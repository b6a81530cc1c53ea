"""TCP and TLS connections that block, but wake each tick so that deadlines are seen."""

import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from dicom.dimse.errors import ConnectionLost, HandshakeFailed, TimedOut

Buffer = bytes | bytearray | memoryview
IOV_MAX = 1024
_NOW = getattr(socket, "MSG_DONTWAIT", 0)
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None) if sys.platform == "linux" else None
# A peer that was switched off is noticed after four minutes, even where idle associations may last for ever.
_KEEPALIVE = (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))
# Joined for one TLS write; a record holds 16 KiB.
_TLS_PIECE = 1 << 17


class Stream:
    """A TCP connection. BlockingIOError means: nothing happened during one tick."""

    def __init__(self, sock: socket.socket, tick: float) -> None:
        self._sock = sock
        self._tick = tick
        self.closed = False
        with suppress(OSError):  # gone already: the first read says so
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._prepare()

    def _prepare(self) -> None:
        # A blocking socket with a timeout of the kernel costs one system call a read; Python's own timeout polls first.
        self._sock.settimeout(None)
        interval = struct.pack("@ll", int(self._tick), int(self._tick % 1 * 1_000_000))
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)

    def receive(self, view: memoryview, *, wait: bool = True, more: bool = False) -> int:
        """Number of bytes brought, 0 at the end of the stream. `more`: the sender has more to say, and may hold it back
        until what it said is acknowledged: with Nagle on it does after 12 header bytes, and we must not delay that."""
        try:
            if wait and more and _QUICKACK is not None:
                try:
                    return self._sock.recv_into(view, 0, _NOW)
                except BlockingIOError:
                    self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            return self._sock.recv_into(view, 0, 0 if wait else _NOW)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConnectionLost(f"The connection broke: {error.strerror or error}") from error

    def send(self, buffers: Sequence[Buffer]) -> int:
        """At most IOV_MAX buffers; returns the number of bytes the kernel took."""
        try:
            return self._sock.sendmsg(buffers)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConnectionLost(f"The connection broke: {error.strerror or error}") from error

    def wait(self, seconds: float) -> None:
        """Until something can be read, that long, or one tick."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.poll(min(seconds, self._tick) * 1000)

    def hung_up(self) -> bool:
        """Whether the peer has closed its side, without reading."""
        poll = select.poll()
        try:
            poll.register(self._sock, getattr(select, "POLLRDHUP", 0))
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def finish(self, linger: float) -> None:
        """Close; with linger, only after the peer did, or that many seconds: a close with unread bytes would send RST
        and the peer might never see our last PDU (PS3.8 9.2, Sta13)."""
        if self.closed:
            return
        self.closed = True
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        if linger > 0:
            self._discard(monotonic() + linger)
        self._sock.close()

    def _discard(self, deadline: float) -> None:
        bin_ = memoryview(bytearray(65536))
        while monotonic() < deadline:
            try:
                if not self.receive(bin_):
                    return
            except BlockingIOError:
                continue
            except ConnectionLost:
                return


class TlsStream(Stream):
    """The same over TLS. OpenSSL's object must not be used by two threads at once: never blocked in, one lock."""

    _sock: ssl.SSLSocket

    def __init__(self, sock: ssl.SSLSocket, tick: float) -> None:
        self._lock = threading.Lock()
        super().__init__(sock, tick)

    def _prepare(self) -> None:
        self._sock.settimeout(0)

    def _retry(self, call: Callable[[], int], *, wait: bool) -> int:
        try:
            with self._lock:
                return call()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
            if wait:
                _wait(self._sock, want, self._tick)
            raise BlockingIOError from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0
        except OSError as error:
            raise ConnectionLost(f"The TLS connection broke: {error.strerror or error}") from error

    def receive(self, view: memoryview, *, wait: bool = True, more: bool = False) -> int:
        count = self._retry(lambda: self._sock.recv_into(view), wait=wait)
        if _QUICKACK is not None:
            with suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return count

    def send(self, buffers: Sequence[Buffer]) -> int:
        piece, size = [], 0
        for buffer in buffers:
            piece.append(buffer if size + len(buffer) <= _TLS_PIECE else memoryview(buffer)[: _TLS_PIECE - size])
            size += len(piece[-1])
            if size >= _TLS_PIECE:
                break
        joined = b"".join(piece)
        count = self._retry(lambda: self._sock.send(joined), wait=True)
        if joined and not count:
            raise ConnectionLost("The peer closed the TLS connection")
        return count

    def finish(self, linger: float) -> None:
        if not self.closed:
            with suppress(OSError, ValueError), self._lock:
                self._sock.unwrap()  # sends close_notify; never waits on a non-blocking socket
        super().finish(linger)


def _wait(sock: socket.socket, want: Exception, seconds: float) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLOUT if isinstance(want, ssl.SSLWantWriteError) else select.POLLIN)
    poll.poll(seconds * 1000)


def secure(
    sock: socket.socket,
    context: ssl.SSLContext,
    *,
    server_side: bool,
    tick: float,
    deadline: float | None,
    server_hostname: str | None = None,
) -> TlsStream:
    """Shake hands before `deadline` (monotonic). Raises ConnectionLost, HandshakeFailed or TimedOut, `sock` closed."""
    sock.settimeout(0)
    try:
        tls = context.wrap_socket(
            sock, server_side=server_side, do_handshake_on_connect=False, server_hostname=server_hostname
        )
    except OSError as error:
        raise ConnectionLost(f"The connection broke: {error.strerror or error}") from error
    try:
        _shake_hands(tls, tick, deadline)
    except BaseException:
        tls.close()
        raise
    return TlsStream(tls, tick)


def _shake_hands(tls: ssl.SSLSocket, tick: float, deadline: float | None) -> None:
    while True:
        try:
            tls.do_handshake()
            return
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
            if deadline is not None and monotonic() >= deadline:
                raise TimedOut("the TLS handshake") from None
            _wait(tls, want, tick)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise ConnectionLost("The peer closed the connection during the TLS handshake") from error
        except ssl.SSLError as error:
            raise HandshakeFailed(f"The TLS handshake failed: {error.strerror or error}") from error
        except OSError as error:
            raise ConnectionLost(f"The connection broke: {error.strerror or error}") from error
