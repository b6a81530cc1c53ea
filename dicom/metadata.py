"""Whole data sets in the DICOM JSON model, as `/metadata` has them (PS3.18 F.2): what is large is a Bulk Data URI.

Made from the bytes as stored. What the instances of a series have in common is converted once, and where it comes in
the same place as in the data set before, it is not even walked.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import orjson

from dicom.dicomjson import BINARY, NUMBERS, from_bytes
from dicom.elements import DATA_SET_TRAILING_PADDING, PIXEL_DATA
from dicom.values import decode
from dicom.walk import ELEMENT, ENCAPSULATED, ITEM_END, ITEM_START, SEQUENCE, SEQUENCE_END, Token, Walker

INLINE: Final = 1024  # bytes of a binary value or of numbers
_LONGEST: Final = 1 << 20  # of any other value
_KEPT: Final = 20_000  # fragments
_KNOWN: Final = 1 << 14  # bytes compared at once with those of the data set before
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PIXEL_REPRESENTATION: Final = 0x00280103
_PIXELS: Final = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})
_LARGE: Final = {vr: INLINE for vr in (*BINARY, *NUMBERS, "AT")}
_UNICODE: Final = b'"00080005":{"vr":"CS","Value":["ISO_IR 192"]}'
# PS3.5 annex A.1: what implicit VR leaves open.
_OPEN: Final = {"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}

_Key = tuple[int, str, bytes, tuple[str, ...], bool]
_State = tuple[tuple[str, ...], bool, bool, bool]  # character sets, signed pixels, implicit VR, little endian


class _Known(NamedTuple):
    """Elements of the top level of the data set before, one or some in a row: the tag of the first, their bytes (none:
    it is read anew), what these depended on, and what they became."""

    tag: int
    raw: bytes
    state: "_State"
    json: bytes

    def with_next(self, other: "_Known") -> "_Known":
        return _Known(self.tag, self.raw + other.raw, self.state, b"%b,%b" % (self.json, other.json))


class Metadata:
    """Converts one data set after the other; not for several threads at once."""

    def __init__(self) -> None:
        self._fragments: dict[_Key, bytes] = {}
        self._before: list[_Known] = []

    def encode(self, walker: Walker, bulk_data: str, *, default_character_set: Callable[[], str] = str) -> bytes:
        """`bulk_data` is the path that the address of a value follows, `.../bulkdata`. Raises InvalidDataSet."""
        writing = _Writing(self._fragments, walker, bulk_data, default_character_set)
        members = writing.levels[0].members
        before, now, index = self._before, list[_Known](), 0
        while True:
            new = len(now)
            while index < len(before) and before[index].state == writing.state and walker.skip(before[index].raw):
                known = before[index]
                members.append(known.json)
                if len(now) > new and len(now[-1].raw) + len(known.raw) < _KNOWN:
                    now[-1] = now[-1].with_next(known)
                else:
                    now.append(known)
                index += 1
            element = writing.element()
            if element is None:
                break
            now.append(element)
            while index < len(before) and before[index].tag <= element.tag:
                index += 1
        self._before = now
        if len(self._fragments) > _KEPT:
            self._fragments.clear()
        return writing.levels[0].json()


class _Level:
    """A data set or an item that is being written."""

    __slots__ = ("character_sets", "items", "members", "signed", "tag")

    def __init__(self, character_sets: tuple[str, ...], signed: bool) -> None:
        self.character_sets, self.signed = character_sets, signed
        self.members: list[bytes] = []
        self.tag = 0  # of the sequence that is open in it
        self.items: list[bytes] = []  # of that sequence

    def json(self) -> bytes:
        return b"{%b}" % b",".join(self.members)


class _Writing:
    """One data set, token by token."""

    __slots__ = (
        "_bulk_data",
        "_declared",
        "_default",
        "_fragments",
        "_refers",
        "_tokens",
        "_walker",
        "levels",
        "state",
    )

    def __init__(
        self, fragments: dict[_Key, bytes], walker: Walker, bulk_data: str, default: Callable[[], str]
    ) -> None:
        self._fragments, self._walker, self._bulk_data, self._default = fragments, walker, bulk_data, default
        self._tokens = walker.tokens()
        self._declared = self._refers = False
        self.levels = [_Level((), False)]
        self.state: _State = ((), False, walker.implicit, walker.little)

    def element(self) -> _Known | None:
        """The next of the top level, with all that is in it."""
        start, level = self._walker.position, self.levels[0]
        token = next(self._tokens, None)
        if token is None:
            return None
        tag, count = token[1], len(level.members)
        if tag > _SPECIFIC_CHARACTER_SET and not self._declared:
            self._turn(level, (self._default(),))
        self._refers, state = False, self.state
        self.take(token)
        while self._walker.depth:
            self.take(next(self._tokens))
        length = self._walker.position - start
        if self._refers or state is not self.state or len(level.members) == count or length > _KNOWN:
            return _Known(tag, b"", state, b"")
        return _Known(tag, self._walker.read(start, length), state, level.members[-1])

    def _turn(self, level: _Level, character_sets: tuple[str, ...] | None = None, *, signed: bool = False) -> None:
        """From here on the values of a level are read otherwise."""
        if character_sets is None:
            level.signed = signed
        else:
            level.character_sets = character_sets
        if level is self.levels[0]:
            self._declared = self._declared or character_sets is not None
            self.state = (level.character_sets, level.signed, *self.state[2:])

    def take(self, token: Token) -> None:
        kind, tag, vr, offset, length, little = token
        level = self.levels[-1]
        if kind == ELEMENT:
            self._element(level, tag, vr, offset, length, little)
        elif kind == ENCAPSULATED:
            level.members.append(self._reference(tag, vr))
        elif kind == SEQUENCE:
            level.tag, level.items = tag, []
        elif kind == ITEM_START:
            self.levels.append(_Level(level.character_sets, level.signed))
        elif kind == ITEM_END:
            self.levels.pop()
            self.levels[-1].items.append(level.json())
        elif kind == SEQUENCE_END:
            value = b',"Value":[%b]' % b",".join(level.items) if level.items else b""
            level.members.append(b'"%08X":{"vr":"SQ"%b}' % (level.tag, value))

    def _element(self, level: _Level, tag: int, vr: str, offset: int, length: int, little: bool) -> None:
        if not tag & 0xFFFF or tag == DATA_SET_TRAILING_PADDING:
            return
        if " " in vr:
            vr = _OPEN.get(vr) or ("SS" if level.signed else "US")
        if tag in _PIXELS or length > _LARGE.get(vr, _LONGEST):
            level.members.append(self._reference(tag, vr))
            return
        raw = self._walker.read(offset, length)
        if tag == _SPECIFIC_CHARACTER_SET:
            self._turn(level, tuple(decode(raw, (), "CS").split("\\")))
            level.members.append(_UNICODE)
            return
        if tag == _PIXEL_REPRESENTATION:
            self._turn(level, signed=b"\1" in raw)
        key = (tag, vr, raw, level.character_sets, little)
        found = self._fragments.get(key)
        if found is None:
            value = from_bytes(raw, vr, level.character_sets, little_endian=little)
            found = self._fragments[key] = b'"%08X":%b' % (tag, orjson.dumps(value))
        level.members.append(found)

    def _reference(self, tag: int, vr: str) -> bytes:
        """The way down: tag, number of the item, tag, ..."""
        self._refers = True
        steps = "".join(f"{level.tag:08X}/{len(level.items)}/" for level in self.levels[:-1])
        address = f"{self._bulk_data}/{steps}{tag:08X}"
        return b'"%08X":{"vr":"%b","BulkDataURI":"%b"}' % (tag, vr.encode(), address.encode())
