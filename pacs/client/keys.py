"""Matching keys as they are typed: `PatientName=comp*`, `StudyDate`, `0008,0020=20240101-`."""

import re
import struct
from collections.abc import Iterable, Sequence

from dicom.dictionary import dictionary_vr, tag_of
from dicom.encoding import ElementIn
from dicom.values import encode

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
UTF_8 = "ISO_IR 192"
_TAG = re.compile(r"\(?([0-9a-fA-F]{4}),?([0-9a-fA-F]{4})\)?")
_NUMBERS = {"US": "H", "UL": "I", "SS": "h", "SL": "i", "FL": "f", "FD": "d"}

Path = tuple[int, ...]


class InvalidKey(ValueError):
    """What cannot be asked for; `str()` says why."""


def parse(text: str) -> tuple[Path, str]:
    """`KEY` or `KEY=VALUE`, a key within a sequence as `SEQUENCE.KEY`. Raises InvalidKey."""
    name, _, value = text.partition("=")
    return tuple(_tag(part) for part in name.split(".")), value


def _tag(name: str) -> int:
    if found := _TAG.fullmatch(name.strip()):
        return int(found[1], 16) << 16 | int(found[2], 16)
    tag = tag_of(name.strip())
    if tag is None:
        raise InvalidKey(f"{name!r} is neither a keyword such as PatientID nor a tag such as 0010,0020")
    return tag


def elements(level: str, keys: Iterable[tuple[Path, str]]) -> list[ElementIn]:
    """The identifier of a C-FIND, C-MOVE or C-GET; a worklist knows no `level`. Raises InvalidKey."""
    wanted = [*([((QUERY_RETRIEVE_LEVEL,), level)] if level else []), *keys]
    if not all(value.isascii() for _, value in wanted):
        wanted.append(((SPECIFIC_CHARACTER_SET,), UTF_8))
    return _elements(wanted)


def _elements(keys: Sequence[tuple[Path, str]]) -> list[ElementIn]:
    elements: dict[int, ElementIn] = {}
    for tag in sorted({path[0] for path, _ in keys}):
        below = [(path[1:], value) for path, value in keys if path[0] == tag and len(path) > 1]
        vr = dictionary_vr(tag)[:2]
        if vr == "SQ":
            # PS3.4 C.2.2.2.6: an empty sequence asks for the whole, an item for its keys.
            elements[tag] = (tag, vr, [_elements(below)] if below else None)
        elif below:
            raise InvalidKey(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is no sequence")
        else:
            value = next(value for path, value in reversed(keys) if path == (tag,))
            elements[tag] = (tag, vr, _bytes(vr, value) if value else None)
    return list(elements.values())


def _bytes(vr: str, value: str) -> bytes:
    if vr not in _NUMBERS:
        return encode(value, (UTF_8,)) or b""
    convert = float if vr in ("FL", "FD") else int
    try:
        return b"".join(struct.pack(f"<{_NUMBERS[vr]}", convert(part)) for part in value.split("\\"))
    except (ValueError, struct.error) as error:
        raise InvalidKey(f"{value!r} is no number") from error
