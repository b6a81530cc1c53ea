"""A request to retrieve -> the instances it names, in a stable order, few of them in memory at once."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import and_
from typing import Any, Final, NamedTuple, Self

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Q, QuerySet

from apps.accounts.principal import Principal
from apps.lookups import Kind, condition
from apps.network.database import borrowed
from apps.qr.attributes import (
    BY_KEYWORD,
    NOT_KEYS,
    QUERY_RETRIEVE_LEVEL,
    UNIQUE_KEYS,
    Attribute,
    InformationModel,
    Level,
    path,
)
from apps.qr.query import Asked, as_asked, read_level
from apps.qr.rows import BY_NUMBER, visible
from apps.storage.models import DeletedInstance, Instance
from dicom import matching
from dicom.encoding import read_identifier
from dicom.errors import DicomError, InvalidValue
from dicom.matching import AnyOf, Exact, Key

PAGE: Final = 500
_ISSUER: Final = BY_KEYWORD["IssuerOfPatientID"]


class Stored(NamedTuple):
    """What sending an instance takes: columns of `Instance`."""

    pk: int
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    dataset_offset: int
    size: int
    pixel_offset: int | None
    storage_format: int
    key_id: int | None
    revision: int
    series_instance_uid: str
    study_instance_uid: str


COLUMNS: Final = (
    *Stored._fields[:-2],
    "series__series_instance_uid",
    "series__study__study_instance_uid",
)


@dataclass(frozen=True, slots=True)
class Retrieval:
    level: Level
    keys: tuple[tuple[Attribute, Key], ...]


class Instances:
    """As they were when asked for; what is deleted in between is left out of the pages. `kinds`: SOP class and transfer
    syntax. Few are kept as they were read, of many the ids: eight bytes an instance."""

    def __init__(
        self, ids: "array[int]", kinds: frozenset[tuple[str, str]], rows: Sequence[Stored] | None = None
    ) -> None:
        self.kinds = kinds
        self._ids, self._rows = ids, rows
        self._gone: dict[int, int] = {}  # by page

    @classmethod
    def of(cls, rows: Sequence[Stored]) -> Self:
        kinds = frozenset((row.sop_class_uid, row.transfer_syntax_uid) for row in rows)
        return cls(array("q", (row.pk for row in rows)), kinds, rows)

    def __len__(self) -> int:
        return len(self._ids) - sum(self._gone.values())

    def __iter__(self) -> Iterator[Stored]:
        if self._rows is not None:
            yield from self._rows
            return
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[list[Stored]]:
        for start in range(0, len(self._ids), PAGE):
            page = self._ids[start : start + PAGE].tolist()
            with borrowed():
                rows = Instance.objects.filter(pk__in=page).values_list(*COLUMNS)
                found = {row[0]: Stored(*row) for row in rows}
            if len(found) < len(page):
                self._gone[start] = len(page) - len(found)
            yield [found[key] for key in page if key in found]


def instances(principal: Principal, retrieval: Retrieval) -> Instances:
    """Those the principal may see, by study, series number and instance number."""
    return _read(_matching(principal, retrieval))


def exist(principal: Principal, retrieval: Retrieval) -> bool:
    """Whether there is one of them."""
    with borrowed():
        return _matching(principal, retrieval).exists()


def kinds(principal: Principal, retrieval: Retrieval) -> frozenset[tuple[str, str]]:
    """Their SOP classes and transfer syntaxes."""
    with borrowed():
        return _kinds(_matching(principal, retrieval))


def by_any(keyword: str, uids: Sequence[str]) -> Retrieval:
    """Whatever has one of these UIDs."""
    attribute = BY_KEYWORD[keyword]
    return Retrieval(attribute.level, ((attribute, AnyOf(tuple(uids))),))


def _matching(principal: Principal, retrieval: Retrieval) -> QuerySet[Instance]:
    return visible(Level.IMAGE, principal).filter(
        reduce(and_, (_condition(attribute, key) for attribute, key in retrieval.keys), Q())
    )


def named(principal: Principal, uids: Mapping[str, str]) -> Instances:
    """Those of what an address of DICOMweb names; UIDs by keyword. A viewer asks so for each frame."""
    statement, values = _statement(principal, tuple(uids), PAGE + 1)
    if not statement:
        return Instances.of([])
    with borrowed(), connection.cursor() as cursor:
        cursor.execute(statement, [uids.get(value, value) for value in values])
        rows = [Stored(*row) for row in cursor.fetchall()]
    return Instances.of(rows) if len(rows) <= PAGE else instances(principal, _by_uids(uids))


@lru_cache
def _statement(principal: Principal, keywords: tuple[str, ...], most: int) -> tuple[str, tuple[Any, ...]]:
    """And the values in it, a keyword in the place of its UID; empty where nothing is to be seen. Kept, because to
    write it takes ten times as long as to run it, and for each who asks, because what he may see is in it."""
    matching = _matching(principal, _by_uids({keyword: keyword for keyword in keywords}))
    try:
        return _ordered(matching)[:most].query.sql_with_params()
    except EmptyResultSet:
        return "", ()


def of_series(pk: int) -> Instances:
    """All of a series, whose study was found visible before."""
    return _read(Instance.objects.filter(series_id=pk))


def _read(matching: QuerySet[Instance]) -> Instances:
    with borrowed():
        rows = [Stored(*row) for row in _ordered(matching)[: PAGE + 1]]
        if len(rows) <= PAGE:
            return Instances.of(rows)
        kinds = _kinds(matching)
        ids = array("q", matching.order_by(*BY_NUMBER).values_list("pk", flat=True).iterator(chunk_size=5000))
    return Instances(ids, kinds)


def _kinds(matching: QuerySet[Instance]) -> frozenset[tuple[str, str]]:
    return frozenset(matching.order_by().values_list("sop_class_uid", "transfer_syntax_uid").distinct())


def _ordered(matching: QuerySet[Instance]) -> QuerySet[Instance, tuple[Any, ...]]:
    return matching.order_by(*BY_NUMBER).values_list(*COLUMNS)


def instance(principal: Principal, uids: Mapping[str, str]) -> Stored:
    """The one that its three UIDs, by keyword, name. Raises NotThere, Deleted."""
    for row in named(principal, uids):
        return row
    raise missing(uids)


class NotThere(DicomError):
    """Nothing that this principal may see."""

    http_status = 404


class Deleted(DicomError):
    """It was there once (PS3.18 8.5)."""

    http_status = 410


_DELETED: Final = {
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
}


def missing(uids: Mapping[str, str]) -> DicomError:
    """Why nothing is found of what these UIDs, by keyword, name."""
    with borrowed():
        gone = DeletedInstance.objects.filter(**{_DELETED[keyword]: uid for keyword, uid in uids.items()}).exists()
    return Deleted("This was deleted") if gone else NotThere("There is nothing of this UID")


def _by_uids(uids: Mapping[str, str]) -> Retrieval:
    keys = tuple((BY_KEYWORD[keyword], Exact(uid)) for keyword, uid in uids.items())
    return Retrieval(max(attribute.level for attribute, _ in keys), keys)


def from_identifier(
    identifier: bytes | None,
    *,
    transfer_syntax_uid: str,
    model: InformationModel,
    relational: bool = False,
    strict: bool = False,
    default_character_set: str = "",
) -> Retrieval:
    """Raises InvalidDataSet or InvalidValue: status A900 (PS3.4 Tables C.4-2, C.4-3)."""
    if not identifier:
        raise InvalidValue("an identifier is needed", tag=QUERY_RETRIEVE_LEVEL)
    asked = as_asked(read_identifier(identifier, transfer_syntax_uid, default_character_set=default_character_set))
    level = read_level(asked, model=model, strict=strict)
    keys = {UNIQUE_KEYS[of]: _key(asked, UNIQUE_KEYS[of]) for of in model.levels if of <= level}
    if keys[UNIQUE_KEYS[level]] is None:
        raise InvalidValue("the unique key of the level is missing", tag=UNIQUE_KEYS[level].tag)
    if strict and not relational:
        _check_hierarchy(asked, keys, level)
    # Other keys do not select (PS3.4 C.4.2.2.1), but the issuer says whose patient ID it is.
    if model.top is Level.PATIENT:
        keys[_ISSUER] = _key(asked, _ISSUER)
    return Retrieval(level, tuple((attribute, key) for attribute, key in keys.items() if key is not None))


def _key(asked: Asked, attribute: Attribute) -> Key | None:
    """Values are meant as they are: a patient ID with an asterisk is one patient's."""
    value = asked.get(attribute.tag, "")
    text = value if isinstance(value, str) else ""
    if attribute.vr == "UI":
        key = matching.parse("UI", text, tag=attribute.tag)
        return key if isinstance(key, Exact | AnyOf) else None
    values = tuple(part for part in (part.strip(" \0") for part in text.split("\\")) if part)
    return AnyOf(values) if values else None


def _check_hierarchy(asked: Asked, keys: dict[Attribute, Key | None], level: Level) -> None:
    """PS3.4 C.4.2.2.1: one value of each unique key above the level, at the patient level of its own, no other key."""
    for attribute, key in keys.items():
        several = attribute.level is level and attribute.vr == "UI"
        single = isinstance(key, Exact) or (isinstance(key, AnyOf) and len(key.values) == 1)
        if not several and not single:
            raise InvalidValue("one value of each unique key above the level is needed", tag=attribute.tag)
    known = {attribute.tag for attribute in keys} | NOT_KEYS
    for tag in asked:
        if tag not in known:
            raise InvalidValue("only unique keys select what is retrieved", tag=tag)


def _condition(attribute: Attribute, key: Key) -> Q:
    column = path(start=Level.IMAGE, target=attribute.level) + attribute.column
    return condition(key, kind=attribute.kind or Kind.KEY, column=column)
