"""PROXY protocol, version 2: for whom a balancer has opened this connection (haproxy, doc/proxy-protocol.txt, 2.2)."""

import ipaddress
import select
import socket
import threading
import time
from struct import Struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST = 4096  # bytes of addresses and what follows them; balancers send a few dozen
TICK = 0.5  # seconds between looks whether we shut down
_FIXED = Struct(">12sBBH")  # signature, version and command, family and transport, length of the rest
_LOCAL, _PROXY = 0x20, 0x21
_UNKNOWN, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_FAMILIES = {_TCP4: Struct(">4s4sHH"), _TCP6: Struct(">16s16sHH")}
_OTHERS = {
    b"PROXY ": "version 1 of the PROXY protocol; haproxy is told version 2 by send-proxy-v2",
    b"\x01": "a DICOM association without PROXY header; haproxy writes one with send-proxy-v2",
    b"\x16": "TLS without PROXY header; haproxy writes one with send-proxy-v2",
}


class InvalidHeader(Exception):
    """No header of version 2 that names a TCP connection; `str()` says what came, for an administrator."""


class Gone(Exception):
    """Closed before anything was said, or we shut down."""


def source(fixed: bytes, rest: bytes) -> tuple[str, int] | None:
    """Address and port of the caller; None where the balancer speaks for itself, or does not know."""
    _, command, family, _ = _FIXED.unpack(fixed)
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise InvalidHeader(f"command {command:#04x}, which version 2 of the PROXY protocol does not have")
    if family == _UNKNOWN:
        return None
    if family not in _FAMILIES:
        raise InvalidHeader(f"family {family:#04x}, which is not TCP over IPv4 or IPv6")
    if len(rest) < _FAMILIES[family].size:
        raise InvalidHeader(f"a header of {len(rest)} bytes, too short for its addresses")
    address, _, port, _ = _FAMILIES[family].unpack_from(rest)
    return str(ipaddress.ip_address(address)), port


def read(connection: socket.socket, *, seconds: float | None, stopping: threading.Event) -> tuple[str, int] | None:
    """As `source`, of the header that comes first; nothing behind it is read. Raises InvalidHeader and Gone."""
    reading = _Reading(connection, None if seconds is None else time.monotonic() + seconds, stopping)
    fixed = reading.take(_FIXED.size)
    length = _FIXED.unpack(fixed)[3]
    if length > LONGEST:
        raise InvalidHeader(f"a header of {length} bytes")
    return source(fixed, reading.take(length))


class _Reading:
    def __init__(self, connection: socket.socket, until: float | None, stopping: threading.Event) -> None:
        self.connection, self.until, self.stopping = connection, until, stopping
        self.poll = select.poll()
        self.poll.register(connection, select.POLLIN)
        self.begun = False

    def take(self, count: int) -> bytes:
        """So many bytes, and not one more."""
        data, first = b"", not self.begun
        while len(data) < count:
            self._wait()
            try:
                piece = self.connection.recv(count - len(data), socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Gone from error
            if not piece:
                raise InvalidHeader("the end of the connection within the header") if self.begun else Gone
            data += piece
            if first:
                _check_beginning(data)
            self.begun = True
        return data

    def _wait(self) -> None:
        while True:
            ready = self.poll.poll(1000 * min(TICK, self._left()))
            if self.stopping.is_set():
                raise Gone
            if self._left() <= 0:
                raise InvalidHeader("no whole PROXY header in time")
            if ready:
                return

    def _left(self) -> float:
        return TICK if self.until is None else max(0.0, self.until - time.monotonic())


def _check_beginning(data: bytes) -> None:
    """At once, for who sends something else waits for an answer."""
    if data[:12] == SIGNATURE[: len(data)]:
        return
    what = next((name for beginning, name in _OTHERS.items() if data.startswith(beginning)), "")
    raise InvalidHeader(what or f"no PROXY header of version 2, but {data[:12].hex(' ')}")
