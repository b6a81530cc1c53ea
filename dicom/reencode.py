"""A data set in another native transfer syntax (PS3.5 A.1 to A.3, A.5): VRs, lengths, byte order; pixels untouched.

Nothing is held but a window: a first walk checks the structure and collects what resolves ambiguous VRs, so that a
damaged object fails before its first byte is sent; a second walk writes.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dicom.dictionary import dictionary_vr
from dicom.elements import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    NATIVE,
    PADDING,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    UNITS,
    VRS,
    swapped,
)
from dicom.errors import CannotReencode, InvalidDataSet
from dicom.walk import (
    ELEMENT,
    ENCAPSULATED,
    ITEM_END,
    ITEM_START,
    SEQUENCE,
    WINDOW,
    Token,
    Walker,
    window_of,
)
from dicom.windows import Readable

CHUNK: Final = 1 << 18  # bytes of a large value in one piece; a multiple of every unit of swapping
_MAXIMUM_SHORT: Final = 65534
_MAXIMUM_LONG: Final = 0xFFFFFFFE
_PIXEL_REPRESENTATION: Final = 0x00280103
_BITS_ALLOCATED: Final = 0x00280100
_WAVEFORM_BITS_ALLOCATED: Final = 0x54001004
_CONTEXT: Final = frozenset({_PIXEL_REPRESENTATION, _BITS_ALLOCATED, _WAVEFORM_BITS_ALLOCATED})
_STARTS: Final = frozenset({ELEMENT, ENCAPSULATED, SEQUENCE})
_NOT_IN_DATA_SETS: Final = frozenset({0x0000, 0x0002})  # groups of the command and of the file meta information


@dataclass(frozen=True, slots=True)
class Streamed:
    """A value too large to hold: `length` bytes in little endian, in pieces that are multiples of their VR's unit."""

    length: int
    pieces: Iterable[bytes]


# What an element of the top level becomes: VR and value in little endian, or None to leave it out.
Replacements = Mapping[int, tuple[str, bytes | Streamed] | None]


def can_reencode(from_syntax: str, to_syntax: str) -> bool:
    """Whether no codec is needed: the same syntax, or both of them native."""
    return from_syntax == to_syntax or (from_syntax in NATIVE and to_syntax in NATIVE)


def reencode(source: Readable, *, from_syntax: str, to_syntax: str) -> Iterator[bytes]:
    """The data set in the other transfer syntax, piece by piece.

    Raises CannotReencode at once, before the first piece, for what is damaged or needs a codec.
    """
    if from_syntax == to_syntax:
        return _copied(source)
    if not can_reencode(from_syntax, to_syntax):
        raise CannotReencode("the pixel data would have to be decompressed")
    return rewrite(source, from_syntax=from_syntax, to_syntax=to_syntax)


def rewrite(
    source: Readable, *, from_syntax: str, to_syntax: str, replacements: Replacements | None = None
) -> Iterator[bytes]:
    """As `reencode`, with elements of the top level replaced, added or left out."""
    changes = dict(sorted((replacements or {}).items()))
    try:
        window = window_of(source, from_syntax)
        walker = Walker(window, from_syntax)
        same_encoding = {from_syntax, to_syntax} == {EXPLICIT_LITTLE, DEFLATED_LITTLE} and not walker.implicit
        context = _survey(walker, changes)
    except InvalidDataSet as error:
        raise CannotReencode(f"the stored data set is damaged: {error}") from error
    if same_encoding and not changes:
        pieces = _copied(window)
    else:
        pieces = _gathered(_Writer(Walker(window, from_syntax), to_syntax, context, changes).pieces())
    return _deflated(pieces) if to_syntax == DEFLATED_LITTLE else pieces


def _survey(walker: Walker, changes: Replacements) -> dict[int, int]:
    """Walks all of it: what the top level says about the size and sign of samples. Raises InvalidDataSet."""
    context: dict[int, int] = {}
    top = 0  # the element of the top level that we are in
    for kind, tag, _, offset, length, little in walker.tokens():
        if kind in _STARTS and walker.depth == (kind == SEQUENCE):
            top = tag
        if kind == ENCAPSULATED and top not in changes:
            raise CannotReencode("the pixel data is compressed where the transfer syntax says it is not")
        if kind == ELEMENT and tag in _CONTEXT and walker.depth == 0 and length >= 2:
            context[tag] = int.from_bytes(walker.read(offset, 2), "little" if little else "big")
    for tag, change in changes.items():
        if tag in _CONTEXT and change and isinstance(change[1], bytes):
            context[tag] = int.from_bytes(change[1][:2], "little")
        if change and _length(change[1]) > _MAXIMUM_LONG:
            raise CannotReencode("the pixel data is too large to be sent uncompressed")
    return context


def _length(value: bytes | Streamed) -> int:
    return len(value) if isinstance(value, bytes) else value.length


class _Writer:
    def __init__(self, walker: Walker, to_syntax: str, context: dict[int, int], changes: Replacements) -> None:
        self._walker = walker
        self._changes = changes
        self._implicit = to_syntax == IMPLICIT_LITTLE
        self._little = to_syntax != EXPLICIT_BIG
        order = "<" if self._little else ">"
        self._short_head = struct.Struct(f"{order}HH2sH").pack
        self._long_head = struct.Struct(f"{order}HH2sHI").pack
        self._bare_head = struct.Struct(f"{order}HHI").pack
        self._known_lengths: list[bool] = []  # of the sequences we are in: nothing ends them
        self._contexts = [context]  # of the top level and of the items we are in, with what they inherit

    def pieces(self) -> Iterator[bytes]:
        waiting = [tag for tag, change in self._changes.items() if change is not None]
        waiting.reverse()
        left_out = False  # we are inside a sequence of the top level that is replaced
        for token in self._walker.tokens():
            kind, tag = token[:2]
            if kind in _STARTS and self._walker.depth == (kind == SEQUENCE):
                while waiting and waiting[-1] <= tag:
                    yield from self._change(waiting.pop())
                left_out = tag in self._changes or tag >> 16 in _NOT_IN_DATA_SETS
            if not left_out:
                yield from self._token(token)
        while waiting:
            yield from self._change(waiting.pop())

    def _token(self, token: Token) -> Iterator[bytes]:
        kind, tag, vr, offset, length, little = token
        if kind == ELEMENT:
            if tag & 0xFFFF:  # group lengths would be wrong
                yield from self._element(tag, vr, offset, length, little)
        elif kind == SEQUENCE:
            yield self._head(tag, "SQ", UNDEFINED if length else 0)
            self._known_lengths.append(not length)
        elif kind == ITEM_START:
            self._contexts.append(self._contexts[-1])
            yield self._delimiter(ITEM, UNDEFINED)
        elif kind == ITEM_END:
            self._contexts.pop()
            yield self._delimiter(ITEM_DELIMITATION)
        elif not self._known_lengths.pop():
            yield self._delimiter(SEQUENCE_DELIMITATION)

    def _element(self, tag: int, vr: str, offset: int, length: int, little: bool) -> Iterator[bytes]:
        read = self._walker.read
        if tag in _CONTEXT and length >= 2 and len(self._contexts) > 1:
            number = int.from_bytes(read(offset, 2), "little" if little else "big")
            self._contexts[-1] = {**self._contexts[-1], tag: number}
        vr, little = self._form(tag, vr, little)
        pieces = (read(at, min(CHUNK, offset + length - at)) for at in range(offset, offset + length, CHUNK))
        yield from self._value(tag, vr, length, pieces, little)

    def _form(self, tag: int, vr: str, little: bool) -> tuple[str, bool]:
        """The VR an element is written with, and whether its value is in little endian now."""
        if vr == "UN":
            # PS3.5 6.2.2 note 2: always little endian. In big endian only the right VR tells a reader what to swap.
            known = dictionary_vr(tag)
            little = True
            if self._little or known == "SQ":
                return vr, little
            vr = known
        if tag == PIXEL_DATA:
            return self._pixel_vr(vr), little
        if vr not in VRS:
            vr = self._unambiguous(tag, vr)
        return ("UN" if vr == "SQ" else vr), little

    def _pixel_vr(self, vr: str) -> str:
        # PS3.5 A.2: OW above 8 bits, OB or OW up to 8.
        if self._contexts[-1].get(_BITS_ALLOCATED, 16) > 8:
            return "OW"
        return vr if vr in ("OB", "OW") else "OB"

    def _unambiguous(self, tag: int, vr: str) -> str:
        if vr == "US or SS":
            return "SS" if self._contexts[-1].get(_PIXEL_REPRESENTATION, 0) == 1 else "US"
        if tag >> 16 == 0x5400:  # PS3.5 A.2: OW above 8 bits, OB or OW for 8
            return "OB" if self._contexts[-1].get(_WAVEFORM_BITS_ALLOCATED, 16) <= 8 else "OW"
        return "OW"  # LUT data, overlays, curves: allowed in every syntax

    def _value(self, tag: int, vr: str, length: int, pieces: Iterable[bytes], little: bool) -> Iterator[bytes]:
        """Head, value and padding of an element whose value comes in this order of bytes."""
        odd = length & 1
        unit = UNITS.get(vr, 0)
        little_out = self._little
        padding = PADDING[vr] * odd
        if length + odd > _MAXIMUM_SHORT and vr not in LONG_VRS and not self._implicit:
            vr, little_out = "UN", True
        yield self._head(tag, vr, length + odd)
        if unit and little != little_out:
            for piece in pieces:
                yield swapped(piece, unit)
        else:
            yield from pieces
        if odd:
            yield padding

    def _change(self, tag: int) -> Iterator[bytes]:
        change = self._changes[tag]
        if change is not None:
            vr, value = change
            pieces = (value,) if isinstance(value, bytes) else value.pieces
            yield from self._value(tag, vr, _length(value), pieces, little=True)

    def _head(self, tag: int, vr: str, length: int) -> bytes:
        if self._implicit:
            return self._bare_head(tag >> 16, tag & 0xFFFF, length)
        if vr in LONG_VRS:
            return self._long_head(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), 0, length)
        return self._short_head(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), length)

    def _delimiter(self, tag: int, length: int = 0) -> bytes:
        return self._bare_head(tag >> 16, tag & 0xFFFF, length)


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces worth a write. Raises CannotReencode when the source fails under our hands."""
    waiting: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= WINDOW:
                yield b"".join(waiting)
                waiting.clear()
                size = 0
    except InvalidDataSet as error:
        raise CannotReencode(f"the stored data set changed: {error}") from error
    if waiting:
        yield b"".join(waiting)


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    deflater = zlib.compressobj(wbits=-15)
    size = 0
    for piece in pieces:
        if data := deflater.compress(piece):
            size += len(data)
            yield data
    data = deflater.flush()
    yield data + b"\0" * ((size + len(data)) & 1)  # PS3.5 A.5


def _copied(source: Readable) -> Iterator[bytes]:
    for offset in range(0, source.size, CHUNK):
        yield source.pread(min(CHUNK, source.size - offset), offset)
