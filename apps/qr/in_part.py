"""What may be sent in part: so many bytes, open until they are closed, as a response does."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self


class InPart(ABC):
    """`size` bytes, to be read from anywhere; iterate over all of them, or over those `between`."""

    size: int
    _stack: ExitStack
    _pieces: Iterator[bytes]

    def _keep_open(self, stack: ExitStack, size: int) -> None:
        """The last thing that opening does: from now on `close` closes it."""
        self.size = size
        self._pieces = self._read(0, size)
        self._stack = stack.pop_all()

    @abstractmethod
    def _read(self, start: int, stop: int) -> Iterator[bytes]: ...

    def between(self, start: int, stop: int) -> Self:
        """Iterate over these bytes only."""
        self._pieces = self._read(start, stop)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._stack.close()
