"""The items of a small sequence in the DICOM JSON model (PS3.18 F.2), read as far as they can be read."""

import json
from functools import lru_cache

from dicom.cursor import LAYOUTS, VR_CODES, Layout
from dicom.dicomjson import Json, from_bytes
from dicom.dictionary import dictionary_vr
from dicom.elements import ITEM, ITEM_DELIMITATION, LONG_VRS, SEQUENCE_DELIMITATION, UNDEFINED
from dicom.values import decode

_SPECIFIC_CHARACTER_SET = 0x00080005
_DEEPEST = 16
_KEPT = 4096  # bytes of a sequence that may be kept


def read_items(raw: bytes, layout: Layout, character_sets: tuple[str, ...]) -> list[Json]:
    """`raw` is the content of the sequence, without its own header and delimiter."""
    # All images of a series repeat the same sequence. Kept as text, so that nobody changes what others get.
    read = _read_repeated if len(raw) <= _KEPT else _read
    items: list[Json] = json.loads(read(raw, layout, character_sets))
    return items


@lru_cache(maxsize=512)
def _read_repeated(raw: bytes, layout: Layout, character_sets: tuple[str, ...]) -> str:
    return _read(raw, layout, character_sets)


def _read(raw: bytes, layout: Layout, character_sets: tuple[str, ...]) -> str:
    # A sequence sent as UN is implicit VR inside (PS3.5 6.2.2).
    if len(raw) >= 16:
        little = layout.little_endian if raw[:2] not in (b"\xfe\xff", b"\xff\xfe") else raw[:2] == b"\xfe\xff"
        layout = LAYOUTS[raw[12:14] not in VR_CODES and (layout.implicit or not raw[12:14].isalpha()), little]
    reader = _Reader(raw, layout)
    reader.items(len(raw), character_sets, 0)
    return json.dumps(reader.found)


class _Reader:
    __slots__ = ("_layout", "_position", "_raw", "found")

    def __init__(self, raw: bytes, layout: Layout) -> None:
        self._raw, self._layout, self._position = raw, layout, 0
        self.found: list[Json] = []

    def items(self, end: int, character_sets: tuple[str, ...], depth: int) -> list[Json]:
        """Up to `end` or the sequence delimiter."""
        items = self.found if depth == 0 else []
        while self._position + 8 <= end:
            tag, length = self._item_head()
            if tag != ITEM:
                break
            item_end = end if length == UNDEFINED else min(end, self._position + length)
            items.append({})
            self._elements(items[-1], item_end, character_sets, depth)
            if length != UNDEFINED:
                self._position = item_end
        return items

    def _item_head(self) -> tuple[int, int]:
        group, element, length = self._layout.implicit_head(self._raw, self._position)
        self._position += 8
        return group << 16 | element, length

    def _elements(self, item: Json, end: int, character_sets: tuple[str, ...], depth: int) -> None:
        while self._position + 8 <= end:
            tag, vr, length = self._head()
            if tag in (ITEM_DELIMITATION, SEQUENCE_DELIMITATION):
                return
            start = self._position
            if vr == "SQ" or length == UNDEFINED:
                if depth >= _DEEPEST:
                    self._position = len(self._raw)
                    return
                stop = end if length == UNDEFINED else min(end, start + length)
                items = self.items(stop, character_sets, depth + 1)
                item[f"{tag:08X}"] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
                if length != UNDEFINED:
                    self._position = stop
                continue
            self._position = start + length
            if self._position > end:
                return
            value = self._raw[start : self._position]
            if tag == _SPECIFIC_CHARACTER_SET:
                character_sets = tuple(decode(value, (), "CS").split("\\"))
            if tag & 0xFFFF:
                item[f"{tag:08X}"] = from_bytes(value, vr, character_sets, little_endian=self._layout.little_endian)

    def _head(self) -> tuple[int, str, int]:
        layout, raw, position = self._layout, self._raw, self._position
        group, element, length = layout.implicit_head(raw, position)
        tag, code = group << 16 | element, raw[position + 4 : position + 6]
        self._position = position + 8
        if group == 0xFFFE or layout.implicit or code not in VR_CODES:
            return tag, _plain_vr(dictionary_vr(tag)), length
        vr = code.decode("ascii")
        if vr in LONG_VRS:
            self._position = position + 12
            return tag, vr, layout.u32(raw, position + 8)[0] if position + 12 <= len(raw) else 0
        return tag, vr, layout.head(raw, position)[3]


def _plain_vr(vr: str) -> str:
    """`US or SS` in implicit VR is undecided without the pixel representation."""
    return vr.partition(" ")[0]
