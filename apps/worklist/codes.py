"""Items of code sequences as flat JSON: their usual parts by name, others by tag as DICOM JSON has them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from apps.worklist.attributes import snake_case
from dicom.dicomjson import Json
from dicom.dictionary import tag_of

# PS3.3 Table 8.8-1, as far as codes of orders go.
_CODE: Final[Mapping[str, tuple[str, str]]] = {
    snake_case(keyword): (f"{tag_of(keyword):08X}", vr)
    for keyword, vr in (
        ("CodeValue", "SH"),
        ("CodingSchemeDesignator", "SH"),
        ("CodingSchemeVersion", "SH"),
        ("CodeMeaning", "LO"),
    )
}
_LONGEST: Final = {"SH": 16, "LO": 64}
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_CODE_NAMES: Final = {tag: name for name, (tag, _) in _CODE.items()}


def shown(item: Json) -> Json:
    return {
        _CODE_NAMES.get(tag, tag): _first(element) if tag in _CODE_NAMES else element for tag, element in item.items()
    }


def _first(element: Any) -> Any:
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if values else ""


def read(item: Any) -> Json:
    """Raises ValueError."""
    if not isinstance(item, dict):
        raise ValueError(f"a code has {', '.join(_CODE)}")
    named = {name: value for name, value in item.items() if not _TAG.fullmatch(name)}
    if unknown := sorted(named.keys() - _CODE.keys()):
        raise ValueError(f"no part of a code: {unknown[0][:64]}")
    if not all(isinstance(part, str) for part in named.values()):
        raise ValueError("each part of a code is a text")
    parts = {
        tag: {"vr": vr, "Value": [_part(named[name], vr)]}
        for name, (tag, vr) in _CODE.items()
        if named.get(name, "").strip()
    }
    return {tag.upper(): element for tag, element in item.items() if tag not in named} | parts


def _part(text: str, vr: str) -> str:
    most = _LONGEST[vr]
    if len(text.strip()) > most:
        raise ValueError(f"longer than {most} characters: {text[:20]}...")
    if any(character < " " or character in "\\\x7f" for character in text):
        raise ValueError("a code holds no control character and no backslash")
    return text.strip()
