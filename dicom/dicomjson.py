"""The DICOM JSON model (PS3.18 annex F): values of elements as encoded, or as the index keeps them, to JSON."""

import base64
import math
import re
from collections.abc import Callable
from struct import Struct
from typing import Any

from dicom.values import clean_uid, decode, name_groups, parse_number

Json = dict[str, Any]

NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_ONE_TEXT = frozenset({"ST", "LT", "UR", "UT"})  # a backslash belongs to the value (PS3.5 6.2)


def from_bytes(raw: bytes, vr: str, character_sets: tuple[str, ...] = (), *, little_endian: bool = True) -> Json:
    """An element that is no sequence; binary values inline."""
    if vr in BINARY:
        return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode("ascii")} if raw else {"vr": vr}
    order = "<" if little_endian else ">"
    if vr in NUMBERS:
        return _element(vr, _numbers(raw, Struct(order + NUMBERS[vr])))
    if vr == "AT":
        pairs = _numbers(raw, Struct(f"{order}H"))
        return _element(
            vr, [f"{group:04X}{element:04X}" for group, element in zip(pairs[::2], pairs[1::2], strict=False)]
        )
    if vr == "UI":
        return _element(vr, [clean_uid(uid) for uid in decode(raw, (), vr).split("\\")])
    return from_text(decode(raw, character_sets, vr), vr)


def from_text(text: str, vr: str) -> Json:
    """A value that `dicom.values.decode` has read: several separated by backslashes."""
    convert = _CONVERT.get(vr, _text)
    return _element(vr, [convert(value) for value in ([text] if vr in _ONE_TEXT else text.split("\\"))])


def _element(vr: str, values: list[Any]) -> Json:
    return {"vr": vr, "Value": values} if any(value not in (None, "", {}) for value in values) else {"vr": vr}


def _numbers(raw: bytes, number: Struct) -> list[Any]:
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
