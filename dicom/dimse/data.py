"""Data sets that are sent: in memory, in files, in pieces."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from dicom.dimse.errors import DimseError

PIECE: Final = 1 << 20  # bytes read from a file at once, and handed to the kernel at once


@dataclass(frozen=True, slots=True)
class FileSlice:
    """`size` bytes of an open file from `offset`; read with pread when they are sent, the file's position untouched."""

    fd: int
    offset: int
    size: int

    @classmethod
    def rest(cls, fd: int, offset: int) -> Self:
        """From there to the end of the file, such as the data set of a DICOM file."""
        return cls(fd, offset, os.fstat(fd).st_size - offset)


class SourceFailed(DimseError):
    """What should have been sent could not be read to its end."""


Data = bytes | bytearray | memoryview | FileSlice | Iterable[bytes | bytearray | memoryview | FileSlice]


class Scratch:
    """Memory for what is read from files, used again and again: `count` buffers by turns, so that what was read stays
    for as many reads."""

    def __init__(self, count: int) -> None:
        self._buffers = [memoryview(b"")] * count

    def read(self, part: FileSlice) -> memoryview:
        """All of it. Raises SourceFailed, OSError."""
        view, got = self._next(part.size), 0
        while got < part.size:
            count = os.preadv(part.fd, [view[got:]], part.offset + got)
            if not count:
                raise SourceFailed("The file ended before the data set did")
            got += count
        return view

    def _next(self, size: int) -> memoryview:
        buffer = self._buffers.pop(0)
        if len(buffer) < size:
            buffer = memoryview(bytearray(size))
        self._buffers.append(buffer)
        return buffer[:size]
