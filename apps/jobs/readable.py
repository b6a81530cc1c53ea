"""What a job was asked for and what came of it, as people read it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dicom.values import is_uid

SHOWN: Final = 10  # values of one name
_STUDIES: Final = ("study_instance_uid", "study_instance_uids")
_ABBREVIATIONS: Final = {"uid": "UID", "uids": "UIDs", "id": "ID", "ids": "IDs", "ae": "AE", "sop": "SOP", "url": "URL"}


@dataclass(frozen=True, slots=True)
class Named:
    """`more`: values that are not shown; `studies`: those shown are studies to be opened."""

    name: str
    values: Sequence[str] = field(default_factory=tuple)
    more: int = 0
    studies: bool = False


def lines(said: Mapping[str, Any]) -> Iterator[Named]:
    for name, value in said.items():
        values = value if isinstance(value, list) else [value]
        shown = [text(each) for each in values[:SHOWN]]
        studies = name in _STUDIES and all(is_uid(each) for each in shown)
        yield Named(label(name), shown, len(values) - len(shown), studies)


def label(name: str) -> str:
    words = [_ABBREVIATIONS.get(word, word) for word in name.split("_") if word]
    joined = " ".join(words)
    return joined[:1].upper() + joined[1:]


def text(value: Any) -> str:
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return "; ".join(f"{name}: {text(inner)}" for name, inner in value.items()) or "–"
        case list():
            return ", ".join(text(inner) for inner in value[:SHOWN]) + (" …" if len(value) > SHOWN else "") or "–"
        case float():
            return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
    return str(value)
