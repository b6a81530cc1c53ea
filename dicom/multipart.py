"""multipart/related (RFC 2046 5.1, RFC 2387) while it arrives: part after part, through one buffer that is used again.

What follows a line break and looks like the boundary, but is no whole boundary line, belongs to the part.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dicom.errors import DicomError
from dicom.media import split

BUFFER: Final = 1 << 20
MOST_PARTS: Final = 50_000
_LONGEST_HEADERS: Final = 1 << 14  # bytes, of one part
_LONGEST_PADDING: Final = 128  # white space behind a boundary
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)  # RFC 2046 5.1.1
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PADDING: Final = re.compile(rb"[ \t]*")
_BREAK: Final = b"\r\n"
_BLANK: Final = b"\r\n\r\n"


class InvalidMultipart(DicomError):
    """The body is not what its Content-Type says: nothing can be known of what follows."""


class TooManyParts(InvalidMultipart):
    http_status = 413


@dataclass(frozen=True, slots=True)
class ContentType:
    """`type` and the names of parameters in small letters."""

    type: str
    parameters: Mapping[str, str]

    @property
    def boundary(self) -> str:
        """Raises InvalidMultipart."""
        boundary = self.parameters.get("boundary", "")
        if not boundary:
            raise InvalidMultipart("The Content-Type names no boundary")
        if not _BOUNDARY.fullmatch(boundary):
            raise InvalidMultipart("The boundary is too long or has characters that none may have")
        return boundary


def content_type(header: str) -> ContentType:
    """Raises InvalidMultipart for what could be understood in two ways."""
    name, *pairs = (piece.strip() for piece in split(header, ";"))
    parameters: dict[str, str] = {}
    for pair in filter(None, pairs):
        key, separator, value = (piece.strip() for piece in pair.partition("="))
        key = key.lower()
        if not separator or not _TOKEN.fullmatch(key):
            raise InvalidMultipart("The Content-Type cannot be read")
        if key in parameters:
            raise InvalidMultipart(f"The Content-Type has two parameters {key}")
        parameters[key] = _unquoted(value)
    return ContentType(name.lower(), parameters)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


class Part:
    """Iterate over its content once, before the next part is asked for; each piece is good until the next one.

    `headers` by name in small letters. `problem` says why they cannot be used; such a part is passed over.
    """

    __slots__ = ("_next", "headers", "problem")

    def __init__(self, headers: Mapping[str, str], problem: str, following: Callable[[], memoryview | None]) -> None:
        self.headers, self.problem, self._next = headers, problem, following

    def __iter__(self) -> Iterator[memoryview]:
        """Raises InvalidMultipart, and what reading raises, where the body ends in the middle of the part."""
        while (piece := self._next()) is not None:
            yield piece


class Multipart:
    """The parts of a body. `readinto` fills a part of a buffer and says how much; nothing only at the end."""

    def __init__(
        self,
        readinto: Callable[[memoryview], int],
        boundary: str,
        *,
        most_parts: int = MOST_PARTS,
        buffer_size: int = BUFFER,
    ) -> None:
        self._readinto = readinto
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._most_parts = most_parts
        # Room for headers, and for a boundary line with all it may have behind it.
        self._data = bytearray(max(buffer_size, 2 * _LONGEST_HEADERS))
        self._view = memoryview(self._data)
        # The first boundary needs no line break before it.
        self._data[:2] = _BREAK
        self._start, self._end = 0, 2
        self._searched = 0  # from here on the delimiter is looked for
        self._ended = False
        self._open, self._last = True, False

    def __iter__(self) -> Iterator[Part]:
        """Raises InvalidMultipart, TooManyParts, and what `readinto` raises."""
        self._pass_over()  # the preamble
        number = 0
        while not self._last:
            number += 1
            if number > self._most_parts:
                raise TooManyParts(f"More than {self._most_parts} parts")
            headers, problem = self._headers()
            self._open = True
            yield Part(headers, problem, self._piece)
            self._pass_over()

    def _pass_over(self) -> None:
        while self._piece() is not None:
            pass

    def _fill(self) -> bool:
        """More bytes behind what is kept, which moves to the front; False at the end of the body."""
        if self._ended:
            return False
        if first := min(self._start, self._searched):
            kept = self._end - first
            self._data[:kept] = self._data[first : self._end]
            self._start, self._searched, self._end = self._start - first, self._searched - first, kept
        count = self._readinto(self._view[self._end :])
        self._end += count
        self._ended = count == 0
        return count > 0

    def _piece(self) -> memoryview | None:
        """Of the part that is open; None behind its end."""
        while self._open:
            at = self._data.find(self._delimiter, self._searched, self._end)
            if at < 0:
                keep = self._beginning_of_delimiter()
            elif (line := self._line(at)) is None:  # not all of it has come yet
                keep = self._searched = at
            elif line < 0:
                self._searched = at + 1
                continue
            else:
                piece = self._view[self._start : at] if at > self._start else None
                # Its line break may be that of the next delimiter already: a part that has not even headers.
                self._start = self._searched = line
                self._open = False
                return piece
            if keep > self._start:
                piece = self._view[self._start : keep]
                self._start = self._searched = keep
                return piece
            if not self._fill():
                raise InvalidMultipart("The body ends before its last boundary")
        return None

    def _beginning_of_delimiter(self) -> int:
        """Where what may be its first bytes begins, at the end of what has come."""
        at = self._data.find(_BREAK[:1], max(self._searched, self._end - len(self._delimiter) + 1), self._end)
        keep = self._end if at < 0 else at
        self._searched = max(self._searched, keep)
        return max(keep, self._start)

    def _line(self, at: int) -> int | None:
        """Where the boundary line that may begin at `at` ends, before its line break; -1: it is none; None: unknown."""
        after = at + len(self._delimiter)
        if self._data[after : min(after + 2, self._end)] == b"--":
            self._last = True
            return after + 2
        padding = _PADDING.match(self._data, after, min(after + _LONGEST_PADDING, self._end))
        stop = padding.end() if padding else after
        if self._data[stop : min(stop + 2, self._end)] == _BREAK:
            return stop
        rest = bytes(self._data[stop : min(stop + 2, self._end)])
        might_be = rest in (b"", b"\r") or (rest == b"-" and stop == after)
        return None if might_be and not self._ended and stop - after < _LONGEST_PADDING else -1

    def _headers(self) -> tuple[Mapping[str, str], str]:
        """Of the part that begins, at the line break of its boundary; what is wrong with them."""
        while True:
            limit = min(self._end, self._start + _LONGEST_HEADERS)
            stop = self._data.find(_BLANK, self._start, limit)
            boundary = self._data.find(self._delimiter, self._start, limit if stop < 0 else stop + 2)
            if boundary >= 0:
                return {}, "The part has no content"
            if stop >= 0:
                block = bytes(self._data[self._start + 2 : stop])
                # The blank line may be the line break before the next boundary.
                self._start, self._searched = stop + 4, stop + 2
                return _parsed(block)
            if limit - self._start == _LONGEST_HEADERS:
                return {}, "The headers of the part are too long"
            if not self._fill():
                raise InvalidMultipart("The body ends before its last boundary")


def _parsed(block: bytes) -> tuple[Mapping[str, str], str]:
    headers: dict[str, str] = {}
    unfolded = re.sub(r"\r\n[ \t]+", " ", block.decode("latin-1"))
    for line in filter(None, unfolded.split("\r\n")):
        name, separator, value = line.partition(":")
        name = name.lower()
        if not separator or not _TOKEN.fullmatch(name):
            return {}, "The headers of the part cannot be read"
        if name in headers:
            return {}, f"The part has two headers {name}"
        headers[name] = value.strip()
    return headers, ""
