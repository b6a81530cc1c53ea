"""Conditions of rules: checked when a rule is saved, read by people, asked of images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from django.utils.translation import gettext_lazy as _

from apps.routing.attributes import ATTRIBUTES, Attribute, Form, Value, comparable

MOST: Final = 50
MOST_VALUES: Final = 1000
LONGEST: Final = 256
MOST_WILD_CARDS: Final = 20


class Operator(StrEnum):
    IS = "is"
    IS_NOT = "is_not"
    CONTAINS = "contains"
    BEGINS_WITH = "begins_with"
    MATCHES = "matches"
    IS_ONE_OF = "is_one_of"
    IS_NONE_OF = "is_none_of"
    IS_EMPTY = "is_empty"
    IS_NOT_EMPTY = "is_not_empty"
    IN_RANGE = "in_range"


LABELS: Final[Mapping[Operator, Any]] = {
    Operator.IS: _("is"),
    Operator.IS_NOT: _("is not"),
    Operator.CONTAINS: _("contains"),
    Operator.BEGINS_WITH: _("begins with"),
    Operator.MATCHES: _("matches (* ?)"),
    Operator.IS_ONE_OF: _("is one of"),
    Operator.IS_NONE_OF: _("is none of"),
    Operator.IS_EMPTY: _("is empty"),
    Operator.IS_NOT_EMPTY: _("is not empty"),
    Operator.IN_RANGE: _("is in range"),
}
_WITHOUT_VALUE: Final = (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY)
_SEVERAL: Final = (Operator.IS_ONE_OF, Operator.IS_NONE_OF)
_OF_TEXT: Final = (Operator.CONTAINS, Operator.BEGINS_WITH, Operator.MATCHES)
_NEGATED: Final[Mapping[Operator, Operator]] = {
    Operator.IS_NOT: Operator.IS,
    Operator.IS_NONE_OF: Operator.IS_ONE_OF,
    Operator.IS_EMPTY: Operator.IS_NOT_EMPTY,
}
_ORDERED: Final = (Form.DATE, Form.NUMBER)
_WHAT: Final = {Form.DATE: "a day such as 2026-11-27", Form.NUMBER: "a whole number"}

Errors = dict[str, str]


@dataclass(frozen=True, slots=True)
class Condition:
    """`values` as they were written; of a range its two ends, each of which may be empty."""

    attribute: Attribute
    operator: Operator
    values: tuple[str, ...]
    wanted: tuple[Value | None, ...]

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Of a row that was checked."""
        attribute, operator = ATTRIBUTES[document["attribute"]], Operator(document["operator"])
        values = tuple(document["values"])
        return cls(attribute, operator, values, tuple(_comparable(attribute, operator, each) for each in values))

    def holds(self, stored: object) -> bool:
        """Of several values one is enough; what is negated must hold of none."""
        positive = _NEGATED.get(self.operator)
        return self._holds(positive or self.operator, self.attribute.values(stored)) is (positive is None)

    def _holds(self, operator: Operator, found: Sequence[Value]) -> bool:
        return any(_TESTS[operator](value, self.wanted) for value in found)

    def __str__(self) -> str:
        said = " .. ".join(self.values) if self.operator is Operator.IN_RANGE else ", ".join(self.values)
        return f"{self.attribute.label} {LABELS[self.operator]} {said}".rstrip()

    def document(self) -> dict[str, Any]:
        return {"attribute": self.attribute.name, "operator": str(self.operator), "values": list(self.values)}


def read(rows: Sequence[Mapping[str, Any]]) -> list[Condition]:
    return [Condition.read(row) for row in rows]


def check(said: Any, errors: Errors) -> list[Condition]:
    """Of what somebody wants; what is wrong with it goes into `errors`, by the place of the field."""
    if not isinstance(said, list):
        errors["conditions"] = "a list is needed"
        return []
    if len(said) > MOST:
        errors["conditions"] = f"at most {MOST}"
        return []
    found = [_checked(each, f"conditions[{number}]", errors) for number, each in enumerate(said)]
    return [each for each in found if each is not None]


def fits(attribute: Attribute, operator: Operator) -> bool:
    ordered = attribute.form in _ORDERED
    return not ordered if operator in _OF_TEXT else ordered or operator is not Operator.IN_RANGE


def _checked(said: Any, place: str, errors: Errors) -> Condition | None:
    if not isinstance(said, dict) or set(said) - {"attribute", "operator", "values"}:
        errors[place] = "an object with attribute, operator and values is needed"
        return None
    attribute = ATTRIBUTES.get(said["attribute"]) if isinstance(said.get("attribute"), str) else None
    if attribute is None:
        errors[f"{place}.attribute"] = f"{str(said.get('attribute'))[:64]!r} is none of those that conditions may name"
        return None
    if said.get("operator") not in list(Operator):
        errors[f"{place}.operator"] = f"one of {', '.join(Operator)}"
        return None
    operator = Operator(said["operator"])
    if not fits(attribute, operator):
        errors[f"{place}.operator"] = f"{attribute.label} is a {attribute.form}: it cannot be asked so"
        return None
    values = said.get("values", [])
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        errors[f"{place}.values"] = "a list of texts is needed"
        return None
    values = [each.strip() for each in values]
    if wrong := _wrong(attribute, operator, values):
        errors[f"{place}.values"] = wrong
        return None
    return Condition.read({"attribute": attribute.name, "operator": operator, "values": values})


def _wrong(attribute: Attribute, operator: Operator, values: list[str]) -> str:
    """What is wrong with the values; nothing when they can stand."""
    low, high = (0, 0) if operator in _WITHOUT_VALUE else (1, MOST_VALUES) if operator in _SEVERAL else (1, 1)
    if operator is Operator.IN_RANGE:
        low = high = 2
    if not low <= len(values) <= high:
        return _how_many(low, high)
    if any(len(each) > LONGEST or any(letter < " " for letter in each) for each in values):
        return f"at most {LONGEST} characters, no control characters"
    if operator is Operator.MATCHES and values[0].count("*") > MOST_WILD_CARDS:
        return f"at most {MOST_WILD_CARDS} asterisks"
    if operator is Operator.IN_RANGE:
        return _wrong_range(attribute, values)
    if any(_comparable(attribute, operator, each) is None for each in values):
        return f"{_WHAT.get(attribute.form, 'a value')} is needed"
    return ""


def _how_many(low: int, high: int) -> str:
    if not high:
        return "no value is needed"
    return "a value is needed" if high == 1 else f"{low} to {high} values are needed"


def _wrong_range(attribute: Attribute, values: list[str]) -> str:
    ends = [comparable(attribute.form, each) if each else None for each in values]
    if any(each and end is None for each, end in zip(values, ends, strict=True)):
        return f"{_WHAT[attribute.form]} is needed at each end, or nothing"
    if ends == [None, None]:
        return "an end at least is needed"
    if None not in ends and ends[0] > ends[1]:  # type: ignore[operator]
        return "the end is before the beginning"
    return ""


def _comparable(attribute: Attribute, operator: Operator, text: str) -> Value | None:
    if operator in _OF_TEXT and text:
        # A part of a name need not be one: `name_key` would drop what separates its components.
        return text if attribute.form is Form.CODE else comparable(Form.TEXT, text)
    return comparable(attribute.form, text) if text else None


def matches(text: str, pattern: str) -> bool:
    """`*` is any text, `?` any character (PS3.4 C.2.2.2.4). No step is taken back further than to the last `*`."""
    at = here = 0
    star, mark = -1, 0
    while at < len(text):
        if here < len(pattern) and pattern[here] == "*":
            star, mark = here, at
            here += 1
        elif here < len(pattern) and pattern[here] in ("?", text[at]):
            at, here = at + 1, here + 1
        elif star >= 0:
            mark += 1
            at, here = mark, star + 1
        else:
            return False
    return not pattern[here:].strip("*")


def _in_range(value: Any, ends: Sequence[Any]) -> bool:
    return (ends[0] is None or ends[0] <= value) and (ends[1] is None or value <= ends[1])


_TESTS: Final[Mapping[Operator, Callable[[Any, Sequence[Any]], bool]]] = {
    Operator.IS: lambda value, wanted: value == wanted[0],
    Operator.CONTAINS: lambda value, wanted: wanted[0] in value,
    Operator.BEGINS_WITH: lambda value, wanted: value.startswith(wanted[0]),
    Operator.MATCHES: lambda value, wanted: matches(value, wanted[0]),
    Operator.IS_ONE_OF: lambda value, wanted: value in wanted,
    Operator.IS_NOT_EMPTY: lambda value, wanted: True,
    Operator.IN_RANGE: _in_range,
}
