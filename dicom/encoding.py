"""Small data sets written and read: query answers and query identifiers, in every native transfer syntax."""

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from dicom import matching
from dicom.dictionary import dictionary_vr
from dicom.elements import (
    DATA_SET_TRAILING_PADDING,
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    NATIVE,
    PADDING,
    SEQUENCE_DELIMITATION,
    SHORT_VRS,
    UNDEFINED,
    UNITS,
    VRS,
    swapped,
)
from dicom.errors import CannotReencode, InvalidDataSet
from dicom.values import decode

# Tag, VR, value: bytes in little endian, None for none, for SQ the elements of each item.
ElementIn: TypeAlias = "tuple[int, str, bytes | Sequence[Sequence[ElementIn]] | None]"

MAXIMUM_DEPTH: Final = 32  # of sequences in an identifier
MAXIMUM_ELEMENTS: Final = 20_000
MAXIMUM_INFLATED: Final = 1 << 24
_MAXIMUM_SHORT: Final = 65534  # PS3.5 7.1.2: the even length that 16 bits can say
_CACHE_SIZE: Final = 4096
_CHARACTER_SET: Final = 0x00080005
_short = struct.Struct("<H").pack
_long = struct.Struct("<I").pack
_Pack = Callable[[int, int, int], bytes]
_item_little: _Pack = struct.Struct("<HHI").pack
_item_big: _Pack = struct.Struct(">HHI").pack
# (tag, VR) -> what stands before the length, (length has 32 bits,) the padding byte.
_heads: dict[tuple[int, str], tuple[bytes, bool, bytes]] = {}
_tags: dict[tuple[int, str], tuple[bytes, bytes]] = {}


def encode_elements(elements: Iterable[ElementIn], transfer_syntax_uid: str) -> bytes:
    """A data set of elements in order of tags. Odd values are padded; what a short VR cannot hold becomes UN."""
    if transfer_syntax_uid == IMPLICIT_LITTLE:
        return _implicit(elements)
    if transfer_syntax_uid not in NATIVE:
        raise CannotReencode("a data set without pixels has no compressed form")
    encoded = _explicit_big(elements) if transfer_syntax_uid == EXPLICIT_BIG else _explicit_little(elements)
    if transfer_syntax_uid == DEFLATED_LITTLE:
        deflater = zlib.compressobj(wbits=-15)
        encoded = deflater.compress(encoded) + deflater.flush()
        encoded += b"\0" * (len(encoded) & 1)  # PS3.5 A.5
    return encoded


def _implicit(elements: Iterable[ElementIn]) -> bytes:
    out: list[bytes] = []
    append, pack = out.append, _long
    for tag, vr, value in elements:
        head = _tags.get((tag, vr)) or _remember_tag(tag, vr)
        if not value:
            append(head[0] + b"\0\0\0\0")
            continue
        if not isinstance(value, bytes):
            value = _items(value, _implicit, _item_little)
        size = len(value)
        if size & 1:
            append(head[0] + pack(size + 1) + value + head[1])
        else:
            append(head[0] + pack(size) + value)
    return b"".join(out)


def _explicit_little(elements: Iterable[ElementIn]) -> bytes:
    out: list[bytes] = []
    append, pack = out.append, _short
    for tag, vr, value in elements:
        head, is_long, pad = _heads.get((tag, vr)) or _remember_head(tag, vr)
        if not value:
            append(head + (b"\0\0\0\0" if is_long else b"\0\0"))
            continue
        if not isinstance(value, bytes):
            value = _items(value, _explicit_little, _item_little)
        size = len(value)
        if size & 1:
            value += pad
            size += 1
        if is_long:
            append(head + _long(size) + value)
        elif size <= _MAXIMUM_SHORT:
            append(head + pack(size) + value)
        else:
            append(head[:4] + b"UN\0\0" + _long(size) + value)
    return b"".join(out)


def _explicit_big(elements: Iterable[ElementIn]) -> bytes:
    out: list[bytes] = []
    for tag, vr, value in elements:
        head = struct.pack(">HH", tag >> 16, tag & 0xFFFF)
        content = value or b""
        if not isinstance(content, bytes):
            content = _items(content, _explicit_big, _item_big)
        content += PADDING.get(vr, b"\0") * (len(content) & 1)
        is_long = vr in LONG_VRS
        if not is_long and len(content) > _MAXIMUM_SHORT:
            vr, is_long = "UN", True  # and stays in little endian, PS3.5 6.2.2
        if vr in UNITS:
            content = swapped(content, UNITS[vr])
        length = struct.pack(">HI", 0, len(content)) if is_long else struct.pack(">H", len(content))
        out.append(head + vr.encode("ascii") + length + content)
    return b"".join(out)


def _items(items: Sequence[Sequence[ElementIn]], encode: Callable[[Iterable[ElementIn]], bytes], head: _Pack) -> bytes:
    contents = [encode(item) for item in items]
    return b"".join(head(ITEM >> 16, ITEM & 0xFFFF, len(content)) + content for content in contents)


def _remember_head(tag: int, vr: str) -> tuple[bytes, bool, bytes]:
    if len(_heads) >= _CACHE_SIZE:
        _heads.clear()
    is_long = vr in LONG_VRS
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii") + (b"\0\0" if is_long else b"")
    entry = _heads[tag, vr] = head, is_long, PADDING.get(vr, b"\0")
    return entry


def _remember_tag(tag: int, vr: str) -> tuple[bytes, bytes]:
    if len(_tags) >= _CACHE_SIZE:
        _tags.clear()
    entry = _tags[tag, vr] = struct.pack("<HH", tag >> 16, tag & 0xFFFF), PADDING.get(vr, b"\0")
    return entry


class Element(NamedTuple):
    """One element of an identifier: `value` in little endian, or the `items` of a sequence."""

    tag: int
    vr: str
    value: bytes
    items: tuple["Identifier", ...] | None = None


@dataclass(frozen=True, slots=True)
class Identifier:
    """What a requester sent: elements in the order they came, the character sets their text is in."""

    elements: dict[int, Element]
    character_sets: tuple[str, ...]

    def __contains__(self, tag: int) -> bool:
        return tag in self.elements

    def text(self, tag: int) -> str:
        """The value as text, several separated by backslashes, numbers in decimals; "" for none and for sequences."""
        element = self.elements.get(tag)
        if element is None or element.items is not None:
            return ""
        if form := _NUMBERS.get(element.vr):
            whole = len(element.value) - len(element.value) % form.size
            return "\\".join(str(number) for (number,) in form.iter_unpack(element.value[:whole]))
        if element.vr == "AT":
            words = struct.iter_unpack("<HH", element.value[: len(element.value) & ~3])
            return "\\".join(f"{group:04X}{number:04X}" for group, number in words)
        return decode(element.value, self.character_sets, element.vr)

    def items(self, tag: int) -> tuple["Identifier", ...]:
        element = self.elements.get(tag)
        return element.items or () if element else ()

    def key(self, tag: int, *, empty_value: bool = False) -> matching.Key:
        """The matching key that this element is, by the dictionary's VR where it has one. Raises InvalidValue."""
        element = self.elements[tag]
        if element.items is not None:
            keys = (
                [(part, item.key(part, empty_value=empty_value)) for part in item.elements] for item in element.items
            )
            return matching.parse("SQ", keys, tag=tag)
        vr = dictionary_vr(tag)[:2]
        return matching.parse(element.vr if vr == "UN" else vr, self.text(tag), tag=tag, empty_value=empty_value)


_NUMBERS: Final = {
    vr: struct.Struct(f"<{code}")
    for vr, code in zip(
        ("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), ("d", "f", "i", "h", "q", "I", "H", "Q"), strict=True
    )
}


def read_identifier(
    raw: bytes, transfer_syntax_uid: str, *, default_character_set: str = "", most_elements: int = MAXIMUM_ELEMENTS
) -> Identifier:
    """A query identifier, read leniently: what can be understood in only one way is. Raises InvalidDataSet."""
    if transfer_syntax_uid == DEFLATED_LITTLE:
        raw = _inflated(raw)
    order = ">" if transfer_syntax_uid == EXPLICIT_BIG else "<"
    implicit = transfer_syntax_uid == IMPLICIT_LITTLE
    if len(raw) >= 8 and order == "<" and (raw[4:6].decode("latin-1") in VRS) == implicit:
        # The other encoding than negotiated; in implicit VR these bytes would be an absurd length.
        implicit = not implicit
    reader = _Reader(raw, order, implicit, most_elements)
    character_sets = tuple(default_character_set.split("\\")) if default_character_set else ()
    return reader.identifier(len(raw), 0, character_sets)


def _inflated(raw: bytes) -> bytes:
    try:
        data = zlib.decompressobj(wbits=-15).decompress(raw, MAXIMUM_INFLATED + 1)
    except zlib.error:
        raise InvalidDataSet("not deflated as its transfer syntax says") from None
    if len(data) > MAXIMUM_INFLATED:
        raise InvalidDataSet("the identifier is too long")
    return data


_USUAL: Final = {order: struct.Struct(f"{order}HH2sH") for order in "<>"}  # tag, VR, length in the short form
_SHORT_FORM: Final = {vr.encode(): vr for vr in SHORT_VRS}


class _Reader:
    """Reads on from `at`; recursion is bounded by MAXIMUM_DEPTH, the number of elements by `most`."""

    __slots__ = ("_usual", "at", "count", "data", "implicit", "most", "order")

    def __init__(self, data: bytes, order: str, implicit: bool, most: int) -> None:
        self.data, self.order, self.implicit, self.most = data, order, implicit, most
        self.at = self.count = 0
        self._usual = _USUAL[order].unpack_from

    def identifier(self, end: int, depth: int, character_sets: tuple[str, ...]) -> Identifier:
        elements: dict[int, Element] = {}
        while self.at < end:
            tag, vr, length = self._header(end)
            if tag == ITEM_DELIMITATION:
                break
            if tag == DATA_SET_TRAILING_PADDING:
                self.at = end
                break
            element = self._element(tag, vr, length, end, depth, character_sets)
            if tag == _CHARACTER_SET:
                # PS3.3 C.12.1.1.2; an item may have its own.
                character_sets = tuple(name.strip(" \0") for name in element.value.decode("latin-1").split("\\"))
            if tag & 0xFFFF:  # group lengths say nothing
                elements[tag] = element
        return Identifier(elements, character_sets)

    def _header(self, end: int) -> tuple[int, str, int]:
        at, data = self.at, self.data
        if end - at < 8:
            if data[at:end].strip(b"\0"):
                raise InvalidDataSet("the identifier is cut short")
            self.at = end
            return DATA_SET_TRAILING_PADDING, "", 0
        group, number, code, size = self._usual(data, at)
        tag = group << 16 | number
        implicit = self.implicit or group == 0xFFFE
        if not implicit and (short := _SHORT_FORM.get(code)):
            self.at = at + 8
            return tag, short, size
        if implicit:
            self.at = at + 8
            return tag, dictionary_vr(tag)[:2], struct.unpack_from(f"{self.order}I", data, at + 4)[0]
        vr = code.decode("latin-1")
        # PS3.5 6.2.2: VRs of the future have the long form; what are not two capital letters is none.
        if not (vr.isascii() and vr.isalpha() and vr.isupper()) or end - at < 12:
            raise InvalidDataSet("no VR where one is expected", offending_element=tag)
        self.at = at + 12
        return tag, vr if vr in VRS else "UN", struct.unpack_from(f"{self.order}I", data, at + 8)[0]

    def _element(
        self, tag: int, vr: str, length: int, end: int, depth: int, character_sets: tuple[str, ...]
    ) -> Element:
        self.count += 1
        if self.count > self.most:
            raise InvalidDataSet("too many elements", offending_element=tag)
        if length == UNDEFINED or vr == "SQ":
            return Element(tag, "SQ", b"", self._items(tag, vr, length, end, depth, character_sets))
        if length > end - self.at:
            raise InvalidDataSet("the value is cut short", offending_element=tag)
        start, self.at = self.at, self.at + length
        value = self.data[start : self.at]
        if vr == "UN":
            return self._known(tag, value, depth, character_sets)
        if self.order == ">" and vr in UNITS:
            value = swapped(value, UNITS[vr])
        return Element(tag, vr, value)

    def _known(self, tag: int, value: bytes, depth: int, character_sets: tuple[str, ...]) -> Element:
        """PS3.5 6.2.2 note 2: UN of a known element is what the dictionary says, in little endian, implicit inside."""
        vr = dictionary_vr(tag)[:2]
        if vr != "SQ":
            return Element(tag, vr, value)
        inner = _Reader(value, "<", True, self.most)
        inner.count = self.count
        items = inner._items(tag, "SQ", len(value), len(value), depth, character_sets)
        self.count = inner.count
        return Element(tag, "SQ", b"", items)

    def _items(
        self, tag: int, vr: str, length: int, end: int, depth: int, character_sets: tuple[str, ...]
    ) -> tuple[Identifier, ...]:
        if depth >= MAXIMUM_DEPTH:
            raise InvalidDataSet("sequences are nested too deep", offending_element=tag)
        encoding = self.order, self.implicit
        if vr == "UN":
            self.order, self.implicit = "<", True  # PS3.5 6.2.2 note 1
        stop = end if length == UNDEFINED else self.at + length
        items: list[Identifier] = []
        while self.at < stop <= end:
            if stop - self.at < 8:
                raise InvalidDataSet("the sequence is cut short", offending_element=tag)
            group, number, size = struct.unpack_from(f"{self.order}HHI", self.data, self.at)
            self.at += 8
            if group << 16 | number == SEQUENCE_DELIMITATION:
                break
            item_end = stop if size == UNDEFINED else self.at + size
            if group << 16 | number != ITEM or item_end > stop:
                raise InvalidDataSet("not an item of a sequence", offending_element=tag)
            items.append(self.identifier(item_end, depth + 1, character_sets))
        if stop > end:
            raise InvalidDataSet("the sequence is cut short", offending_element=tag)
        self.order, self.implicit = encoding
        return tuple(items)
