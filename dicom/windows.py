"""Where the bytes of a data set come from: a file, memory, a deflated stream; never all of them at once."""

import os
import zlib
from typing import Protocol

from dicom.errors import InvalidDataSet

INFLATED_CAP = 256 << 20  # of what is inflated to reach the pixel data
_CHUNK = 1 << 16


class Readable(Protocol):
    """A data set; offsets count from its first byte."""

    @property
    def size(self) -> int: ...

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        ...


class FileWindow:
    """`size` bytes of an open file from `offset` on; the file stays the caller's."""

    __slots__ = ("fd", "offset", "size")

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.fd, self.offset, self.size = fd, offset, size

    def pread(self, size: int, offset: int) -> bytes:
        size = min(size, self.size - offset)
        return os.pread(self.fd, size, self.offset + offset) if size > 0 else b""


class BytesWindow:
    """A data set in memory."""

    __slots__ = ("buffer", "size")

    def __init__(self, buffer: bytes | bytearray | memoryview) -> None:
        self.buffer, self.size = buffer, len(buffer)

    def pread(self, size: int, offset: int) -> bytes:
        return bytes(self.buffer[offset : offset + size])


class InflatedWindow:
    """A deflated data set (PS3.5 A.5), read forward only: what lies before the last `offset` asked for is gone.

    `size` is not known before the end is reached; until then it is larger than anything that will be read.
    """

    __slots__ = ("_buffer", "_inflater", "_read", "_source", "_start", "size")

    def __init__(self, source: Readable) -> None:
        self._source, self._read = source, 0
        self._inflater = zlib.decompressobj(_window_bits(source.pread(2, 0)))
        self._buffer, self._start = bytearray(), 0
        self.size = 1 << 62

    def pread(self, size: int, offset: int) -> bytes:
        self._drop(offset)
        while self._start + len(self._buffer) < offset + size and self._more():
            self._drop(offset)
        return bytes(self._buffer[: size if self._start == offset else 0])

    def _drop(self, offset: int) -> None:
        unwanted = min(offset - self._start, len(self._buffer))
        if unwanted > 0:
            del self._buffer[:unwanted]
            self._start += unwanted

    def _more(self) -> bool:
        if self._start + len(self._buffer) > INFLATED_CAP:
            raise InvalidDataSet("Deflated data set is too large before its pixel data")
        waiting = self._inflater.unconsumed_tail
        if not waiting:
            waiting = self._source.pread(_CHUNK, self._read)
            self._read += len(waiting)
        try:
            inflated = b"" if self._inflater.eof else self._inflater.decompress(waiting, _CHUNK)
        except zlib.error as error:
            raise InvalidDataSet("Deflated data set cannot be inflated") from error
        self._buffer += inflated
        if inflated or (waiting and not self._inflater.eof):
            return True
        if not self._inflater.eof:
            raise InvalidDataSet("Deflated data set ends too early")
        self.size = self._start + len(self._buffer)
        return False


def _window_bits(head: bytes) -> int:
    """Raw deflate as the standard says; some writers leave the zlib header on (RFC 1950 2.2)."""
    has_zlib_header = (
        len(head) == 2 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and (head[0] << 8 | head[1]) % 31 == 0
    )
    return zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS
