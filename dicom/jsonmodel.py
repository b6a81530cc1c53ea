"""Small data sets, such as those of DIMSE-N, as the DICOM JSON model has them (PS3.18 annex F), and back to bytes."""

import struct
from typing import Any

from dicom.assembling import BulkData, assemble, value_bytes
from dicom.dicomjson import Json, from_bytes
from dicom.dictionary import dictionary_vr
from dicom.encoding import Element, ElementIn, Identifier, encode_elements, read_identifier
from dicom.errors import InvalidDataSet

MOST_ELEMENTS = 500_000
_CHARACTER_SET = 0x00080005
_UNICODE = b"ISO_IR 192"


def read(raw: bytes, transfer_syntax_uid: str, *, default_character_set: str = "") -> Json:
    """All of a data set, private elements too; texts are decoded, so that its character set says nothing any more.
    Raises InvalidDataSet."""
    return _json(
        read_identifier(
            raw, transfer_syntax_uid, default_character_set=default_character_set, most_elements=MOST_ELEMENTS
        )
    )


def checked(document: Any) -> Json:
    """What somebody sent as a data set of the model, written and read again: what comes from the network is checked in
    one place. Raises InvalidDataSet."""
    made = assemble(document, _nothing)
    return read(b"".join(piece for piece in made.pieces if isinstance(piece, bytes)), made.transfer_syntax_uid)


def _nothing(uri: str) -> BulkData | None:
    """No bulk data comes beside it."""
    return None


def _json(data_set: Identifier) -> Json:
    return {
        f"{tag:08X}": _element(element, data_set.character_sets)
        for tag, element in sorted(data_set.elements.items())
        if tag != _CHARACTER_SET
    }


def _element(element: Element, character_sets: tuple[str, ...]) -> Json:
    if element.items is not None:
        items = [_json(item) for item in element.items]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    return from_bytes(element.value, element.vr.partition(" ")[0], character_sets)


def write(data_set: Json, transfer_syntax_uid: str) -> bytes:
    """In UTF-8 where ASCII does not do. Raises InvalidDataSet for what is no data set of the model."""
    elements = _elements(data_set)
    if not _is_ascii(elements):
        elements = sorted([(_CHARACTER_SET, "CS", _UNICODE), *elements], key=lambda element: element[0])
    return encode_elements(elements, transfer_syntax_uid)


def _elements(data_set: Json) -> list[ElementIn]:
    return [_encoded(int(tag, 16), data_set[tag]) for tag in sorted(data_set) if int(tag, 16) != _CHARACTER_SET]


def _encoded(tag: int, element: Json) -> ElementIn:
    vr = element.get("vr") or dictionary_vr(tag)[:2]
    if vr == "SQ":
        return tag, vr, [_elements(item) for item in element.get("Value", ())]
    try:
        return tag, vr, value_bytes(vr, element)
    except (ValueError, TypeError, struct.error, OverflowError) as error:
        raise InvalidDataSet("the value cannot be encoded", offending_element=tag) from error


def _is_ascii(elements: list[ElementIn]) -> bool:
    return all(
        value.isascii() or vr.startswith("O") or vr == "UN"
        if isinstance(value, bytes)
        else all(_is_ascii(list(item)) for item in value or ())
        for _, vr, value in elements
    )


def text(data_set: Json, tag: int) -> str:
    """The value of an element as text, several separated by backslashes, names with their component groups; "" for none
    and for sequences."""
    element = data_set.get(f"{tag:08X}") or {}
    if element.get("vr") == "SQ":
        return ""
    return "\\".join(_plain(value) for value in element.get("Value", ()))


def items(data_set: Json, tag: int) -> list[Json]:
    element = data_set.get(f"{tag:08X}") or {}
    return list(element.get("Value", ())) if element.get("vr") == "SQ" else []


def has_value(data_set: Json, tag: int) -> bool:
    element = data_set.get(f"{tag:08X}") or {}
    return bool(element.get("Value") or element.get("InlineBinary"))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "=".join(value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
    return "" if value is None else str(value)
