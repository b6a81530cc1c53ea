"""QIDO-RS (PS3.18 10.6): parameters of a request -> a Query -> a page of answers in the DICOM JSON model."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.accounts.principal import Principal
from apps.qr import rows
from apps.qr.attributes import (
    ATTRIBUTES,
    BY_KEYWORD,
    INSTANCE_AVAILABILITY,
    NOT_KEYS,
    InformationModel,
    Level,
    Source,
)
from apps.qr.query import Query, Return, build
from apps.qr.rows import Row
from dicom.dicomjson import Json, from_text
from dicom.dictionary import dictionary_vr, tag_of
from dicom.errors import InvalidValue

MOST: Final = 10_000  # answers to one request, and as far as they are counted
_FARTHEST: Final = 1 << 62
_RETRIEVE_URL: Final = "00081190"
_LOCAL_NAMESPACE_ENTITY_ID: Final = "00400031"
_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_NUMBER = re.compile(r"\d{1,30}", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}
# In every answer (PS3.18 10.6.3.3), or of no use there.
_ALWAYS: Final = NOT_KEYS | {int(_RETRIEVE_URL, 16)}
_ONLINE: Final = {"vr": "CS", "Value": ["ONLINE"]}

# PS3.18 Tables 10.6.3-3 to 10.6.3-5, and what every list of studies or series shows.
_SHOWN: Final[Mapping[Level, Sequence[str]]] = {
    Level.STUDY: (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ModalitiesInStudy",
        "ReferringPhysicianName",
        "TimezoneOffsetFromUTC",
        "StudyDescription",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyID",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    Level.SERIES: (
        "Modality",
        "TimezoneOffsetFromUTC",
        "SeriesDescription",
        "SeriesInstanceUID",
        "SeriesNumber",
        "SeriesDate",
        "SeriesTime",
        "BodyPartExamined",
        "NumberOfSeriesRelatedInstances",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "RequestAttributesSequence",
    ),
    Level.IMAGE: (
        "SOPClassUID",
        "SOPInstanceUID",
        "TimezoneOffsetFromUTC",
        "InstanceNumber",
        "Rows",
        "Columns",
        "BitsAllocated",
        "NumberOfFrames",
    ),
}


@dataclass(frozen=True, slots=True)
class Search:
    query: Query
    limit: int = MOST
    offset: int = 0
    ignored: tuple[str, ...] = ()  # parameters, as they were named


@dataclass(frozen=True, slots=True)
class Found:
    answers: list[Json]
    total: int  # exact up to MOST
    more: bool


def from_qido_params(
    params: Mapping[str, Sequence[str]], *, level: Level, within: Mapping[str, str] | None = None
) -> Search:
    """`within`: unique keys of the levels above that the URL names, by keyword. Raises InvalidValue: status 400."""
    within = within or {}
    reader = _Params()
    for name, values in params.items():
        reader.read(name, values)
    asked: dict[int, Any] = {BY_KEYWORD[name].tag: "" for name in _shown(level, within)}
    if reader.all_fields:
        asked |= {tag: "" for tag, attribute in ATTRIBUTES.items() if attribute.level <= level}
    shown = {tag for tag in reader.fields if tag in ATTRIBUTES and ATTRIBUTES[tag].level <= level}
    asked |= dict.fromkeys(shown, "")
    lacking = [name for tag, name in reader.fields.items() if tag not in shown and tag not in _ALWAYS]
    asked |= reader.asked
    asked |= {BY_KEYWORD[name].tag: uid for name, uid in within.items()}
    query = build(asked, model=InformationModel.STUDY_ROOT, level=level, combined_datetime=True)
    matched = {condition.attribute.tag for condition in query.conditions}
    unsupported = [reader.names.get(tag, f"{tag:08X}") for tag in query.unsupported if tag not in matched]
    return Search(query, reader.limit, reader.offset, tuple(dict.fromkeys([*reader.ignored, *lacking, *unsupported])))


def answer(search: Search, principal: Principal, *, retrieve_url: Callable[[Mapping[str, str]], str]) -> Found:
    """`retrieve_url` makes Retrieve URL (0008,1190) of the unique keys of an answer, by keyword."""
    query = search.query
    columns = [rows.column(query, returned.attribute) for returned in query.returns]
    page = rows.page(query, columns, principal, offset=search.offset, limit=search.limit + 1) if search.limit else []
    unique = [
        (index, returned.attribute.keyword)
        for index, returned in enumerate(query.returns)
        if returned.attribute.keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    ]

    def address(row: Row) -> Json:
        return {"vr": "UR", "Value": [retrieve_url({name: row[index] for index, name in unique})]}

    makers = [
        *(
            (f"{returned.attribute.tag:08X}", _of_column(index, returned))
            for index, returned in enumerate(query.returns)
        ),
        (f"{INSTANCE_AVAILABILITY:08X}", lambda row: _ONLINE),
        (_RETRIEVE_URL, address),
    ]
    makers.sort(key=lambda maker: maker[0])
    answers = [{tag: make(row) for tag, make in makers} for row in page[: search.limit]]
    return Found(answers, _total(search, principal, len(page)), len(page) > search.limit)


def _total(search: Search, principal: Principal, taken: int) -> int:
    """How many match, counted no further than MOST, and only where the page does not say it."""
    until = search.offset + taken
    if search.limit and taken <= search.limit and (taken or not search.offset):
        return min(until, MOST)
    return MOST if taken and until >= MOST else rows.count(search.query, principal, most=MOST)


def _shown(level: Level, within: Mapping[str, str]) -> Iterable[str]:
    """Of the levels above too, where the URL does not say whose they are."""
    if level is Level.STUDY or "StudyInstanceUID" not in within:
        yield from _SHOWN[Level.STUDY]
    if level is Level.SERIES or (level is Level.IMAGE and "SeriesInstanceUID" not in within):
        yield from _SHOWN[Level.SERIES]
    if level is Level.IMAGE:
        yield from _SHOWN[Level.IMAGE]


class _Params:
    """What the parameters say, one by one."""

    def __init__(self) -> None:
        self.limit, self.offset = MOST, 0
        self.all_fields = False
        self.fields: dict[int, str] = {}  # as they were named
        self.asked: dict[int, Any] = {}
        self.names: dict[int, str] = {}
        self.ignored: list[str] = []

    def read(self, name: str, values: Sequence[str]) -> None:
        special = self._SPECIAL.get(name)
        if special is not None:
            special(self, name, values)
            return
        tags = _tags(name)
        if not tags:
            self.ignored.append(name)
            return
        self._key(tags, name, values)

    def _key(self, tags: list[int], name: str, values: Sequence[str]) -> None:
        *parents, tag = tags
        vr = dictionary_vr(tag)
        if vr == "UI":
            value = "\\".join(values).replace(",", "\\")
        elif len(values) > 1:
            raise InvalidValue(f"{name} is given more than once", tag=tag)
        else:
            value = values[0]
        into: dict[int, Any] = self.asked
        for parent in parents:
            items = into.setdefault(parent, [{}])
            if isinstance(items, str):
                items = into[parent] = [{}]
            into = items[0]
        into[tag] = value
        self.names.setdefault(tags[0], name)
        self.names.setdefault(tag, name)

    def _limit(self, name: str, values: Sequence[str]) -> None:
        self.limit = min(_whole(name, values), MOST)

    def _offset(self, name: str, values: Sequence[str]) -> None:
        self.offset = min(_whole(name, values), _FARTHEST)

    def _includefield(self, name: str, values: Sequence[str]) -> None:
        for field in (part.strip() for value in values for part in value.split(",")):
            if field.lower() == "all":
                self.all_fields = True
            elif tags := _tags(field):
                self.fields.setdefault(tags[0], f"includefield={field}")
            elif field:
                self.ignored.append(f"includefield={field}")

    def _flag(self, name: str, values: Sequence[str]) -> None:
        if values[-1].lower() not in _FLAGS:
            raise InvalidValue(f"{name} is true or false")
        if _FLAGS[values[-1].lower()]:
            self.ignored.append(name)

    def _accept(self, name: str, values: Sequence[str]) -> None:
        """Read by the content negotiation."""

    _SPECIAL: Final = {
        "limit": _limit,
        "offset": _offset,
        "includefield": _includefield,
        "fuzzymatching": _flag,
        "emptyvaluematching": _flag,
        "multiplevaluematching": _flag,
        "accept": _accept,
        "charset": _accept,
    }


def _whole(name: str, values: Sequence[str]) -> int:
    if len(values) > 1 or not _NUMBER.fullmatch(values[0]):
        raise InvalidValue(f"{name} is a whole number from 0 up")
    return int(values[0])


def _tags(name: str) -> list[int]:
    """`PatientID`, `00100020`, `RequestAttributesSequence.ScheduledProcedureStepID`; empty for what is none."""
    tags = []
    for part in name.split("."):
        tag = int(part, 16) if _TAG.fullmatch(part) else tag_of(part)
        if tag is None:
            return []
        tags.append(tag)
    return tags


def _of_column(index: int, returned: Return) -> Callable[[Row], Json]:
    make = _maker(returned)
    return lambda row: make(row[index])


def _maker(returned: Return) -> Callable[[Any], Json]:
    """A value of a column -> its element."""
    attribute = returned.attribute
    if attribute.source is Source.SEQUENCE:
        return lambda value: _sequence(value, returned.items)
    if attribute.source is Source.ISSUER:
        return _issuer
    vr = attribute.vr
    empty: Json = {"vr": vr}
    if vr in ("IS", "US"):
        return lambda value: from_text(str(value), vr) if isinstance(value, str) else _number(value, vr)
    if vr in ("DS", "PN"):
        return lambda value: from_text(value, vr) if value else empty

    def text(value: str) -> Json:
        if "\\" in value:
            return from_text(value, vr)
        return {"vr": vr, "Value": [value]} if value else empty

    return text


def _number(value: int | None, vr: str) -> Json:
    return {"vr": vr} if value is None else {"vr": vr, "Value": [value]}


def _sequence(value: Any, wanted: tuple[int, ...]) -> Json:
    names = {f"{tag:08X}" for tag in wanted}
    items = [{tag: entry for tag, entry in item.items() if not names or tag in names} for item in value or ()]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _issuer(value: str) -> Json:
    if not value:
        return {"vr": "SQ"}
    return {"vr": "SQ", "Value": [{_LOCAL_NAMESPACE_ENTITY_ID: {"vr": "UT", "Value": [value]}}]}
