"""From command sets and data sets to PDUs: the hot loop of sending."""

import threading
from collections.abc import Iterable, Iterator
from time import monotonic

from dicom.dimse.data import PIECE, Data, FileSlice, Scratch
from dicom.dimse.errors import ConnectionLost, TimedOut
from dicom.dimse.pace import Pace
from dicom.dimse.pdu import IS_COMMAND, IS_LAST, P_DATA_TF, PDATA_HEADER
from dicom.dimse.transport import IOV_MAX, Buffer, Stream

_PROGRESS = 1 << 16  # what a peer must take within the send deadline


class Writer:
    """Sends whole messages. Several threads may send; one message never runs into another."""

    def __init__(self, stream: Stream, *, peer_maximum_length: int, ours: int, timeout: float | None) -> None:
        self._stream = stream
        self._timeout = timeout
        # PS3.8 D.1: the length counts the PDVs with their headers; 0 is unlimited. Fragments are of even length.
        self._largest = max(1, (min(peer_maximum_length or ours or PIECE, PIECE) - 6) & ~1)
        self._size = self._largest
        self.pace: Pace | None = None
        self.lock = threading.RLock()
        self.mid_message = self.mid_pdu = False
        """Whether a message was begun and not finished: the association cannot go on after that. In the middle of a PDU
        not even an A-ABORT can be said."""
        self.given_up = False
        """Set by another thread to end a send that waits."""
        self._scratch = Scratch(2)

    def pdu(self, encoded: bytes) -> None:
        with self.lock:
            self._send([encoded])
            self.mid_message = False

    def message(self, context_id: int, command: bytes, data: Data | None = None) -> None:
        """Command and a small data set leave in one write. Raises TimedOut, ConnectionLost, SourceFailed."""
        with self.lock:
            buffers: list[Buffer] = []
            self._size = min(self._largest, self.pace.piece or self._largest) if self.pace else self._largest
            if len(command) <= self._size:
                head = PDATA_HEADER.pack(
                    P_DATA_TF, 0, len(command) + 6, len(command) + 2, context_id, IS_COMMAND | IS_LAST
                )
                buffers.append(head + command)
            else:
                self._cut(buffers, context_id, memoryview(command), flags=IS_COMMAND, last=True)
            if data is not None:
                if isinstance(data, FileSlice) and 0 < data.size <= PIECE:
                    data = self._scratch.read(data)
                if isinstance(data, (bytes, bytearray, memoryview)):
                    self._cut(buffers, context_id, memoryview(data).cast("B"), flags=0, last=True)
                else:
                    buffers = self._stream_out(buffers, context_id, data)
            self._send(buffers)
            self.mid_message = False

    def messages(self, context_id: int, command: bytes, data: tuple[Iterable[bytes], bytes]) -> None:
        """The same command with each of these small data sets, and another without one, all in one write."""
        data_sets, last = data
        with self.lock:
            buffers: list[Buffer] = []
            said: list[Buffer] = []
            self._cut(said, context_id, memoryview(command), flags=IS_COMMAND, last=True)
            pack, size = PDATA_HEADER.pack, self._size
            for data_set in data_sets:
                buffers += said
                if (length := len(data_set)) <= size:
                    buffers += (pack(P_DATA_TF, 0, length + 6, length + 2, context_id, IS_LAST), data_set)
                else:
                    self._cut(buffers, context_id, memoryview(data_set), flags=0, last=True)
            if last:
                self._cut(buffers, context_id, memoryview(last), flags=IS_COMMAND, last=True)
            self._send([b"".join(buffers)])
            self.mid_message = False

    def _cut(self, buffers: list[Buffer], context_id: int, view: memoryview, *, flags: int, last: bool) -> None:
        """Append header and slice pairs, each a PDU with one PDV."""
        size, position, left = self._size, 0, len(view)
        if left > size:
            full = PDATA_HEADER.pack(P_DATA_TF, 0, size + 6, size + 2, context_id, flags)
            while left > size:
                buffers += (full, view[position : position + size])
                position += size
                left -= size
        flags |= IS_LAST if last else 0
        buffers += (PDATA_HEADER.pack(P_DATA_TF, 0, left + 6, left + 2, context_id, flags), view[position:])

    def _stream_out(
        self,
        buffers: list[Buffer],
        context_id: int,
        data: FileSlice | Iterable[bytes | bytearray | memoryview | FileSlice],
    ) -> list[Buffer]:
        """Send all but the end of it, and return that."""
        # One piece is held back to know which is the last; a piece's odd end goes along with the next.
        held: memoryview | None = None
        for piece in self._pieces([data] if isinstance(data, FileSlice) else data):
            if held is not None:
                rest = len(held) % self._size
                whole = len(held) - rest
                if whole:
                    self._cut(buffers, context_id, held[:whole], flags=0, last=False)
                    self._send(buffers)
                    buffers = []
                if rest:
                    piece = memoryview(b"".join((held[whole:], piece)))
            held = piece
        self._cut(buffers, context_id, memoryview(b"") if held is None else held, flags=0, last=True)
        return buffers

    def _pieces(self, data: Iterable[bytes | bytearray | memoryview | FileSlice]) -> Iterator[memoryview]:
        small = bytearray()  # small chunks are gathered
        for chunk in data:
            if not isinstance(chunk, FileSlice) and len(chunk) < PIECE:
                small += chunk
                if len(small) < PIECE:
                    continue
            if small:
                yield memoryview(small)
                small = bytearray()
            if isinstance(chunk, FileSlice):
                yield from self._file(chunk)
            elif len(chunk) >= PIECE:
                yield memoryview(chunk).cast("B")
        if small:
            yield memoryview(small)

    def _file(self, part: FileSlice) -> Iterator[memoryview]:
        """Whole PDUs at a time, into two buffers by turns: the piece before is still being held back."""
        length = self._size * max(1, PIECE // self._size)
        for done in range(0, part.size, length):
            yield self._scratch.read(FileSlice(part.fd, part.offset + done, min(length, part.size - done)))

    def _send(self, buffers: list[Buffer]) -> None:
        self.mid_message = True
        if self.pace is None or not self.pace.rate:
            self._push(buffers)
            return
        some: list[Buffer] = []
        for buffer in buffers:
            some.append(buffer)
            if sum(map(len, some)) >= self._size:  # so much in one slice: at the end of a PDU
                self._push_in_turn(self.pace, some)
                some = []
        if some:
            self._push_in_turn(self.pace, some)

    def _push_in_turn(self, pace: Pace, buffers: list[Buffer]) -> None:
        if not pace.turn(sum(map(len, buffers)), lambda: not self.given_up):
            raise ConnectionLost("The association was aborted on this side")
        self._push(buffers)

    def _push(self, buffers: list[Buffer]) -> None:
        self.mid_pdu = True
        deadline = None if self._timeout is None else monotonic() + self._timeout
        start, progress, count = 0, 0, len(buffers)
        while True:
            try:
                sent = self._stream.send(buffers[start : start + IOV_MAX])
            except BlockingIOError:
                sent = 0
            progress += sent
            while start < count and sent >= len(buffers[start]):
                sent -= len(buffers[start])
                start += 1
            if start == count:
                break
            if sent:
                buffers[start] = memoryview(buffers[start])[sent:]
            if progress >= _PROGRESS:
                progress, deadline = 0, None if self._timeout is None else monotonic() + self._timeout
            elif deadline is not None and monotonic() >= deadline:
                raise TimedOut("the peer to take what we send")
            if self.given_up:
                raise ConnectionLost("The association was aborted on this side")
        self.mid_pdu = False
