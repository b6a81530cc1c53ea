"""DICOM JSON of the index (PS3.18 F.2) -> elements that `dicom.encoding` writes."""

import base64
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from dicom.encoding import ElementIn

Encode = Callable[[str], bytes]

_NUMBERS: Final = {"FD": "<d", "FL": "<f", "SL": "<i", "SS": "<h", "SV": "<q", "UL": "<I", "US": "<H", "UV": "<Q"}


def elements(
    item: Mapping[str, Any], encode: Encode, vr_of: Callable[[int], str], wanted: Collection[int]
) -> list[ElementIn]:
    """The elements of one item; where `wanted` are named exactly those, empty where the item has none."""
    found = {int(tag, 16): entry for tag, entry in item.items()}
    return [_element(tag, found.get(tag) or {"vr": vr_of(tag)}, encode, vr_of) for tag in sorted(wanted or found)]


def texts(item: Mapping[str, Any]) -> Iterator[str]:
    """Every text of an item, nested ones too."""
    for entry in item.values():
        for value in entry.get("Value", ()):
            if isinstance(value, str):
                yield value
            elif isinstance(value, Mapping):
                yield from _person_name(value) if entry["vr"] == "PN" else texts(value)


def _element(tag: int, entry: Mapping[str, Any], encode: Encode, vr_of: Callable[[int], str]) -> ElementIn:
    vr, values = entry["vr"], [value for value in entry.get("Value", ()) if value is not None]
    if vr == "SQ":
        return tag, vr, [elements(value, encode, vr_of, ()) for value in values]
    if "InlineBinary" in entry:
        return tag, vr, base64.b64decode(entry["InlineBinary"])
    if vr == "AT":
        return tag, vr, b"".join(struct.pack("<HH", int(value[:4], 16), int(value[4:], 16)) for value in values)
    if vr in _NUMBERS:
        return tag, vr, b"".join(struct.pack(_NUMBERS[vr], value) for value in values)
    parts = ["=".join(_person_name(value)) if isinstance(value, Mapping) else str(value) for value in values]
    return tag, vr, encode("\\".join(parts))


def _person_name(value: Mapping[str, str]) -> list[str]:
    groups = [value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
    while groups and not groups[-1]:
        groups.pop()
    return groups
