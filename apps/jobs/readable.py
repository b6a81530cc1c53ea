"""What a job was asked for and what came of it, as people read it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, Final, Self

from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from apps.jobs import cron
from dicom.values import is_uid

SHOWN: Final = 10  # values of one name
_STUDIES: Final = ("study_instance_uid", "study_instance_uids")
UNITS: Final[Mapping[str, int]] = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}
_BYTES: Final = ("size", "bytes")
_ABBREVIATIONS: Final = {"uid": "UID", "uids": "UIDs", "id": "ID", "ids": "IDs", "ae": "AE", "sop": "SOP", "url": "URL"}
_NAMES: Final = {"units": "Studies, series and instances", "by": "Retrieved by"}


@dataclass(frozen=True, slots=True)
class Named:
    """`more`: values that are not shown; `studies`: those shown are studies to be opened."""

    name: str
    values: Sequence[str] = field(default_factory=tuple)
    more: int = 0
    studies: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a job has made and that somebody may take away: its result names `file`, `size` and `expires_at`."""

    size: int
    expires_at: datetime

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Self | None:
        if not {"file", "size", "expires_at"} <= result.keys():
            return None
        return cls(result["size"], datetime.fromisoformat(result["expires_at"]))

    @property
    def expired(self) -> bool:
        return self.expires_at <= timezone.now()


def lines(said: Mapping[str, Any]) -> Iterator[Named]:
    """Nothing of a name that was left to its default."""
    for name, value in said.items():
        if value == "":
            continue
        values = value if isinstance(value, list) else [value]
        shown = [_of(name, each) for each in values[:SHOWN]]
        studies = name in _STUDIES and all(is_uid(each) for each in shown)
        yield Named(label(name), shown, len(values) - len(shown), studies)


def times(*, every: int | None, at: time | None, expression: str) -> str:
    """When a schedule fires."""
    if expression:
        return cron.described(expression)
    if at is not None:
        return gettext("Each day at %s") % f"{at:%H:%M}"
    number, unit = in_units(every or 1)
    said = {
        "days": ngettext("Every day", "Every %(number)s days", number),
        "hours": ngettext("Every hour", "Every %(number)s hours", number),
        "minutes": ngettext("Every minute", "Every %(number)s minutes", number),
        "seconds": ngettext("Every second", "Every %(number)s seconds", number),
    }
    return said[unit] % {"number": number}


def in_units(seconds: int) -> tuple[int, str]:
    """Of the largest unit that says it whole."""
    unit = next(unit for unit, length in UNITS.items() if seconds % length == 0)
    return seconds // UNITS[unit], unit


def _of(name: str, value: Any) -> str:
    if name in _BYTES and isinstance(value, int):
        return filesizeformat(value).replace("\xa0", " ")
    if name.endswith("_at") and isinstance(value, str):
        try:
            return f"{timezone.localtime(datetime.fromisoformat(value)):%Y-%m-%d %H:%M:%S}"
        except ValueError:
            return value
    return text(value)


def label(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
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
