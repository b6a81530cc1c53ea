"""What the form of a rule says -> what somebody wants, and back, with each error beside its field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from apps.routing.attributes import ATTRIBUTES
from apps.routing.conditions import Condition, Operator
from apps.routing.rules import Draft

RANGE: Final = ".."
SEVERAL: Final = ";"
LABELS: Final[Mapping[str, Any]] = {
    "name": _("Name"),
    "when": _("When"),
    "quiet_seconds": _("Seconds of quiet"),
    "match": _("Conditions"),
    "conditions": _("Conditions"),
    "destinations": _("Destinations"),
    "priority": _("Priority"),
}
_ROW: Final = ("attribute", "operator", "values")
_SPARE: Final = 1  # rows that wait to be filled


@dataclass(frozen=True, slots=True)
class Row:
    """A condition as it is typed: `value` has `;` between several, and `..` between the ends of a range; `errors` by
    the name of the field."""

    attribute: str = ""
    operator: str = Operator.IS
    value: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        text, values = self.value.strip(), [self.value.strip()]
        if self.operator == Operator.IN_RANGE:
            low, dots, high = text.partition(RANGE)
            values = [low.strip(), (high if dots else low).strip()]
        elif self.operator in (Operator.IS_ONE_OF, Operator.IS_NONE_OF):
            values = [part.strip() for part in text.split(SEVERAL) if part.strip()]
        elif self.operator in (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY):
            values = [text] if text else []
        return {"attribute": self.attribute, "operator": self.operator, "values": values}


@dataclass(frozen=True, slots=True)
class Problem:
    label: Any
    text: str
    control: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    name: str = ""
    enabled: bool = True
    when: str = "quiet"
    quiet_seconds: str = "60"
    match: str = "all"
    rows: Sequence[Row] = ()
    destinations: Sequence[str] = ()
    stops: bool = False
    priority: str = "0"
    version: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, draft: Draft, *, version: str = "") -> Self:
        return cls(
            name=draft.name,
            enabled=draft.enabled,
            when=draft.when,
            quiet_seconds=str(draft.quiet_seconds),
            match=draft.match,
            rows=[_row(each) for each in draft.conditions],
            destinations=[each.name for each in draft.destinations],
            stops=draft.stops,
            priority=str(draft.priority),
            version=version,
        )

    @classmethod
    def read(cls, said: QueryDict, errors: Mapping[str, str] | None = None) -> Self:
        errors = errors or {}
        typed = zip(*(said.getlist(name) for name in _ROW), strict=False)
        rows = [Row(*each) for each in typed if each[0]]
        return cls(
            name=said.get("name", ""),
            enabled="enabled" in said,
            when=said.get("when", ""),
            quiet_seconds=said.get("quiet_seconds", "").strip(),
            match=said.get("match", "all"),
            rows=[
                Row(row.attribute, row.operator, row.value, _of_row(number, errors)) for number, row in enumerate(rows)
            ],
            destinations=said.getlist("destinations"),
            stops="stops" in said,
            priority=said.get("priority", "").strip(),
            version=said.get("version", ""),
            errors=errors,
        )

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "enabled": self.enabled,
            "when": self.when,
            "quiet_seconds": _number(self.quiet_seconds),
            "match": self.match,
            "conditions": [row.document() for row in self.rows],
            "destinations": list(self.destinations),
            "stops": self.stops,
            "priority": _number(self.priority),
        }

    @property
    def shown(self) -> Sequence[Row]:
        return [*self.rows, *([Row()] * _SPARE)]

    @property
    def problems(self) -> list[Problem]:
        found = []
        for name, text in self.errors.items():
            place, _dot, part = name.partition(".")
            number = int(place[11:-1]) if place.startswith("conditions[") else -1
            if number < 0:
                found.append(Problem(LABELS.get(name, name), text, f"f-{name}"))
            elif number < len(self.rows):
                known = ATTRIBUTES.get(self.rows[number].attribute)
                found.append(Problem(known.label if known else place, text, f"c-{number}-{part or 'attribute'}"))
        return found


def _row(condition: Condition) -> Row:
    separator = RANGE if condition.operator is Operator.IN_RANGE else f"{SEVERAL} "
    return Row(condition.attribute.name, str(condition.operator), separator.join(condition.values))


def _of_row(number: int, errors: Mapping[str, str]) -> Mapping[str, str]:
    start = f"conditions[{number}]"
    of_row = {name[len(start) + 1 :]: text for name, text in errors.items() if name.startswith(start)}
    # `values` of a mapping is something else for a template.
    return {"value" if name == "values" else name or "attribute": text for name, text in of_row.items()}


def _number(text: str) -> int | str:
    """What is none stays a text, which is refused beside its field."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else text
