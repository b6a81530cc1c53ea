"""The items of a small sequence in the DICOM JSON model (PS3.18 F.2), read as far as they can be read."""

import base64
import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any

from dicom.cursor import LAYOUTS, VR_CODES, Layout
from dicom.dictionary import dictionary_vr
from dicom.elements import ITEM, ITEM_DELIMITATION, LONG_VRS, SEQUENCE_DELIMITATION, UNDEFINED
from dicom.values import clean_uid, decode, name_groups, parse_number

Json = dict[str, Any]

_SPECIFIC_CHARACTER_SET = 0x00080005
_DEEPEST = 16
_KEPT = 4096  # bytes of a sequence that may be kept
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


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
                item[f"{tag:08X}"] = _json(value, vr, character_sets, self._layout)

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


def _json(raw: bytes, vr: str, character_sets: tuple[str, ...], layout: Layout) -> Json:
    if vr in _BINARY:
        return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode("ascii")} if raw else {"vr": vr}
    if vr in _NUMBERS:
        values = _numbers(raw, _NUMBERS[vr], layout)
    elif vr == "AT":
        pairs = _numbers(raw, "H", layout)
        values = [f"{group:04X}{element:04X}" for group, element in zip(pairs[::2], pairs[1::2], strict=False)]
    elif vr == "UI":
        values = [clean_uid(uid) for uid in decode(raw, (), vr).split("\\")]
    else:
        text = decode(raw, character_sets, vr)
        convert = _CONVERT.get(vr, _text)
        values = [convert(value) for value in ([text] if vr in ("ST", "LT", "UT") else text.split("\\"))]
    return {"vr": vr, "Value": values} if any(value not in (None, "", {}) for value in values) else {"vr": vr}


def _numbers(raw: bytes, code: str, layout: Layout) -> list[Any]:
    number = Struct(f"{'<' if layout.little_endian else '>'}{code}")
    whole = raw[: len(raw) - len(raw) % number.size]
    return [value if math.isfinite(value) else None for (value,) in number.iter_unpack(whole)]


def _text(value: str) -> str | None:
    return value or None


def _name(value: str) -> dict[str, str] | None:
    return {key: group for key, group in zip(_GROUPS, name_groups(value), strict=True) if group} or None


def _integer(value: str) -> int | str | None:
    number = parse_number(value)
    return value or None if number is None else number


def _decimal(value: str) -> float | str | None:
    if not _DECIMAL.fullmatch(value):
        return value or None
    number = float(value)
    return number if math.isfinite(number) else value


_CONVERT: dict[str, Callable[[str], Any]] = {"PN": _name, "IS": _integer, "DS": _decimal}
