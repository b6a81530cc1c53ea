"""Matching keys evaluated in memory (PS3.4 C.2.2.2): for small collections, and as the oracle of database lookups."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time

from dicom import moments
from dicom.matching import AnyOf, Either, Empty, Exact, Key, Name, Range, Scalar, Sequence, Universal, Wildcard
from dicom.moments import Moment
from dicom.values import name_groups, name_key

# Decoded: one value, several values, the items of a sequence, or None for an element that is absent.
Value = Scalar | Moment | None | Iterable["Value | Mapping[int, Value]"]


def matches(key: Key, value: Value) -> bool:
    """Whether an attribute of this value matches; one of several values is enough."""
    values = [v for v in _each(value) if v is not None and v != ""]
    if isinstance(key, Universal):
        return True
    if isinstance(key, Empty):
        return not values
    return any(_matches_one(key, one) for one in values)


def _each(value: Value) -> Iterable[Value | Mapping[int, Value]]:
    if isinstance(value, str):
        return [value.strip(" \0")]
    return value if isinstance(value, Iterable) else [value]


def _matches_one(key: Key, value: object) -> bool:
    if isinstance(key, Either):
        return any(_matches_one(part, value) for part in key.keys)
    return _EVALUATORS[type(key)](key, value)


def _exact(key: Exact, value: object) -> bool:
    return _equal(key.value, value)


def _any_of(key: AnyOf, value: object) -> bool:
    return any(_equal(wanted, value) for wanted in key.values)


def _wildcard(key: Wildcard, value: object) -> bool:
    return isinstance(value, str) and key.fits(value)


def _equal(wanted: Scalar, value: object) -> bool:
    if isinstance(value, str) and not isinstance(wanted, str):
        try:
            return float(value) == wanted
        except ValueError:
            return False
    return wanted == value


def _range(key: Range, value: object) -> bool:
    bound = key.low if key.low is not None else key.high
    moment = _moment(value, type(bound))
    if moment is None:
        return False
    return (key.low is None or _before(key.low, moment)) and (key.high is None or _before(moment, key.high))


def _moment(value: object, kind: type) -> Moment | None:
    if isinstance(value, str):
        span = _SPANS[kind](value)
        return span[0] if span else None
    return value if isinstance(value, date | time) and type(value) is kind else None


def _before(one: Moment, other: Moment) -> bool:
    if isinstance(one, datetime) and isinstance(other, datetime) and (one.tzinfo is None or other.tzinfo is None):
        # No offset is local time, whichever that is: compared as the clock on the wall.
        return one.replace(tzinfo=None) <= other.replace(tzinfo=None)
    return one <= other  # type: ignore[operator]  # both of the key's kind


def _name(key: Name, value: object) -> bool:
    if not isinstance(value, str):
        return False
    return all(matches(wanted, name_key(group)) for wanted, group in zip(key.groups, name_groups(value), strict=True))


def _sequence(key: Sequence, item: object) -> bool:
    return isinstance(item, Mapping) and all(matches(wanted, item.get(tag)) for tag, wanted in key.keys)


_SPANS: dict[type, Callable[[str], tuple[Moment, Moment] | None]] = {
    date: moments.day,
    time: moments.time_of_day,
    datetime: moments.point,
}
_EVALUATORS: dict[type, Callable[..., bool]] = {
    AnyOf: _any_of,
    Exact: _exact,
    Name: _name,
    Range: _range,
    Sequence: _sequence,
    Wildcard: _wildcard,
}
