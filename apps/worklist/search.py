"""Filters as addresses of the interface and of the pages have them -> steps, in the order of their start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from django.db.models import Q, QuerySet

from apps.accounts import rest
from apps.accounts.principal import Principal
from apps.lookups import condition, moments, prefix_range
from apps.worklist.attributes import BY_NAME, Attribute
from apps.worklist.models import (
    ImagingServiceRequest,
    ScheduledProcedureStep,
    StepQuerySet,
    StepStatus,
    WorklistPatient,
)
from apps.worklist.order import InvalidOrder
from dicom import matching
from dicom.errors import InvalidValue
from dicom.matching import UNIVERSAL, Key, Range
from dicom.values import name_key

MOST: Final = 1000
MOST_PATTERNS: Final = 100

# Every attribute that can be matched is a filter; a few have a short name beside their own.
SHORT: Final[Mapping[str, str]] = {"station": "scheduled_station_ae_title"}
FILTERS: Final[Mapping[str, Attribute]] = {
    **{name: attribute for name, attribute in BY_NAME.items() if attribute.kind},
    **{name: BY_NAME[long] for name, long in SHORT.items()},
}
STATUS: Final = "status"
CHANGED_SINCE: Final = "changed_since"
NAMES: Final = frozenset({*FILTERS, STATUS, CHANGED_SINCE})

_START_DATE: Final = "scheduled_procedure_step_start_date"
_START_TIME: Final = "scheduled_procedure_step_start_time"
_SORTED: Final = (f"{_START_DATE}_value", f"{_START_TIME}_value", "pk")
_UNSORTED: Final = Q(**{f"{_START_DATE}_value": None}) | Q(**{f"{_START_TIME}_value": None})
_NAME_KEYS: Final = ("patient_name_key", "patient_name_ideographic_key", "patient_name_phonetic_key")
# Of these several values may stand in one text: no value of theirs holds a comma.
_LISTED: Final = frozenset({"CS", "UI"})


class InvalidFilter(InvalidOrder):
    """`errors`: what is wrong, by name of the filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Read and checked; nothing said: every step."""

    keys: tuple[tuple[Attribute, Key], ...] = ()
    statuses: frozenset[StepStatus] = frozenset()
    changed_since: datetime | None = None
    begun: str = ""  # what the name, the ID or the accession number begins with


@dataclass(frozen=True, slots=True)
class Position:
    """Behind a step, in the order of steps: by start, those whose start cannot be read last."""

    start: datetime | None
    key: int

    @classmethod
    def of(cls, step: ScheduledProcedureStep) -> Self:
        day, moment = (getattr(step, name) for name in _SORTED[:2])
        return cls(None if day is None or moment is None else datetime.combine(day, moment), step.pk)

    @classmethod
    def read(cls, text: str) -> Self:
        """What `str` wrote. Raises ValueError."""
        start, slash, key = text.rpartition("/")
        if not (slash and key.isascii() and key.isdigit() and len(key) < 19):
            raise ValueError("no position")
        moment = datetime.fromisoformat(start) if start else None
        if moment and moment.tzinfo:
            raise ValueError("no position")
        return cls(moment, int(key))

    def __str__(self) -> str:
        return f"{self.start.isoformat() if self.start else ''}/{self.key}"


@dataclass(frozen=True, slots=True)
class Page:
    steps: list[ScheduledProcedureStep]
    following: Position | None


def read(params: Mapping[str, Sequence[str]]) -> Search:
    """Filters by name, each with its values: those of dates and times are ranges (`20261101-20261130`), texts and names
    may hold `*` and `?`. An empty one filters nothing. Raises InvalidFilter, naming every filter that is wrong."""
    errors: dict[str, str] = {name: "no such filter" for name in params if name not in NAMES}
    keys: list[tuple[Attribute, Key]] = []
    statuses: set[StepStatus] = set()
    since: datetime | None = None
    for name, values in params.items():
        try:
            if name == STATUS:
                statuses |= _statuses(values)
            elif name == CHANGED_SINCE:
                since = moment(values)
            elif name in FILTERS:
                keys.append((FILTERS[name], _key(FILTERS[name], values)))
        except (InvalidValue, ValueError) as error:
            errors[name] = str(error)
    if errors:
        raise InvalidFilter(errors)
    return Search(
        keys=tuple((attribute, key) for attribute, key in keys if key != UNIVERSAL),
        statuses=frozenset(statuses),
        changed_since=since,
    )


def steps(search: Search, *, principal: Principal) -> StepQuerySet:
    """Those that match and that the principal may see, with the rows above, in no order yet."""
    found = Q()
    if search.statuses:
        found &= Q(status__in=sorted(search.statuses))
    if search.changed_since:
        found &= Q(changed_at__gte=search.changed_since)
    if search.begun:
        found &= _begun(search.begun)
    return ScheduledProcedureStep.objects.visible_to(principal).with_order().filter(found & _matching(search.keys))


def page(search: Search, *, principal: Principal, limit: int, after: Position | None = None) -> Page:
    """So many steps by start, from the first or after a position."""
    wanted = limit + 1
    matching_steps = steps(search, principal=principal)
    found: list[ScheduledProcedureStep] = []
    if after is None or after.start is not None:
        started = matching_steps.exclude(_UNSORTED).filter(_after(after))
        found = list(started.order_by(*_SORTED)[:wanted])
    if len(found) < wanted:
        rest = matching_steps.filter(_UNSORTED, pk__gt=after.key if after and after.start is None else 0)
        found += rest.order_by("pk")[: wanted - len(found)]
    more = len(found) > limit
    return Page(found[:limit], Position.of(found[limit - 1]) if more else None)


def patients(begun: str) -> QuerySet[WorklistPatient]:
    """Known ones whose name (`Doe, Jane` as people write it, `Doe^Jane` as DICOM does) or ID begins so."""
    name = name_key("^".join(part.strip() for part in begun.split(",")))
    by_name = Q(pk__in=[])
    for column in _NAME_KEYS if name else ():
        by_name |= prefix_range(column, name)
    return WorklistPatient.objects.filter(by_name | prefix_range("patient_id", begun))


def _begun(text: str) -> Q:
    requests = ImagingServiceRequest.objects
    return Q(requested_procedure__imaging_service_request__in=requests.filter(patient__in=patients(text))) | Q(
        requested_procedure__imaging_service_request__in=requests.filter(prefix_range("accession_number", text))
    )


def _after(position: Position | None) -> Q:
    if position is None or position.start is None:
        return Q()
    day, moment, key = _SORTED
    of, at = position.start.date(), position.start.time()
    later = Q(**{f"{day}__gt": of}) | Q(**{f"{moment}__gt": at}) | Q(**{moment: at, f"{key}__gt": position.key})
    return Q(**{f"{day}__gte": of}) & later  # a range of the index, from which the rest is taken


def _matching(keys: Sequence[tuple[Attribute, Key]]) -> Q:
    """PS3.4 K.6.1.2.2: start date and time together are one range of moments."""
    found = Q()
    given = {attribute.name: key for attribute, key in keys}
    days, times = given.get(_START_DATE), given.get(_START_TIME)
    together = isinstance(days, Range) and isinstance(times, Range)
    if isinstance(days, Range) and isinstance(times, Range):
        found &= moments(matching.combined(days, times), date_column=_START_DATE, time_column=_START_TIME)
    for attribute, key in keys:
        if attribute.kind and not (together and attribute.name in (_START_DATE, _START_TIME)):
            found &= condition(key, kind=attribute.kind, column=attribute.column)
    return found


def _key(attribute: Attribute, values: Sequence[str]) -> Key:
    texts = [part for value in values for part in (value.split(",") if attribute.vr in _LISTED else [value])]
    key = matching.parse(attribute.vr, "\\".join(text for text in texts if text.strip()))
    if isinstance(key, matching.Either) and len(key.keys) > MOST_PATTERNS:
        raise InvalidValue(f"more than {MOST_PATTERNS} patterns")
    return key


def _statuses(values: Sequence[str]) -> set[StepStatus]:
    names = {name.strip().upper() for value in values for name in value.split(",")} - {""}
    if wrong := sorted(names - set(StepStatus.values)):
        raise InvalidValue(f"{wrong[0][:16]} is none of {', '.join(StepStatus.values)}")
    return {StepStatus(name) for name in names}


def moment(values: Sequence[str]) -> datetime | None:
    return rest.moment(values[-1]) if values else None
