"""A query -> rows, page by page, by start: statements written by hand, each short and walking an index. Their making by
the ORM costs more than they do."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, reduce
from operator import or_
from typing import Any, Final, Self

from django.db import connection
from django.db.models import Model, Q

from apps.accounts.principal import Principal
from apps.lookups import Kind, as_sql, condition, moments
from apps.network.database import fetched
from apps.network.models import STATUSES_SHOWN
from apps.network.rules import PeerRules
from apps.worklist.attributes import BY_NAME, PATHS, Attribute, Level
from apps.worklist.models import (
    ImagingServiceRequest,
    OrderChanges,
    RequestedProcedure,
    ScheduledProcedureStep,
    Visit,
    WorklistPatient,
)
from apps.worklist.query import ON_THE_WIRE, STATUS, Condition, Query
from dicom import matching
from dicom.evaluate import matches
from dicom.matching import AnyOf, Either, Exact, Key, Name, Range, Wildcard
from dicom.sop_classes import Service

FIRST_PAGE: Final = 150  # a day of one modality; the first answer does not wait for more
PAGE: Final = 500
Row = tuple[Any, ...]

_DATE: Final = BY_NAME["scheduled_procedure_step_start_date"]
_TIME: Final = BY_NAME["scheduled_procedure_step_start_time"]
_STATION: Final = BY_NAME["scheduled_station_ae_title"]
_MODELS: Final[Mapping[Level, tuple[str, type[Model]]]] = {
    Level.STEP: ("s", ScheduledProcedureStep),
    Level.PROCEDURE: ("p", RequestedProcedure),
    Level.REQUEST: ("r", ImagingServiceRequest),
    Level.PATIENT: ("a", WorklistPatient),
    Level.VISIT: ("v", Visit),
}
_TABLE: Final = {alias: f"{model._meta.db_table} {alias}" for alias, model in _MODELS.values()}
_VISIT: Final = f"LEFT JOIN {_TABLE['v']} ON v.id = r.visit_id"
_DOWN: Final = f"CROSS JOIN {_TABLE['p']} ON p.imaging_service_request_id = r.id"
_PATIENT: Final = f"JOIN {_TABLE['a']} ON a.id = r.patient_id"
_FROM: Final = (
    f"{_TABLE['s']} JOIN {_TABLE['p']} ON p.id = s.requested_procedure_id"
    f" JOIN {_TABLE['r']} ON r.id = p.imaging_service_request_id JOIN {_TABLE['a']} ON a.id = r.patient_id {_VISIT}"
)
# Without statistics SQLite would rather walk all steps by start than find the few of a patient. It joins what is called
# CROSS as it is written: from the level whose key names few.
_FROM_ABOVE: Final[Mapping[Level, str]] = {
    level: f"{first} CROSS JOIN {_TABLE['s']} ON s.requested_procedure_id = p.id {rest}"
    for level, first, rest in (
        (Level.PATIENT, f"{_TABLE['a']} CROSS JOIN {_TABLE['r']} ON r.patient_id = a.id {_DOWN}", _VISIT),
        (Level.VISIT, f"{_TABLE['v']} CROSS JOIN {_TABLE['r']} ON r.visit_id = v.id {_DOWN}", _PATIENT),
        (Level.REQUEST, f"{_TABLE['r']} {_DOWN}", f"{_PATIENT} {_VISIT}"),
        (
            Level.PROCEDURE,
            _TABLE["p"],
            f"JOIN {_TABLE['r']} ON r.id = p.imaging_service_request_id {_PATIENT} {_VISIT}",
        ),
    )
}
# Version: changes when a row or its place in the order does. Its second half costs a join of five tables, and stays the
# same as long as nothing above steps has changed.
_OF_STEP: Final = "s.id, s.revision, s.requested_procedure_id"
_ABOVE: Final = "p.revision, r.revision, a.id, a.revision, v.id, v.revision"
_CHANGES: Final = f"(SELECT CAST(sum(number) AS bigint) FROM {OrderChanges._meta.db_table})"
_DAY, _MOMENT = "s.scheduled_procedure_step_start_date_value", "s.scheduled_procedure_step_start_time_value"
_ORDER: Final = f"{_DAY}, {_MOMENT}, s.id"
_UNDATED: Final[tuple[str, list[Any]]] = f" AND {_DAY} IS NULL", []
_INDEXED: Final = frozenset(
    {"patient_id", "patient_name", "admission_id", "accession_number", "requested_procedure_id", "study_instance_uid"}
)
_NARROW: Final = 3  # letters that few names begin with
# Columns of each row: the step's part of its version, how often something above steps was changed, where it stands in
# the order; where the rows above were read, too, the rest of its version; then those asked for.
_CHANGED, _PLACE, _SHORT, HEAD = 3, 4, 6, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What of the worklist a caller sees, by the switches of his peer; `station` is the caller."""

    station: str = ""
    own_station_only: bool = False
    statuses: tuple[str, ...] = STATUSES_SHOWN
    earliest: date | None = None
    latest: date | None = None

    @classmethod
    def of(cls, peer: PeerRules, *, station: str, today: date) -> Self:
        back, ahead = peer.worklist_days_back, peer.worklist_days_ahead
        return cls(
            station=station,
            own_station_only=peer.worklist_own_station_only,
            statuses=peer.worklist_statuses,
            earliest=None if back is None else today - timedelta(back),
            latest=None if ahead is None else today + timedelta(ahead),
        )


def version(row: Row) -> Row:
    """Of a whole row."""
    return row[:_CHANGED] + row[_SHORT:HEAD]


def is_whole(row: Row) -> bool:
    """Whether the rows above were read, too."""
    return len(row) > _SHORT


def changes(row: Row) -> int | None:
    """How often something above steps had been changed when it was read; None: never."""
    found: int | None = row[_CHANGED]
    return found


def is_of_version(row: Row, known: Row) -> bool:
    """Of a row that is not whole: as far as it says."""
    return row[:_CHANGED] == known[:_CHANGED]


@cache
def _is_sqlite() -> bool:
    return connection.vendor == "sqlite"


@cache
def columns() -> Mapping[str, str]:
    """SQL of each lookup path from a step."""
    return {
        PATHS[level] + field.name: f"{alias}.{field.column}"
        for level, (alias, model) in _MODELS.items()
        for field in model._meta.concrete_fields
    }


def pages(
    query: Query, view: View, principal: Principal, *, wanted: Sequence[str] = (), limit: int = 0
) -> Iterator[list[Row]]:
    """The steps that match and that the caller may see, one over the limit; whole with `wanted` columns, or where it
    needs the rows above to know which they are."""
    if not principal.may(Service.WORKLIST):
        return
    sqlite = _is_sqlite()
    where, parameters = as_sql(_matching(query, view), columns(), sqlite=sqlite)
    few = names_few(query)
    tables = _FROM_ABOVE[few] if few and sqlite else _FROM if query.conditions or wanted else _TABLE["s"]
    if few is Level.PATIENT and not sqlite:
        of_few, values = as_sql(Q(*_all(query.conditions_of(few), query, view)), columns(), sqlite=False)
        where += f" AND r.patient_id = ANY(ARRAY(SELECT a.id FROM {_TABLE['a']} WHERE {of_few}))"
        parameters += values
    keeps_plan = few is not None or (not query.conditions and _names_days(query))
    left = limit + 1 if limit else sys.maxsize
    size = min(FIRST_PAGE, left)
    after: tuple[str, list[Any]] = "", []
    while size:
        rest = f"{tables} WHERE {where}{after[0]} ORDER BY {_ORDER} LIMIT {size}"
        page = _select(wanted, rest, [*parameters, *after[1]], keeps_plan=keeps_plan)
        if page:
            yield page
        if len(page) == size:
            after = _after(page[-1], sqlite=sqlite)
        elif sqlite or f"{_DAY} >=" not in after[0]:
            return
        else:
            after = _UNDATED
        left -= len(page)
        size = min(PAGE, left)


def of_steps(keys: Sequence[int], wanted: Sequence[str]) -> list[Row]:
    """The same of these steps, in no order."""
    if not keys:
        return []
    if _is_sqlite():
        return _select(wanted, f"{_FROM} WHERE s.id IN ({', '.join(['%s'] * len(keys))})", list(keys))
    return _select(wanted, f"{_FROM} WHERE s.id = ANY(%s::bigint[])", [list(keys)], keeps_plan=True)


def names_few(query: Query) -> Level | None:
    """The level above the step, of which an indexed key leaves few."""
    indexed = (part for part in query.conditions if part.attribute.name in _INDEXED)
    return next((part.attribute.level for part in indexed if _is_narrow(part.key)), None)


def station_of(query: Query, view: View) -> str | None:
    """Whose a step is that names no station, as the caller sees it: the one he asks for, else his own; None where he
    asks for others. It is never empty in answers (PS3.4 Table K.6-1)."""
    key = next((part.key for item in query.steps for part in item if part.attribute is _STATION), None)
    if key is None or matches(key, view.station):
        return view.station
    return str(key.value) if isinstance(key, Exact) else str(key.values[0]) if isinstance(key, AnyOf) else None


def _is_narrow(key: Key) -> bool:
    if isinstance(key, Either):
        return all(_is_narrow(part) for part in key.keys)
    if isinstance(key, Name):
        return any(_is_narrow(group) for group in key.groups)
    return isinstance(key, Exact | AnyOf) or (isinstance(key, Wildcard) and len(key.prefix) >= _NARROW)


def _names_days(query: Query) -> bool:
    """Whether one day is asked for, of all in a year: PostgreSQL knows how many steps it has."""
    days = [[part.key for part in item if part.attribute is _DATE] for item in query.steps]
    return bool(days) and all(
        len(keys) == 1 and isinstance(keys[0], Range) and keys[0].low == keys[0].high is not None for keys in days
    )


def _select(wanted: Sequence[str], rest: str, parameters: list[Any], *, keeps_plan: bool = False) -> list[Row]:
    # As text SQLite's dates and times are not read, which costs more than to find them.
    place = f"{_DAY} || '', {_MOMENT} || ''" if _is_sqlite() else f"{_DAY}, {_MOMENT}"
    named = "" if rest.startswith(f"{_TABLE['s']} WHERE") else f", {', '.join([_ABOVE, *wanted])}"
    return fetched(f"SELECT {_OF_STEP}, {_CHANGES}, {place}{named} FROM {rest}", parameters, keeps_plan=keeps_plan)


def _matching(query: Query, view: View) -> Q:
    parts = [Q(status__in=[status for status in view.statuses if status in ON_THE_WIRE])]
    if view.earliest:
        parts.append(Q(**{f"{_DATE.name}_value__gte": view.earliest}))
    if view.latest:
        parts.append(Q(**{f"{_DATE.name}_value__lte": view.latest}))
    if view.own_station_only:
        parts.append(condition(Exact(view.station), kind=_kind(_STATION), column=_STATION.column) | _no_station())
    parts += _all(query.conditions, query, view)
    if query.steps:
        parts.append(reduce(or_, (Q(*_all(item, query, view)) for item in query.steps)))
    return Q(*parts)


def _all(conditions: Sequence[Condition], query: Query, view: View) -> list[Q]:
    """PS3.4 K.6.1.2.2: start date and time together are one range of moments."""
    keys = {part.attribute.name: part.key for part in conditions}
    days, times = keys.get(_DATE.name), keys.get(_TIME.name)
    parts = [_condition(part, query, view) for part in conditions if part.attribute not in (_DATE, _TIME)]
    if isinstance(days, Range) and isinstance(times, Range):
        parts.append(moments(matching.combined(days, times), date_column=_DATE.column, time_column=_TIME.column))
    else:
        alone = [part for part in conditions if part.attribute in (_DATE, _TIME)]
        parts += [_condition(part, query, view) for part in alone]
    return parts


def _condition(part: Condition, query: Query, view: View) -> Q:
    if part.attribute is STATUS:
        return Q(status__in=[status for status, name in ON_THE_WIRE.items() if matches(part.key, name)])
    found = condition(part.key, kind=_kind(part.attribute), column=part.attribute.column)
    if part.attribute is _STATION and station_of(query, view) is not None:
        found |= _no_station()
    return found


def _no_station() -> Q:
    return Q(**{_STATION.column: ""})


def _kind(attribute: Attribute) -> Kind:
    return attribute.kind or Kind.TEXT


def _after(row: Row, *, sqlite: bool) -> tuple[str, list[Any]]:
    """Behind a step in the order. Starts that no calendar has are first in SQLite, last in PostgreSQL, which walks its
    index to those (_UNDATED) only without an OR."""
    key, (day, moment) = row[0], row[_PLACE:_SHORT]
    later, parameters = f"{_MOMENT} IS NULL AND s.id > %s", [key]
    if moment is not None:
        later, parameters = f"{_MOMENT} > %s OR ({_MOMENT} = %s AND s.id > %s)", [moment, moment, key]
    if (moment is None) == sqlite:
        later += f" OR {_MOMENT} IS {'NOT ' if sqlite else ''}NULL"
    if day is not None:
        return f" AND {_DAY} >= %s AND ({_DAY} > %s OR {later})", [day, day, *parameters]
    if sqlite:
        return f" AND (({_DAY} IS NULL AND ({later})) OR {_DAY} IS NOT NULL)", parameters
    return f"{_UNDATED[0]} AND ({later})", parameters
