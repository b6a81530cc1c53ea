"""From bytes to PDUs to command sets and data set fragments: the hot loop of receiving.

One `recv` brings as much as is there into a buffer that is used again and again; all PDVs in it are handed out as
slices of that buffer. Nothing is copied, and a PDU longer than the buffer is handed out in pieces as they arrive.
Every state is kept in fields, so that reading can stop at any byte (`blocking = False`) and go on later.
"""

import threading
from collections.abc import Container
from time import monotonic

from dicom.dimse.errors import (
    INVALID_PARAMETER,
    UNEXPECTED_PARAMETER,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    AssociationAborted,
    AssociationEnded,
    AssociationReleased,
    ConnectionLost,
    ProtocolError,
    Stopped,
    TimedOut,
)
from dicom.dimse.pdu import (
    A_ABORT,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
    A_RELEASE_RQ,
    HEADER,
    IS_COMMAND,
    IS_LAST,
    P_DATA_TF,
    PDATA_HEADER,
    PDV_HEADER,
)
from dicom.dimse.settings import Limits, Timeouts
from dicom.dimse.transport import IOV_MAX, Stream

_FIRST_BUFFER = 1 << 14
_ASSOCIATE = (A_ASSOCIATE_RQ, A_ASSOCIATE_AC)
# First bytes of what else comes to a DICOM port.
_SPOKEN = {
    0x0D: "the PROXY protocol, from a balancer that is not expected here",
    0x16: "TLS, which is not spoken here",
    0x47: "HTTP",
    0x50: "HTTP, or the PROXY protocol from a balancer that is not expected here",
}


class NothingYet(Exception):
    """Only raised while `blocking` is off."""


class Reader:
    def __init__(
        self, stream: Stream, *, timeouts: Timeouts, limits: Limits, stopping: threading.Event | None = None
    ) -> None:
        self.blocking = True
        self.patience: float | None = timeouts.idle
        """Seconds to wait at a PDU boundary, and what for."""
        self.expected = "the next request (idle)"
        self.until: float | None = None
        """A deadline (monotonic) over everything: association and release."""
        self.interruptible = False
        """Whether waiting at a PDU boundary ends when `stopping` is set."""
        self.within_message = False
        """Whether a data set is still to come."""
        self.over: AssociationEnded | None = None
        """Set by another thread to end a wait."""
        self.accepted: Container[int] = ()
        self.received = 0
        """Bytes since the connection began."""
        self._stream, self._timeouts, self._limits = stream, timeouts, limits
        self._longest = limits.longest_pdu
        self._shortest_cap = min(self._longest, limits.command_cap)
        self._stopping = stopping
        self._buffer = bytearray(_FIRST_BUFFER)
        self._view = memoryview(self._buffer)
        self._position = self._end = 0
        self._pdu_left = 0  # bytes of the current P-DATA-TF PDU not parsed yet
        self._pdv_left = 0  # bytes of the current PDV not handed out yet
        self._pdv_open = False
        self._flags = self._context = 0
        self._pdu_deadline: float | None = None
        self._command = bytearray()
        self._command_cost = 0

    # Bytes

    @property
    def mid_pdu(self) -> bool:
        return self._pdu_left > 0 or self._end > self._position

    def _fill(self) -> None:
        """Bring at least one more byte, or raise."""
        view, mid_pdu = self._room(), self.mid_pdu
        if not self.blocking:
            try:
                self._took(self._stream.receive(view, wait=False), len(view))
            except BlockingIOError:
                raise NothingYet from None
            return
        deadline, what = self._deadline(mid_pdu)
        more = mid_pdu or self.within_message or self._command_cost > 0
        interruptible = self.interruptible and not more
        while True:
            try:
                count = self._stream.receive(view, more=more)
            except BlockingIOError:
                if interruptible and self._stopping is not None and self._stopping.is_set():
                    raise Stopped("This side is shutting down") from None
                count = -1
            if self.over is not None:
                raise self.over
            if deadline is not None and monotonic() >= deadline:
                raise TimedOut(what)
            if count >= 0:
                self._took(count, len(view))
                return

    def _deadline(self, mid_pdu: bool) -> tuple[float | None, str]:
        if self.until is not None:
            return self.until, self.expected
        if mid_pdu:
            if self._pdu_deadline is None and self._timeouts.pdu is not None:
                self._pdu_deadline = monotonic() + self._timeouts.pdu
            return self._pdu_deadline, "the rest of a PDU"
        patience, what = self.patience, self.expected
        if self._command_cost:
            patience, what = self._timeouts.dimse, "the rest of a command set"
        return (None if patience is None else monotonic() + patience), what

    def _room(self) -> memoryview:
        left = self._end - self._position
        if not left:
            self._position = self._end = 0
            return self._view
        if self._position:
            self._view[:left] = self._view[self._position : self._end]
            self._position, self._end = 0, left
        return self._view[left:]

    def _took(self, count: int, room: int) -> None:
        if not count:
            raise ConnectionLost("The peer closed the connection without release")
        self._end += count
        self.received += count
        if count == room and len(self._buffer) < self._limits.buffer:
            self._grow(min(len(self._buffer) * 8, self._limits.buffer))

    def _grow(self, size: int) -> None:
        # A new one: slices of the old may still be held, and a bytearray with slices cannot be resized.
        buffer = bytearray(size)
        buffer[: self._end - self._position] = self._view[self._position : self._end]
        self._end -= self._position
        self._position = 0
        self._buffer, self._view = buffer, memoryview(buffer)

    # PDUs

    def next_pdu(self) -> tuple[int, bytes]:
        """The next PDU's type and content; of P-DATA-TF only the header is taken, the PDVs are to follow."""
        while self._end - self._position < 6:
            if self._end > self._position:
                self._check_type(self._buffer[self._position])
            self._fill()
        kind, length = HEADER.unpack_from(self._buffer, self._position)
        self._check_type(kind)
        if kind == P_DATA_TF:
            if not 6 <= length <= self._longest:
                raise ProtocolError(f"A P-DATA-TF PDU of {length} bytes", INVALID_PARAMETER)
            self._position += 6
            self._pdu_left = length
            return kind, b""
        if kind == A_ABORT:
            length = min(length, 4)  # whatever it looks like, it is over
        elif not 4 <= length <= (self._limits.association_cap if kind in _ASSOCIATE else 4):
            raise ProtocolError(f"A PDU of type {kind} with {length} bytes", INVALID_PARAMETER)
        if len(self._buffer) < 6 + length:
            self._grow(6 + length)
        while self._end - self._position < 6 + length:
            self._fill()
        start = self._position + 6
        body = bytes(self._view[start : start + length])
        self._position = start + length
        self._pdu_deadline = None
        return kind, body

    def next_pdu_after_data(self) -> tuple[int, bytes]:
        """The next PDU that is not P-DATA-TF; data still coming is read and dropped (PS3.8 9.2, AR-6)."""
        while True:
            while self._pdu_left:
                if self._end == self._position:
                    self._fill()
                self._pdv_left = min(self._pdu_left, self._end - self._position)
                self._advance(self._pdv_left)
            kind, body = self.next_pdu()
            if kind != P_DATA_TF:
                return kind, body

    def forget(self) -> None:
        """Give the buffer back."""
        self._buffer = bytearray()
        self._view = memoryview(b"")
        self._position = self._end = 0

    @staticmethod
    def _check_type(kind: int) -> None:
        if not A_ASSOCIATE_RQ <= kind <= A_ABORT:
            what = _SPOKEN.get(kind, "this is no DICOM peer")
            raise ProtocolError(f"Unknown PDU type {kind:#04x}: {what}", UNRECOGNIZED_PDU)

    def _data_pdu(self, *, within_message: bool) -> None:
        """Go to the PDVs of the next P-DATA-TF PDU; everything else that can come raises."""
        kind, body = self.next_pdu()
        if kind == P_DATA_TF:
            return
        if kind == A_ABORT:
            source, reason = (body[2], body[3]) if len(body) == 4 else (0, 0)
            raise AssociationAborted(source, reason)
        if kind == A_RELEASE_RQ and not within_message:
            raise AssociationReleased("The peer released the association")
        names = {A_RELEASE_RQ: "A-RELEASE-RQ", A_RELEASE_RP: "A-RELEASE-RP", A_ASSOCIATE_RJ: "A-ASSOCIATE-RJ"}
        where = "in the middle of a message" if within_message else "within an association"
        raise ProtocolError(f"{names.get(kind, 'A-ASSOCIATE')} {where}", UNEXPECTED_PDU)

    # PDVs

    def _open(self, *, command: bool, within_message: bool) -> None:
        while not self._pdu_left:
            self._data_pdu(within_message=within_message)
        if self._pdu_left < 6:
            raise ProtocolError("A PDU ends in the middle of a PDV header", INVALID_PARAMETER)
        while self._end - self._position < 6:
            self._fill()
        length, context, flags = PDV_HEADER.unpack_from(self._buffer, self._position)
        if not 2 <= length <= self._pdu_left - 4:
            raise ProtocolError(f"A PDV of {length} bytes in the last {self._pdu_left} of its PDU", INVALID_PARAMETER)
        if context not in self.accepted:
            raise ProtocolError(f"Presentation context {context} was not negotiated", INVALID_PARAMETER)
        if within_message and context != self._context:
            raise ProtocolError(f"Context {context} within a message of {self._context}", UNEXPECTED_PARAMETER)
        if bool(flags & IS_COMMAND) != command:
            was = "Data without a command" if command else "A command within a data set"
            raise ProtocolError(was, UNEXPECTED_PARAMETER)
        self._position += 6
        self._pdu_left -= 6
        self._pdv_left = length - 2
        self._context, self._flags, self._pdv_open = context, flags, True
        if not self._pdu_left:
            self._pdu_deadline = None

    def _advance(self, count: int) -> None:
        self._position += count
        self._pdv_left -= count
        self._pdu_left -= count
        if not self._pdu_left:
            self._pdu_deadline = None

    def command(self) -> tuple[int, bytes]:
        """The next command set, whole, and its context ID."""
        if not self._pdu_left and not self._command_cost:
            if self._position == self._end:
                self._fill()
            if whole := self._whole_command():
                return self._context, whole
        return self._gather_command()

    def _whole_command(self) -> bytes:
        """The common case for itself: one PDU with one PDV, complete in the buffer. Empty when it is not so."""
        position, end = self._position, self._end
        if end - position < 12:
            return b""
        kind, _, length, size, context, flags = PDATA_HEADER.unpack_from(self._buffer, position)
        stop = position + 6 + length
        usual = kind == P_DATA_TF and flags == IS_COMMAND | IS_LAST and size == length - 4 and size > 2
        if not usual or stop > end or length > self._shortest_cap or context not in self.accepted:
            return b""  # whatever is unusual about it is seen to where it is slow
        self._position, self._context, self._pdu_deadline = stop, context, None
        return bytes(self._view[position + 12 : stop])

    def _gather_command(self) -> tuple[int, bytes]:
        while True:
            if not self._pdv_open:
                self._open(command=True, within_message=self._command_cost > 0)
                # A fragment's header counts as well: fragments without content must come to an end too.
                self._command_cost += 6 + self._pdv_left
                if self._command_cost > self._limits.command_cap:
                    raise ProtocolError("A command set without end", INVALID_PARAMETER)
            count = min(self._pdv_left, self._end - self._position)
            self._command += self._view[self._position : self._position + count]
            self._advance(count)
            if self._pdv_left:
                self._fill()
                continue
            self._pdv_open = False
            if self._flags & IS_LAST:
                whole, self._command, self._command_cost = bytes(self._command), bytearray(), 0
                return self._context, whole

    def data(self, parts: list[memoryview]) -> bool:
        """Append what the buffer holds of the current data set, reading once if it holds nothing; True at its end."""
        while True:
            if self._take(parts):
                return True
            if parts:
                return False
            self._fill()

    def _take(self, parts: list[memoryview]) -> bool:
        """The PDVs in the buffer; True when the last fragment is complete."""
        if not self._pdu_left and self._take_whole(parts):
            return True
        while len(parts) < IOV_MAX:
            if not self._pdv_open:
                # Without both headers at hand the buffer would be moved below the slices already in the list.
                if parts and self._end - self._position < (6 if self._pdu_left else 12):
                    return False
                self._open(command=False, within_message=True)
            count = min(self._pdv_left, self._end - self._position)
            if count:
                parts.append(self._view[self._position : self._position + count])
                self._advance(count)
            if self._pdv_left:
                return False
            self._pdv_open = False
            if self._flags & IS_LAST:
                return True
        return False

    def _take_whole(self, parts: list[memoryview]) -> bool:
        """The common case of `_take` for itself: PDUs with one PDV that are complete in the buffer."""
        buffer, view, position, end = self._buffer, self._view, self._position, self._end
        context, longest, unpack = self._context, self._longest, PDATA_HEADER.unpack_from
        last = 0
        while end - position >= 12 and not last and len(parts) < IOV_MAX:
            kind, _, length, size, identifier, flags = unpack(buffer, position)
            stop = position + 6 + length
            usual = kind == P_DATA_TF and identifier == context and not flags & IS_COMMAND
            if not usual or stop > end or length > longest or size != length - 4 or size < 2:
                break  # whatever is unusual about it is seen to where it is slow
            if size > 2:
                parts.append(view[position + 12 : stop])
            position = stop
            last = flags & IS_LAST
            self._pdu_deadline = None
        self._position = position
        return last != 0
