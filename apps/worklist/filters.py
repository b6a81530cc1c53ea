"""What the list of steps shows: filters of a URL -> a search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, Final, Self
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.worklist import search
from apps.worklist.choices import OF_OPEN, OPEN
from apps.worklist.search import Position, Search

TODAY: Final = "today"
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Quick:
    """A choice of days in one click; `days` after today, first and last."""

    word: Any
    days: tuple[int, int] | None


WHEN: Final[Mapping[str, Quick]] = {
    "yesterday": Quick(_("Yesterday"), (-1, -1)),
    TODAY: Quick(_("Today"), (0, 0)),
    "tomorrow": Quick(_("Tomorrow"), (1, 1)),
    "week": Quick(_("7 days"), (0, 6)),
    ALL: Quick(_("All"), None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """As the URL says it. Days named win over a quick choice; neither: today."""

    text: str = ""
    when: str = ""
    since: str = ""
    until: str = ""
    station: str = ""
    modality: str = ""
    status: str = ""
    after: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> Self:
        texts: dict[str, Any] = {each.name: params.get(each.name, "").strip()[:256] for each in fields(cls)}
        days = texts["since"] or texts["until"]
        when = texts["when"] if texts["when"] in WHEN else TODAY
        return cls(**{**texts, "when": "" if days else when})

    def address(self, **changes: str) -> str:
        """The query string of these filters, with some changed; what goes without saying is left out."""
        values = {each.name: getattr(self, each.name) for each in fields(self)} | changes
        kept = {name: value for name, value in values.items() if value and (name, value) != ("when", TODAY)}
        return f"?{urlencode(kept)}" if kept else "?"

    @property
    def is_narrowed(self) -> bool:
        """Beside its days."""
        return bool(self.text or self.station or self.modality or self.status)

    @property
    def days(self) -> str:
        """As a range of DICOM; empty: all."""
        if self.since or self.until:
            return f"{_digits(self.since)}-{_digits(self.until)}"
        return _from_today(WHEN[self.when or TODAY].days)

    @property
    def position(self) -> Position | None:
        """Raises InvalidFilter."""
        try:
            return Position.read(self.after) if self.after else None
        except ValueError:
            raise search.InvalidFilter({"after": "no position of this list"}) from None

    def search(self) -> Search:
        """Raises InvalidFilter."""
        asked = {name: [read(getattr(self, name))] for name, read in _KEYS.items()}
        asked["scheduled_procedure_step_start_date"] = [self.days]
        return replace(search.read(asked), begun=self.text)


def day_of(text: str) -> date:
    """Today, if it says no other."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return timezone.localdate()


def _from_today(days: tuple[int, int] | None) -> str:
    if days is None:
        return ""
    first, last = (timezone.localdate() + timedelta(days=number) for number in days)
    return f"{first:%Y%m%d}-{last:%Y%m%d}"


def _digits(text: str) -> str:
    return text.replace("-", "")


def _statuses(text: str) -> str:
    return ",".join(OF_OPEN) if text == OPEN else text


_KEYS: Final[Mapping[str, Callable[[str], str]]] = {
    "station": str,
    "modality": str.upper,
    "status": _statuses,
}
