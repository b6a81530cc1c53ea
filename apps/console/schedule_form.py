"""What the form of a schedule says -> the schedule, and back, with each error beside its field."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, Final, Self

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.dateparse import parse_time
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.rest import InvalidRequest
from apps.jobs import cron, kind, readable, schedules
from apps.jobs.models import Schedule
from apps.network.calling import peers_to_call
from apps.network.models import DicomwebServer
from apps.routing.models import RoutingRule

WHEN: Final = (
    ("at", gettext_lazy("Each day at a time")),
    ("every", gettext_lazy("Again after some time")),
    ("cron", gettext_lazy("At times as cron has them")),
)
UNITS: Final[Mapping[str, Any]] = {
    "minutes": gettext_lazy("minutes"),
    "hours": gettext_lazy("hours"),
    "days": gettext_lazy("days"),
    "seconds": gettext_lazy("seconds"),
}
_LABELS: Final[Mapping[str, Any]] = {
    "name": gettext_lazy("Name"),
    "kind": gettext_lazy("Job"),
    "every": gettext_lazy("Again after"),
    "at": gettext_lazy("Time of day"),
    "cron": gettext_lazy("Cron"),
    "more": gettext_lazy("Further arguments"),
}
_LONGEST: Final = (1 << 31) - 1  # seconds
_SHAPES: Final[Mapping[type, str]] = {bool: "flag", int: "number", str: "text", list: "lines", dict: "pairs"}


@dataclass(frozen=True, slots=True)
class Argument:
    """Of a job, as it is typed: lists by line, mappings by line with a colon. `choices`: where only some make sense."""

    name: str
    shape: str
    value: str
    example: str
    error: str = ""
    choices: Sequence[tuple[str, str]] = ()

    @property
    def label(self) -> str:
        return readable.label(self.name)

    def read(self) -> Any:
        """None: not said."""
        text = self.value.strip()
        if self.shape == "flag":
            return bool(text)
        if not text:
            return None
        if self.shape == "lines":
            return text.split()
        if self.shape == "pairs":
            pairs = (line.partition(":") for line in text.splitlines() if line.strip())
            return {name.strip(): value.strip() for name, _colon, value in pairs}
        return int(text) if self.shape == "number" and _is_whole(text) else text


@dataclass(frozen=True, slots=True)
class Problem:
    label: Any
    text: str
    control: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """`said`: what is typed for the arguments of the job, by their name; `more`: JSON of those that have no field."""

    name: str = ""
    kind: str = ""
    when: str = "at"
    every: str = "1"
    unit: str = "hours"
    at: str = "02:30"
    cron: str = ""
    enabled: bool = True
    said: Mapping[str, str] = field(default_factory=dict)
    more: str = ""
    version: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Schedule, *, version: str) -> Self:
        number, unit = readable.in_units(row.every or readable.UNITS["hours"])
        shown = {
            name: text for name, value in row.arguments.items() if (text := _typed(row.kind, name, value)) is not None
        }
        rest = {name: value for name, value in row.arguments.items() if name not in shown}
        return cls(
            name=row.name,
            kind=row.kind,
            when="cron" if row.cron else "at" if row.at else "every",
            every=str(number),
            unit=unit,
            at=f"{row.at:%H:%M}" if row.at else "",
            cron=row.cron,
            enabled=row.enabled,
            said=shown,
            more=json.dumps(rest, ensure_ascii=False) if rest else "",
            version=version,
        )

    @classmethod
    def read(cls, params: QueryDict, errors: Mapping[str, str] | None = None) -> Self:
        texts = ("name", "kind", "when", "every", "unit", "at", "cron", "more", "version")
        return cls(
            **{name: params.get(name, "").strip() for name in texts if name in params},
            enabled="enabled" in params,
            said={name[2:]: params.get(name, "") for name in params if name.startswith("a-")},
            errors=errors or {},
        )

    @property
    def arguments(self) -> list[Argument]:
        known = kind.kinds().get(self.kind)
        example = known.example if known else {}
        choices = _choices()
        return [
            Argument(
                name,
                _SHAPES[type(value)],
                self.said.get(name, ""),
                _written(value),
                self.errors.get(name, ""),
                choices.get(name, ()),
            )
            for name, value in example.items()
        ]

    @property
    def problems(self) -> list[Problem]:
        fields = {argument.name: argument.label for argument in self.arguments}
        return [
            Problem(
                fields.get(name) or _LABELS.get(name, "" if name == "body" else name),
                text,
                f"a-{name}" if name in fields else f"f-{name}" if name in _LABELS else "",
            )
            for name, text in self.errors.items()
        ]

    def fill(self, row: Schedule) -> None:
        """Raises InvalidRequest."""
        errors: dict[str, str] = {}
        row.name, row.enabled = self.name, self.enabled
        try:
            row.every, row.at, row.cron = self.times()
        except InvalidRequest as error:
            errors |= error.errors
        if row.pk is None or row.principal is not None:
            row.kind = self.kind
            try:
                row.arguments = self._said()
            except InvalidRequest as error:
                errors |= error.errors
        if errors:
            raise InvalidRequest(errors)

    def times(self) -> tuple[int | None, time | None, str]:
        """Seconds between two, the time of day, the expression: one of them. Raises InvalidRequest."""
        if self.when == "cron":
            if not self.cron:
                raise InvalidRequest({"cron": _("Such as 30 2 * * 1-5: at half past two on weekdays.")})
            return None, None, self.cron
        if self.when == "at":
            found = _time(self.at)
            if found is None:
                raise InvalidRequest({"at": _("A time of day, such as 02:30.")})
            return None, found, ""
        seconds = int(self.every) * readable.UNITS.get(self.unit, 60) if _is_whole(self.every) else 0
        if not 0 < seconds <= _LONGEST:
            raise InvalidRequest({"every": _("A whole number, at least 1.")})
        return seconds, None, ""

    def next_times(self) -> list[datetime]:
        """Raises InvalidRequest."""
        every, at, expression = self.times()
        if expression:
            try:
                cron.validate(expression)
            except ValidationError as error:
                raise InvalidRequest({"cron": " ".join(error.messages)}) from error
        return schedules.upcoming(every=every, at=at, expression=expression)

    def _said(self) -> dict[str, Any]:
        more: Any = {}
        if self.more:
            try:
                more = json.loads(self.more)
            except ValueError:
                more = None
            if not isinstance(more, dict):
                raise InvalidRequest({"more": _('JSON, such as {"by": "move"}.')})
        read = ((argument.name, argument.read()) for argument in self.arguments)
        return {**{name: value for name, value in read if value is not None}, **more}


def _typed(kind_name: str, name: str, value: Any) -> str | None:
    """None where no field takes it."""
    known = kind.kinds().get(kind_name)
    example = known.example.get(name) if known else None
    if example is None or type(example) is not type(value):
        return None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return _written(value) if all(isinstance(each, str) for each in inner) else None


def _written(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else ""
        case list():
            return "\n".join(str(each) for each in value)
        case dict():
            return "\n".join(f"{name}: {each}" for name, each in value.items())
    return str(value)


def _choices() -> Mapping[str, Sequence[tuple[str, str]]]:
    return {
        "peer": [(peer.name, f"{peer.name} ({peer.ae_title}, {peer.host})") for peer in peers_to_call()],
        "server": [(name, name) for name in DicomwebServer.objects.order_by("name").values_list("name", flat=True)],
        "rule": [(str(key), name) for key, name in RoutingRule.objects.order_by("position").values_list("pk", "name")],
    }


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _time(text: str) -> time | None:
    try:
        return parse_time(text)
    except ValueError:
        return None
