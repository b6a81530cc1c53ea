"""A parsed matching key -> a Django Q: the same rows on SQLite and PostgreSQL, through an index where there is one."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from enum import StrEnum
from functools import reduce
from operator import and_, or_
from typing import Any, cast

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Lookup, Q, TextField
from django.db.models.sql.compiler import SQLCompiler

from dicom.errors import InvalidValue
from dicom.matching import AnyOf, Either, Empty, Exact, Key, Name, Range, Universal, Wildcard


class Kind(StrEnum):
    """How the values of an attribute are kept in columns whose names begin with the attribute's."""

    KEY = "key"  # a KeyField: compared byte by byte, so that a prefix is a range of its index
    TEXT = "text"  # collated as the database likes: found by reading rows
    VALUES = "values"  # several values in one column, separated by backslashes
    UID = "uid"
    NAME = "name"  # _key, _ideographic_key, _phonetic_key
    NAMES = "names"  # the same columns, each with the keys of several names separated by backslashes
    ALPHABETIC_NAME = "alphabetic name"  # _key
    DATE = "date"  # _value
    TIME = "time"  # _value
    NUMBER = "number"  # _value
    COUNT = "count"  # the column itself


_ALL_GROUPS = ("_key", "_ideographic_key", "_phonetic_key")
_GROUPS = {Kind.NAME: _ALL_GROUPS, Kind.NAMES: _ALL_GROUPS, Kind.ALPHABETIC_NAME: ("_key",)}
_VALUE = {Kind.DATE: "_value", Kind.TIME: "_value", Kind.NUMBER: "_value", Kind.COUNT: ""}
NOTHING = Q(pk__in=[])


def condition(key: Key, *, kind: Kind, column: str) -> Q:
    """Rows whose `column` (a lookup path) matches `key`. Raises InvalidValue for a key that its kind does not know."""
    if isinstance(key, Universal):
        return Q()
    if isinstance(key, Either):
        return reduce(or_, (condition(part, kind=kind, column=column) for part in key.keys))
    if isinstance(key, Name):
        return _name(key, kind=kind, column=column)
    if isinstance(key, Range):
        return _range(key, f"{column}{_value_suffix(kind)}")
    if kind in _VALUE:
        return _number(key, f"{column}{_value_suffix(kind)}")
    return _text(key, kind=kind, column=column)


def moments(key: Range, *, date_column: str, time_column: str) -> Q:
    """Rows whose date and time together lie in a range of datetimes (PS3.4 C.2.2.2.5.4); columns without `_value`.

    A row without a time matches only where the whole of its day does.
    """
    bounds = []
    for moment, after, day_ends in ((key.low, "gt", time.min), (key.high, "lt", time.max)):
        if moment is None:
            continue
        if not isinstance(moment, datetime):
            raise InvalidValue("not a range of date times")
        day, of_day = Q(**{f"{date_column}_value__{after}e": moment.date()}), Q()
        if moment.time() != day_ends:
            of_day = Q(**{f"{date_column}_value__{after}": moment.date()})
            of_day |= Q(**{f"{time_column}_value__{after}e": moment.time()})
        bounds.append(day & of_day)
    return reduce(and_, bounds, Q())


def prefix_range(column: str, prefix: str) -> Q:
    """Values of a KeyField that begin with `prefix`."""
    end = _successor(prefix)
    return Q(**{f"{column}__gte": prefix}) & (Q(**{f"{column}__lt": end}) if end else Q())


def _successor(prefix: str) -> str:
    """The least text after all that begin with `prefix`, by code points, which is the order of UTF-8; "" if none."""
    while prefix:
        following = ord(prefix[-1]) + 1
        if following == 0xD800:
            following = 0xE000  # surrogates are no characters
        if following <= 0x10FFFF:
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return ""


def _value_suffix(kind: Kind) -> str:
    if kind not in _VALUE:
        raise InvalidValue("a range of what has no order")
    return _VALUE[kind]


def _range(key: Range, column: str) -> Q:
    limits = {f"{column}__gte": key.low, f"{column}__lte": key.high}
    if key.low is not None and key.low == key.high and type(key.low) is date:
        return Q(**{column: key.low})  # one day: an index on (date, id) yields it in order of id
    return Q(**{name: limit for name, limit in limits.items() if limit is not None})


def _number(key: Key, column: str) -> Q:
    if isinstance(key, Exact):
        return Q(**{column: key.value})
    if isinstance(key, AnyOf):
        return Q(**{f"{column}__in": key.values})
    raise InvalidValue("a pattern of what is no text")


def _name(key: Name, *, kind: Kind, column: str) -> Q:
    suffixes = _GROUPS.get(kind)
    if suffixes is None:
        raise InvalidValue("a name for what is none")
    found = Q()
    for number, group in enumerate(key.groups):
        if isinstance(group, Universal):
            continue
        if number >= len(suffixes):
            return NOTHING  # a group that is not kept
        kept = Kind.VALUES if kind is Kind.NAMES else Kind.KEY
        found &= condition(group, kind=kept, column=column + suffixes[number])
    return found


def _text(key: Key, *, kind: Kind, column: str) -> Q:
    if isinstance(key, Empty):
        return Q(**{column: ""})
    if isinstance(key, Exact):
        found = Q(**{column: key.value})
        return found | Q(**{f"{column}__holds": key.value}) if kind is Kind.VALUES else found
    if isinstance(key, AnyOf):
        found = Q(**{f"{column}__any_of": key.values})
        return found | Q(**{f"{column}__holds_any_of": key.values}) if kind is Kind.VALUES else found
    if isinstance(key, Wildcard):
        return _wildcard(key, kind=kind, column=column)
    raise InvalidValue("the key does not fit the attribute")


def _wildcard(key: Wildcard, *, kind: Kind, column: str) -> Q:
    if kind is Kind.VALUES:
        return Q(**{f"{column}__holds_pattern": key.pattern})
    narrowed = prefix_range(column, key.prefix) if kind is Kind.KEY and key.prefix else Q()
    if kind is Kind.KEY and key.is_prefix:
        return narrowed
    return narrowed & Q(**{f"{column}__pattern": key.pattern})


class _TextLookup(Lookup):
    """The right-hand side is passed as it is; `sqlite` and `postgresql` are the two wordings of one condition."""

    prepare_rhs = False
    sqlite = ""
    postgresql = ""

    def get_db_prep_lookup(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return "%s", [self.parameter(value, sqlite=connection.vendor == "sqlite")]

    @classmethod
    def parameter(cls, value: Any, *, sqlite: bool) -> Any:
        raise NotImplementedError

    @classmethod
    def wording(cls, lhs: str, rhs: str, *, sqlite: bool) -> str:
        return (cls.sqlite if sqlite else cls.postgresql).replace("LHS", lhs).replace("RHS", rhs)

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> Any:
        lhs, lhs_parameters = self.process_lhs(compiler, connection)
        rhs, rhs_parameters = self.process_rhs(compiler, connection)
        return self.wording(lhs, rhs, sqlite=connection.vendor == "sqlite"), [*lhs_parameters, *rhs_parameters]


class _Pattern(_TextLookup):
    """`*` and `?` as in DICOM. SQLite's LIKE ignores case, its GLOB does not and has the same two characters."""

    lookup_name = "pattern"
    sqlite = "LHS GLOB RHS"
    postgresql = "LHS LIKE RHS"

    @classmethod
    def parameter(cls, value: str, *, sqlite: bool) -> str:
        if sqlite:
            return value.replace("[", "[[]")
        for literal in "\\%_":
            value = value.replace(literal, f"\\{literal}")
        return value.replace("*", "%").replace("?", "_")


class _AnyOf(_TextLookup):
    """One parameter however many values: databases limit the number of parameters of a statement."""

    lookup_name = "any_of"
    sqlite = "LHS IN (SELECT value FROM json_each(RHS))"
    postgresql = "LHS = ANY(RHS::text[])"

    @classmethod
    def parameter(cls, value: Iterable[str], *, sqlite: bool) -> Any:
        return json.dumps(list(value)) if sqlite else list(value)


# Few rows have several values: an index of those alone finds them.
_SEVERAL = r"LHS LIKE '%%\\%%'"


class _Holds(_TextLookup):
    """One of the several values that backslashes separate; a single one is compared as such, by its index."""

    lookup_name = "holds"
    sqlite = r"instr('\' || LHS || '\', RHS) > 0"
    postgresql = rf"({_SEVERAL} AND strpos('\' || LHS || '\', RHS) > 0)"

    @classmethod
    def parameter(cls, value: str, *, sqlite: bool) -> str:
        return f"\\{value}\\"


class _HoldsAnyOf(_AnyOf):
    lookup_name = "holds_any_of"
    sqlite = (
        r"EXISTS (SELECT 1 FROM json_each(RHS) wanted WHERE instr('\' || LHS || '\', '\' || wanted.value || '\') > 0)"
    )
    postgresql = rf"({_SEVERAL} AND string_to_array(LHS, '\') && RHS::text[])"


class _HoldsPattern(_Pattern):
    lookup_name = "holds_pattern"
    # A JSON text writes each separating backslash twice, and no other.
    sqlite = (
        r"EXISTS (SELECT 1 FROM json_each('[' || replace(json_quote(LHS), '\\', '" + '","' + r"') || ']') held"
        r" WHERE held.value GLOB RHS)"
    )
    postgresql = r"EXISTS (SELECT 1 FROM unnest(string_to_array(LHS, '\')) held WHERE held LIKE RHS)"


_LOOKUPS = (_Pattern, _AnyOf, _Holds, _HoldsAnyOf, _HoldsPattern)
for _lookup in _LOOKUPS:
    CharField.register_lookup(_lookup)
    TextField.register_lookup(_lookup)

_TEXT_LOOKUPS = {lookup.lookup_name: lookup for lookup in _LOOKUPS}
_COMPARISONS = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def as_sql(found: Q, columns: Mapping[str, str], *, sqlite: bool) -> tuple[str, list[Any]]:
    """A condition that this module made, as text and parameters for a statement written by hand, where the ORM's making
    of it costs more than its answer. `columns`: SQL of each lookup path."""
    parts, parameters = [], []
    for child in found.children:
        if isinstance(child, Q):
            text, values = as_sql(child, columns, sqlite=sqlite)
        else:
            lookup, value = cast("tuple[str, Any]", child)
            text, values = _compared(lookup, value, columns, sqlite=sqlite)
        parts.append(text)
        parameters += values
    if not parts:
        return "1 = 1", []
    text = f" {found.connector} ".join(parts)
    return (f"NOT ({text})" if found.negated else f"({text})"), parameters


def _compared(lookup: str, value: Any, columns: Mapping[str, str], *, sqlite: bool) -> tuple[str, list[Any]]:
    path, _, name = (lookup, "", "exact") if lookup in columns else lookup.rpartition("__")
    if name == "in":
        return (f"{columns[path]} IN ({', '.join(['%s'] * len(value))})", list(value)) if value else ("1 = 0", [])
    if name in _TEXT_LOOKUPS:
        text = _TEXT_LOOKUPS[name]
        return text.wording(columns[path], "%s", sqlite=sqlite), [text.parameter(value, sqlite=sqlite)]
    if not sqlite and type(value) is date:
        # In the statement itself: PostgreSQL knows how many rows a day has, and keeps one plan for all who ask for it.
        return f"{columns[path]} {_COMPARISONS[name]} DATE '{value.isoformat()}'", []
    # SQLite knows no dates and times: they are kept as they are written here, which is in their order.
    return f"{columns[path]} {_COMPARISONS[name]} %s", [
        str(value) if sqlite and isinstance(value, date | time) else value
    ]
