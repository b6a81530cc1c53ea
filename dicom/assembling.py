"""A data set from the DICOM JSON model (PS3.18 annex F) and the bulk data beside it, in Explicit VR little endian."""

import base64
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dicom.dicomjson import BINARY, NUMBERS, Json
from dicom.dictionary import dictionary_vr
from dicom.elements import (
    EXPLICIT_LITTLE,
    ITEM,
    LONG_VRS,
    PADDING,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    VRS,
)
from dicom.encoding import encode_elements
from dicom.errors import InvalidDataSet

MAXIMUM_DEPTH: Final = 64
MAXIMUM_ELEMENTS: Final = 200_000
_CHARACTER_SET: Final = 0x00080005
_UNICODE: Final = "ISO_IR 192"
_LONGEST_VALUE: Final = 0xFFFFFFFE
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_NOT_TEXT: Final = frozenset({*NUMBERS, "AT"})
_AMBIGUOUS: Final = {"OB or OW": "OW", "US or SS": "US", "US or OW": "OW", "US or SS or OW": "OW"}
_head: Final = struct.Struct("<HHI").pack


class Stretch(Protocol):
    """Bytes that came beside the metadata."""

    @property
    def size(self) -> int: ...


Piece = bytes | Stretch


@dataclass(frozen=True, slots=True)
class BulkData:
    """What is at one address: in one stretch, or each frame in its own, in the order they came. `transfer_syntax_uid`:
    empty where the bytes are the value itself."""

    stretches: Sequence[Stretch]
    transfer_syntax_uid: str = ""


@dataclass(frozen=True, slots=True)
class Assembled:
    transfer_syntax_uid: str
    pieces: Sequence[Piece]


def assemble(data_set: Any, bulk: Callable[[str], BulkData | None]) -> Assembled:
    """`bulk` finds what is at a Bulk Data URI. Raises InvalidDataSet."""
    writing = _Writing(bulk)
    pieces = writing.data_set(data_set, 0)
    return Assembled(writing.transfer_syntax_uid, list(_merged(pieces)))


def uid_of(data_set: Any, tag: int) -> str:
    """Of a data set that may be anything, for who has to name it."""
    element = data_set.get(f"{tag:08X}") if isinstance(data_set, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values and isinstance(values[0], str) else ""


class _Writing:
    def __init__(self, bulk: Callable[[str], BulkData | None]) -> None:
        self._bulk = bulk
        self._count = 0
        self._unicode = False  # whether a text needs it
        self.transfer_syntax_uid = EXPLICIT_LITTLE

    def data_set(self, data_set: Any, depth: int) -> list[Piece]:
        if not isinstance(data_set, dict) or depth > MAXIMUM_DEPTH:
            raise InvalidDataSet("Not a data set of the DICOM JSON model, or nested too deep")
        elements = dict(_tagged(data_set))
        self._count += len(elements)
        if self._count > MAXIMUM_ELEMENTS:
            raise InvalidDataSet("Too many elements")
        said = elements.pop(_CHARACTER_SET, None)
        pieces = {tag: self._element(tag, elements[tag], depth) for tag in sorted(elements)}
        if depth == 0 and (said or self._unicode):  # one for all that is in it
            said = {"vr": "CS", "Value": [_UNICODE]} if self._unicode else said
            pieces[_CHARACTER_SET] = self._element(_CHARACTER_SET, said, depth)
        return [piece for tag in sorted(pieces) for piece in pieces[tag]]

    def _element(self, tag: int, element: Any, depth: int) -> list[Piece]:
        if not isinstance(element, dict):
            raise InvalidDataSet("Not an element of the DICOM JSON model", offending_element=tag)
        vr = element.get("vr") or dictionary_vr(tag)
        vr = _AMBIGUOUS.get(vr, vr) if isinstance(vr, str) else None
        if vr not in VRS:
            raise InvalidDataSet("No such VR", offending_element=tag)
        if uri := element.get("BulkDataURI"):
            return self._beside(tag, vr, str(uri))
        values = element.get("Value") or []
        if not isinstance(values, list):
            raise InvalidDataSet("The values are no list", offending_element=tag)
        if vr == "SQ":
            return self._sequence(tag, values, depth)
        try:
            raw = value_bytes(vr, element)
            self._unicode |= vr not in BINARY and vr not in _NOT_TEXT and not raw.isascii()
        except (ValueError, TypeError, struct.error, OverflowError) as error:
            raise InvalidDataSet("The value cannot be encoded", offending_element=tag) from error
        return [encode_elements([(tag, vr, raw)], EXPLICIT_LITTLE)]

    def _sequence(self, tag: int, items: Sequence[Any], depth: int) -> list[Piece]:
        pieces: list[Piece] = []
        for item in items:
            content = self.data_set(item or {}, depth + 1)
            pieces += [_head(ITEM >> 16, ITEM & 0xFFFF, _length(tag, _size(content))), *content]
        return [_long_head(tag, "SQ", _length(tag, _size(pieces))), *pieces]

    def _beside(self, tag: int, vr: str, uri: str) -> list[Piece]:
        found = self._bulk(uri)
        if found is None:
            raise InvalidDataSet("There is no part with the Content-Location of its bulk data", offending_element=tag)
        if tag == PIXEL_DATA and found.transfer_syntax_uid:
            self.transfer_syntax_uid = found.transfer_syntax_uid
            return list(_encapsulated(found.stretches))
        size = sum(stretch.size for stretch in found.stretches)
        padding = PADDING[vr] * (size & 1)
        if vr not in LONG_VRS:
            vr = "UN" if size > 0xFFFE else vr
        length = _length(tag, size + len(padding))
        head = _long_head(tag, vr, length) if vr in LONG_VRS else _short_head(tag, vr, length)
        return [head, *found.stretches, *([padding] if padding else [])]


def _encapsulated(frames: Sequence[Stretch]) -> Iterator[Piece]:
    """PS3.5 A.4: an empty offset table, a fragment for each frame."""
    yield _long_head(PIXEL_DATA, "OB", UNDEFINED) + _head(ITEM >> 16, ITEM & 0xFFFF, 0)
    for frame in frames:
        padding = b"\0" * (frame.size & 1)
        yield _head(ITEM >> 16, ITEM & 0xFFFF, _length(PIXEL_DATA, frame.size + len(padding)))
        yield frame
        yield padding
    yield _head(SEQUENCE_DELIMITATION >> 16, SEQUENCE_DELIMITATION & 0xFFFF, 0)


def _tagged(data_set: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    """Without group lengths, and groups that are no part of a data set."""
    for name, element in data_set.items():
        if not _TAG.fullmatch(name):
            raise InvalidDataSet("Not a tag of the DICOM JSON model")
        tag = int(name, 16)
        if tag & 0xFFFF and tag >> 16 > 0x0007 and tag >> 16 != 0xFFFE:
            yield tag, element


def value_bytes(vr: str, element: Json) -> bytes:
    """What is in an element, but of sequences and bulk data; texts in UTF-8. Raises ValueError, TypeError,
    struct.error, OverflowError."""
    return _inline(element) if vr in BINARY else _encoded(vr, element.get("Value") or [])


def _inline(element: Json) -> bytes:
    return base64.b64decode(element.get("InlineBinary") or b"", validate=True)


def _encoded(vr: str, values: Sequence[Any]) -> bytes:
    """Raises ValueError, TypeError, struct.error, OverflowError."""
    if vr in NUMBERS:
        number = float if vr in ("FL", "FD") else int
        return struct.pack(f"<{len(values)}{NUMBERS[vr]}", *(number(value) for value in values))
    if vr == "AT":
        return b"".join(struct.pack("<HH", *divmod(int(value, 16), 1 << 16)) for value in values)
    convert = _CONVERT.get(vr, _text)
    return "\\".join(map(convert, values)).encode()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise ValueError("no text")
    return str(value)


def _name(value: Any) -> str:
    if not isinstance(value, dict):
        return _text(value)
    return "=".join(_text(value.get(group)) for group in _GROUPS).rstrip("=")


def _decimal(value: Any) -> str:
    """PS3.5 6.2: at most 16 characters."""
    text = _text(value)
    if len(text) <= 16 or isinstance(value, str):
        return text
    return next(short for digits in range(16, 0, -1) if len(short := f"{value:.{digits}g}") <= 16)


_CONVERT: Final[dict[str, Callable[[Any], str]]] = {"PN": _name, "DS": _decimal}


def _long_head(tag: int, vr: str, length: int) -> bytes:
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)


def _short_head(tag: int, vr: str, length: int) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)


def _length(tag: int, size: int) -> int:
    if size > _LONGEST_VALUE:
        raise InvalidDataSet("The value is too long", offending_element=tag)
    return size


def _size(pieces: Sequence[Piece]) -> int:
    return sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in pieces)


def _merged(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """What is in memory in one piece as far as it goes."""
    run: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            run.append(piece)
        else:
            yield b"".join(run)
            run = []
            yield piece
    yield b"".join(run)
