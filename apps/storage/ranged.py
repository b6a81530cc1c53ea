"""A file that is far away, read in blocks: for who wants its header alone."""

from collections.abc import Callable
from typing import Final

from dicom.windows import Readable

BLOCK: Final = 1 << 17  # holds the headers of most images


class Ranged:
    """`fetch(offset, size)` gives bytes, and how long the whole is. Blocks are kept, for one reading."""

    def __init__(self, fetch: Callable[[int, int], tuple[bytes, int]]) -> None:
        self._fetch = fetch
        self._blocks: dict[int, bytes] = {}
        self._whole: int | None = None

    @property
    def size(self) -> int:
        if self._whole is None:
            self._block(0)
        return self._whole or 0

    def window(self, offset: int) -> Readable:
        return _Window(self, offset, self.size - offset)

    def pread(self, size: int, offset: int) -> bytes:
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        first = offset // BLOCK
        pieces = b"".join(self._block(number) for number in range(first, (end - 1) // BLOCK + 1))
        return pieces[offset - first * BLOCK : end - first * BLOCK]

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            self._blocks[number], self._whole = self._fetch(number * BLOCK, BLOCK)
        return self._blocks[number]


class _Window:
    def __init__(self, source: Ranged, offset: int, size: int) -> None:
        self._source, self._offset, self.size = source, offset, size

    def pread(self, size: int, offset: int) -> bytes:
        return self._source.pread(min(size, self.size - offset), self._offset + offset)
