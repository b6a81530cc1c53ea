"""A query -> rows of values, page by page: short statements that walk an index, no connection held in between."""

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import reduce
from operator import and_
from typing import Any, Final

from django.db.models import Count, Exists, F, Model, OuterRef, Q, QuerySet, Subquery, Sum

from apps.accounts.principal import Principal
from apps.lookups import Kind, condition, moments
from apps.network.database import borrowed
from apps.qr.attributes import BY_KEYWORD, REQUEST_KEYS, Attribute, Level, Source, path
from apps.qr.query import Condition, Query
from apps.storage.models import Instance, Patient, Series, SeriesRequest, Study
from dicom.matching import AnyOf, Either, Exact, Key, Name, Range, Wildcard, combined
from dicom.matching import Sequence as Items

FIRST_PAGE: Final = 100  # the first answer does not wait for hundreds
PAGE: Final = 500
_NEAR: Final = 500  # rows that cost less to read than a second query
_FEW_DAYS: Final = timedelta(days=31)
Row = tuple[Any, ...]

MODELS: Final[dict[Level, type[Model]]] = {
    Level.PATIENT: Patient,
    Level.STUDY: Study,
    Level.SERIES: Series,
    Level.IMAGE: Instance,
}
# Attributes whose one value names a few rows.
_NAMES: Final = (
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "AccessionNumber",
    "PatientID",
    "PatientName",
)
# Attributes with an index, most selective first: where one is a range of it and nothing names rows, pages follow its
# order. In order of id each page would sort all that match.
_WALKS: Final = {
    "PatientID": "patient_id",
    "AccessionNumber": "accession_number",
    "PatientName": "patient_name_key",
    "ReferringPhysicianName": "referring_physician_name_key",
    "StudyDate": "study_date_value",
}
# Columns by which pages are ordered that have no value in some rows.
_MAY_BE_EMPTY: Final = frozenset({"study_date_value"})
# Instances as people look through them.
BY_NUMBER: Final = (
    "series__study_id",
    F("series__series_number_value").asc(nulls_first=True),
    "series_id",
    F("instance_number_value").asc(nulls_first=True),
    "pk",
)
_Studies = QuerySet[Study, Any]
_COMPUTED: Final[dict[str, Callable[[_Studies], _Studies]]] = {
    "related_studies": lambda studies: studies.values("patient").annotate(number=Count("pk")).values("number"),
    "related_series": lambda studies: _sum(studies, "number_of_study_related_series"),
    "related_instances": lambda studies: _sum(studies, "number_of_study_related_instances"),
    "data_character_set": lambda studies: studies.values("specific_character_set")[:1],
}


def _sum(studies: _Studies, of: str) -> _Studies:
    return studies.values("patient").annotate(number=Sum(of)).values("number")


def pages(query: Query, columns: Sequence[str], principal: Principal) -> Iterator[list[Row]]:
    """Values of `columns` (see `column`) of the rows that match and that the principal may see; one over the limit."""
    base = matching(query, principal).annotate(**_annotations(query, columns, principal))
    walk = _walk(query)
    order = (walk, "pk") if walk else ("pk",)
    last: Row | None = None
    left = query.limit + 1 if query.limit else sys.maxsize
    size = min(FIRST_PAGE, left)
    while size:
        rows = base if last is None else base.filter(_after(walk, last))
        with borrowed():
            page = list(rows.order_by(*order).values_list(*columns, *order)[:size])
        if page:
            yield page
        if len(page) < size:
            return
        last = page[-1][-len(order) :]
        left -= size
        size = min(PAGE, left)


def page(
    query: Query,
    columns: Sequence[str],
    principal: Principal,
    *,
    offset: int,
    limit: int,
    order: Sequence[str] = (),
) -> list[Row]:
    """Values of `columns` of so many rows in an order that stays: the one given, in which rows without a date come
    last, or of a study or a series by number, else the newest first. What is skipped far down is walked by its ids
    alone."""
    annotations = _annotations(query, columns, principal)
    ordered = matching(query, principal).order_by(*(order or _order(query)))
    with borrowed():
        if offset <= _NEAR and not order:
            return list(ordered.annotate(**annotations).values_list(*columns)[offset : offset + limit])
        ids = _ids(ordered, offset, limit, first=order[0].lstrip("-") if order else "")
        rows = MODELS[query.level]._default_manager.filter(pk__in=ids).annotate(**annotations)
        found = {row[-1]: row for row in rows.values_list(*columns, "pk")}
    return [found[key] for key in ids if key in found]


def _ids(ordered: QuerySet[Any], offset: int, limit: int, *, first: str) -> list[int]:
    """`first`: the column that decides first. Rows without a value come last, by a walk of their own: an index has
    them at one of its ends, which of the two differs between databases."""
    ids = ordered.values_list("pk", flat=True)
    if first not in _MAY_BE_EMPTY:
        return list(ids[offset : offset + limit])
    filled, empty = (ids.filter(**{f"{first}__isnull": is_empty}) for is_empty in (False, True))
    found = list(filled[offset : offset + limit])
    if len(found) < limit:
        start = 0 if found or not offset else max(0, offset - filled.order_by().count())
        found += empty[start : start + limit - len(found)]
    return found


def count(query: Query, principal: Principal, *, most: int) -> int:
    """How many rows match, counted no further than `most`: along the index that pages walk, or the database may read
    all before it counts the first."""
    walk = _walk(query)
    with borrowed():
        return matching(query, principal).order_by(*([walk] if walk else [])).values("pk")[:most].count()


def _order(query: Query) -> tuple[Any, ...]:
    walk = _walk(query)
    if walk:
        return (walk, "pk")
    parents = {"StudyInstanceUID", "SeriesInstanceUID"} & {part.attribute.keyword for part in query.conditions}
    if query.level is Level.SERIES and parents:
        return ("study_id", F("series_number_value").asc(nulls_first=True), "pk")
    if query.level is Level.IMAGE and parents:
        return BY_NUMBER
    return ("-pk",)


def column(query: Query, attribute: Attribute) -> str:
    """The lookup path of an attribute's values from the rows of a query."""
    if attribute.source is Source.COUNT:
        return f"related_{attribute.column}"
    return path(start=query.level, target=attribute.level) + attribute.column


def character_set_column(query: Query) -> str:
    """The character set of the data; for a patient that of one of his studies."""
    if query.level is Level.PATIENT:
        return "data_character_set"
    return path(start=query.level, target=Level.STUDY) + "specific_character_set"


def matching(query: Query, principal: Principal) -> QuerySet[Any]:
    rows: QuerySet[Any] = visible(query.level, principal).filter(_all(query, query.level))
    if query.level is Level.PATIENT:
        rows = rows.exclude(patient_id="")  # PS3.4 C.2.2.1.1: entities have a unique key that is not empty
    below = {part.attribute.level for part in query.conditions if part.attribute.level > query.level}
    if below:
        lowest = max(below)
        upwards = path(start=lowest, target=query.level) + "pk"
        lower = visible(lowest, principal).filter(**{upwards: OuterRef("pk")})
        rows = rows.filter(Exists(lower.filter(_all(query, lowest, above=query.level))))
    return rows


def visible(level: Level, principal: Principal) -> QuerySet[Any]:
    """Rows of a level of which the principal may see the study."""
    studies = Study.objects.visible_to(principal)
    if level is Level.STUDY:
        return studies
    if level is Level.PATIENT:
        return Patient.objects.filter(Exists(studies.filter(patient=OuterRef("pk"))))
    upwards = path(start=level, target=Level.STUDY).removesuffix("__") + "_id"
    return MODELS[level]._default_manager.filter(Exists(studies.filter(pk=OuterRef(upwards))))


def _all(query: Query, start: Level, *, above: Level | None = None) -> Q:
    """The conditions on rows of level `start`: those of that level and higher ones, or those between `above` and it."""
    parts = [
        part
        for part in query.conditions
        if part.attribute.level <= start and (above is None or part.attribute.level > above)
    ]
    found = Q()
    if query.combined_datetime:
        parts, found = _combined(parts, start)
    return reduce(and_, (_condition(part, start) for part in parts), found)


def _combined(parts: list[Condition], start: Level) -> tuple[list[Condition], Q]:
    """PS3.4 C.2.2.2.5.4: a date and its time, both ranges, are one range."""
    by_keyword = {part.attribute.keyword: part for part in parts}
    found = Q()
    for part in parts:
        partner = by_keyword.get(part.attribute.partner)
        if partner is None or not isinstance(part.key, Range) or not isinstance(partner.key, Range):
            continue
        prefix = path(start=start, target=part.attribute.level)
        found &= moments(
            combined(part.key, partner.key),
            date_column=prefix + part.attribute.column,
            time_column=prefix + partner.attribute.column,
        )
        parts = [other for other in parts if other not in (part, partner)]
    return parts, found


def _condition(part: Condition, start: Level) -> Q:
    prefix = path(start=start, target=part.attribute.level)
    if part.attribute.source is Source.SEQUENCE:
        return _requests(part.key, prefix)
    return condition(part.key, kind=part.attribute.kind or Kind.TEXT, column=prefix + part.attribute.column)


def _requests(key: Key, prefix: str) -> Q:
    """One item matches all the keys (PS3.4 C.2.2.2.6)."""
    if isinstance(key, Either):
        return reduce(lambda found, part: found | _requests(part, prefix), key.keys, Q())
    keys = key.keys if isinstance(key, Items) else ()
    items = SeriesRequest.objects.filter(series=OuterRef(f"{prefix}pk"))
    for tag, wanted in keys:
        nested = REQUEST_KEYS[tag]
        items = items.filter(condition(wanted, kind=nested.kind or Kind.KEY, column=nested.column))
    return Q(Exists(items))


def _annotations(query: Query, columns: Sequence[str], principal: Principal) -> dict[str, Subquery]:
    """Of a patient's studies that the principal may see: counts that were stored would tell of others."""
    wanted = _COMPUTED.keys() & set(columns)
    if not wanted:
        return {}
    patient = path(start=query.level, target=Level.PATIENT) + "pk"
    studies = Study.objects.visible_to(principal).filter(patient=OuterRef(patient)).order_by()
    return {name: Subquery(_COMPUTED[name](studies)) for name in wanted}


def _walk(query: Query) -> str:
    """The column whose order pages follow, "" for that of ids."""
    keys = {part.attribute.keyword: part.key for part in query.conditions if part.attribute.level <= query.level}
    if any(keyword in keys and _is_single(keys[keyword]) for keyword in _NAMES):
        return ""
    if _is_few_days(keys.get("StudyDate")):
        return path(start=query.level, target=Level.STUDY) + "study_date_value"
    for keyword, name in _WALKS.items():
        if keyword in keys and _is_range(keys[keyword]):
            return path(start=query.level, target=BY_KEYWORD[keyword].level) + name
    return ""


def _is_single(key: Key) -> bool:
    return isinstance(key, Exact | AnyOf) or (isinstance(key, Name) and isinstance(key.groups[0], Exact))


def _is_few_days(key: Key | None) -> bool:
    if not isinstance(key, Range) or type(key.low) is not date or type(key.high) is not date:
        return False
    return timedelta(0) < key.high - key.low <= _FEW_DAYS


def _is_range(key: Key) -> bool:
    if isinstance(key, Name):
        return _is_range(key.groups[0])
    if isinstance(key, Either):
        return any(_is_range(part) for part in key.keys)
    if isinstance(key, Range):
        return key.low != key.high
    return isinstance(key, Wildcard) and bool(key.prefix)


def _after(walk: str, last: Row) -> Q:
    if not walk:
        return Q(pk__gt=last[0])
    return Q(**{f"{walk}__gte": last[0]}) & (Q(**{f"{walk}__gt": last[0]}) | Q(pk__gt=last[1]))
