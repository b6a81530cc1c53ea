"""C-FIND answered from files (PS3.4 C.2.2.2, K.6.1.2.2), each of them read: for small collections."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom import header, matching
from dicom.encoding import ElementIn, Identifier, read_identifier
from dicom.errors import InvalidDataSet, InvalidValue
from dicom.evaluate import Value, matches
from dicom.matching import Key, Range
from dicom.part10 import Meta, read_meta
from dicom.windows import FileWindow

_CHARACTER_SET: Final = 0x00080005
_LEVEL: Final = 0x00080052
_NOT_KEYS: Final = frozenset({_CHARACTER_SET, _LEVEL, 0x00080201})  # nor the offset from UTC
# PS3.4 C.6.1.1
_UNIQUE_KEYS: Final = {"PATIENT": 0x00100020, "STUDY": 0x0020000D, "SERIES": 0x0020000E, "IMAGE": 0x00080018}
# PS3.4 K.6.1.2.2: date and time of the scheduled start are one range. The DT that is both -> DA, TM.
_COMBINED: Final = {0x00404005: (0x00400002, 0x00400003)}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, and what it says before its pixels."""

    path: Path
    meta: Meta
    identifier: Identifier

    @property
    def sop_instance_uid(self) -> str:
        return self.meta.sop_instance_uid


def read_entry(path: Path) -> Entry:
    """Raises InvalidDataSet, OSError."""
    with open(path, "rb") as file:
        meta = read_meta(file.fileno(), lenient=True)
        size = os.fstat(file.fileno()).st_size - meta.dataset_offset
        window = FileWindow(file.fileno(), meta.dataset_offset, size)
        found = header.scan(window, transfer_syntax_uid=meta.transfer_syntax_uid, wanted=())
        raw = window.pread(size if found.pixel_offset is None else found.pixel_offset, 0)
    return Entry(path, meta, read_identifier(raw, found.actual_transfer_syntax_uid))


class Question:
    """What an identifier asks for, and of which level. Raises InvalidDataSet."""

    def __init__(self, asked: Identifier) -> None:
        self._asked, self._level = asked, asked.text(_LEVEL)
        self.unique_key = _UNIQUE_KEYS.get(self._level, _UNIQUE_KEYS["IMAGE"])
        """Files that have the same of it are one answer."""
        try:
            self._keys = _keys(asked)
        except InvalidValue as error:
            raise InvalidDataSet(str(error), offending_element=error.tag) from None

    def fits(self, entry: Identifier) -> bool:
        """Whether this data set matches."""
        values = _values(entry)
        return all(matches(key, values.get(tag)) for tag, key in self._keys.items())

    def answer(self, entry: Identifier) -> list[ElementIn]:
        """What was asked for, of this data set, and the level; an empty sequence asks for all of it."""
        level = self._level.encode("ascii", "replace")
        elements = _answer(self._asked, entry)
        return [(tag, vr, level if tag == _LEVEL else value) for tag, vr, value in elements]


def _keys(asked: Identifier) -> dict[int, Key]:
    keys: dict[int, Key] = {}
    for tag, element in asked.elements.items():
        if element.items is not None:
            keys[tag] = matching.parse("SQ", (_keys(item).items() for item in element.items), tag=tag)
        elif tag not in _NOT_KEYS:
            keys[tag] = asked.key(tag)
    for both, (date_tag, time_tag) in _COMBINED.items():
        dates, times = keys.get(date_tag), keys.get(time_tag)
        if isinstance(dates, Range) and isinstance(times, Range):
            del keys[date_tag], keys[time_tag]
            keys[both] = matching.combined(dates, times)
    return keys


def _values(entry: Identifier) -> dict[int, Value]:
    values: dict[int, Value] = {}
    for tag, element in entry.elements.items():
        if element.items is not None:
            values[tag] = [_values(item) for item in element.items]
        elif element.vr in matching.SINGLE_VALUE_VRS:
            values[tag] = entry.text(tag)
        else:
            texts = entry.text(tag).split("\\")
            values[tag] = [int(text or "0", 16) for text in texts] if element.vr == "AT" else texts
    for both, (date_tag, time_tag) in _COMBINED.items():
        if entry.text(date_tag):
            values[both] = entry.text(date_tag) + entry.text(time_tag)
    return values


def _answer(asked: Identifier, entry: Identifier) -> Iterator[ElementIn]:
    for tag in sorted({*asked.elements, _CHARACTER_SET} if _CHARACTER_SET in entry else asked.elements):
        key, found = asked.elements.get(tag), entry.elements.get(tag)
        if found is None:
            if key is not None and tag != _CHARACTER_SET:
                yield tag, key.vr, None
        elif found.items is None:
            yield tag, found.vr, found.value
        else:
            inner = next((item for item in asked.items(tag) if item.elements), None)
            yield tag, "SQ", [list(_answer(inner or item, item)) for item in found.items]
