"""What answers to queries are made of: text in a character set that loses nothing, and DICOM JSON as it is kept
(PS3.18 F.2) -> elements that `dicom.encoding` writes."""

import base64
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from dicom.character_sets import repertoire
from dicom.dictionary import dictionary_vr
from dicom.encoding import ElementIn
from dicom.values import encode

UNICODE: Final = "ISO_IR 192"
Encode = Callable[[str], bytes]

_LOCAL_NAMESPACE_ENTITY_ID: Final = 0x00400031
_NUMBERS: Final = {"FD": "<d", "FL": "<f", "SL": "<i", "SS": "<h", "SV": "<q", "UL": "<I", "US": "<H", "UV": "<Q"}


def lossless(
    make: Callable[[Encode], list[ElementIn]], *, preferred: Sequence[str], of_data: str = ""
) -> tuple[list[ElementIn], str]:
    """The elements that `make` encodes, in the first character set that says all of them: those preferred, the data's,
    Unicode. And its name: "" where ASCII says it all and none is preferred."""
    known = known_sets(tuple(preferred))
    for name in (*known, *known_sets((of_data,)), UNICODE):
        encoder = _Encoder(name)
        try:
            made = make(encoder)
        except _Lost:
            continue
        return made, name if encoder.beyond_ascii else (*known, "")[0]
    raise AssertionError("Unicode loses nothing")


@lru_cache(maxsize=256)
def known_sets(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that have more than ASCII, as far as we know."""
    repertoires = {name: repertoire(tuple(name.split("\\"))) for name in names if name}
    return tuple(name for name, known in repertoires.items() if known.alone is not None or known.extensions)


class _Lost(Exception):
    """A character is not in the set."""


class _Encoder:
    __slots__ = ("_sets", "beyond_ascii")

    def __init__(self, character_set: str) -> None:
        self._sets = tuple(character_set.split("\\"))
        self.beyond_ascii = False

    def __call__(self, text: str) -> bytes:
        if text.isascii():
            return text.encode()
        self.beyond_ascii = True
        encoded = encode(text, self._sets)
        if encoded is None:
            raise _Lost
        return encoded


def elements(
    item: Mapping[str, Any], encode: Encode, vr_of: Callable[[int], str], wanted: Collection[int]
) -> list[ElementIn]:
    """The elements of one item; where `wanted` are named exactly those, empty where the item has none."""
    found = {int(tag, 16): entry for tag, entry in item.items()}
    return [_element(tag, found.get(tag) or {"vr": vr_of(tag)}, encode, vr_of) for tag in sorted(wanted or found)]


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


def issuer(local_namespace: str, encode: Encode, wanted: Collection[int]) -> list[list[ElementIn]] | None:
    """PS3.3 Table 10-17, HL7v2 Hierarchic Designator: the item of an issuer's sequence, with the elements `wanted`."""
    if not local_namespace:
        return None
    held = {_LOCAL_NAMESPACE_ENTITY_ID: ("UT", encode(local_namespace))}
    return [[(tag, *held.get(tag, (dictionary_vr(tag), b""))) for tag in wanted or held]]
