"""The body of a request, from the socket into the buffer it is wanted in: gunicorn itself copies it several times."""

import socket
from collections.abc import Iterator

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException


class Input:
    """`wsgi.input`, which also reads into a buffer; gunicorn's readers are kept told where in the body that is."""

    def __init__(self, body: Body, sock: socket.socket) -> None:
        self._body, self._sock = body, sock
        self._rest = memoryview(b"")
        self.read, self.readline, self.readlines = body.read, body.readline, body.readlines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def give_up(self) -> None:
        """Where the next request begins is not known: this connection brings no other."""
        self._body.failed = True

    def readinto(self, view: memoryview) -> int:
        """Nothing only at the end. Raises OSError, ValueError for wrong framing."""
        self._body.failed = True  # unless this goes well
        count = self._read(view)
        self._body.failed = False
        return count

    def _read(self, view: memoryview) -> int:
        reader = self._body.reader
        if isinstance(reader, LengthReader):
            return self._with_length(reader, view)
        if isinstance(reader, ChunkedReader):
            return self._chunked(reader, view)
        return _copied(self._body.read(len(view)), view)

    def _with_length(self, reader: LengthReader, view: memoryview) -> int:
        view = view[: reader.length]
        if not view:
            return 0
        if held := reader.unreader.take_buffered():
            count = _copied(held[: len(view)], view)
            reader.unreader.unread(held[count:])
        elif not (count := self._sock.recv_into(view)):
            raise ConnectionError("The other side has gone")
        reader.length -= count
        return count

    def _chunked(self, reader: ChunkedReader, view: memoryview) -> int:
        while not self._rest:
            if reader.parser is None:
                return 0
            try:
                self._rest = memoryview(next(reader.parser))
            except StopIteration:
                reader.parser = None
            except ParseException as error:
                raise ValueError("The chunks of the body are malformed") from error
        count = _copied(self._rest[: len(view)], view)
        self._rest = self._rest[count:]
        return count


def _copied(data: bytes | memoryview, view: memoryview) -> int:
    view[: len(data)] = data
    return len(data)
