"""What a Modality Performed Procedure Step has to say, and when: PS3.4 Table F.7.2-1, states of Table F.1-4."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from dicom import status as statuses
from dicom.dicomjson import Json
from dicom.errors import DicomError
from dicom.jsonmodel import has_value, items, text
from dicom.values import is_uid, parse_date, parse_time

STATUS: Final = 0x00400252
SCHEDULED_STEP_ATTRIBUTES: Final = 0x00400270
PERFORMED_SERIES: Final = 0x00400340
REFERENCED_IMAGES: Final = 0x00081140
REFERENCED_OTHERS: Final = 0x00400220
DISCONTINUATION_REASON: Final = 0x00400281
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
SOP_CLASS_UID: Final = 0x00081150
SOP_INSTANCE_UID: Final = 0x00081155
END_DATE: Final = 0x00400250
END_TIME: Final = 0x00400251
START_DATE: Final = 0x00400244
START_TIME: Final = 0x00400245

IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
DISCONTINUED: Final = "DISCONTINUED"
FINAL: Final = (COMPLETED, DISCONTINUED)
MAY_NO_LONGER_BE_UPDATED: Final = 0xA710  # PS3.4 Table F.7.2-2

_HTTP: Final[Mapping[int, int]] = {
    statuses.DUPLICATE_INSTANCE: 409,
    statuses.NO_SUCH_INSTANCE: 404,
    statuses.PROCESSING_FAILURE: 409,
    statuses.NOT_AUTHORIZED: 403,
}


class Refused(DicomError):
    """An N-CREATE, N-SET or N-GET that cannot be done, with the status that says so and the elements it is about."""

    def __init__(
        self, status: int, comment: str, *, offending_elements: Sequence[int] = (), error_id: int | None = None
    ) -> None:
        super().__init__(comment)
        self.status = status
        self.offending_elements = tuple(offending_elements)
        self.error_id = error_id
        self.http_status = _HTTP.get(status, 400)


@dataclass(frozen=True, slots=True)
class Rule:
    """`create`: the type at N-CREATE; `settable`: by N-SET; `final`: the type in a final state, 0: as at N-CREATE."""

    tag: int
    create: int
    settable: bool = False
    final: int = 0
    items: tuple["Rule", ...] = ()


_REFERENCE: Final = (Rule(SOP_CLASS_UID, 1), Rule(SOP_INSTANCE_UID, 1))
_CODE: Final = (Rule(0x00080100, 1), Rule(0x00080102, 1), Rule(0x00080104, 3))
RULES: Final = (
    Rule(
        SCHEDULED_STEP_ATTRIBUTES,
        1,
        items=(
            Rule(STUDY_INSTANCE_UID, 1),
            Rule(0x00081110, 2, items=_REFERENCE),  # Referenced Study Sequence
            Rule(0x00080050, 2),  # Accession Number
            Rule(0x00401001, 2),  # Requested Procedure ID
            Rule(0x00321060, 2),  # Requested Procedure Description
            Rule(0x00400009, 2),  # Scheduled Procedure Step ID
            Rule(0x00400007, 2),  # Scheduled Procedure Step Description
            Rule(0x00400008, 2, items=_CODE),  # Scheduled Protocol Code Sequence
        ),
    ),
    Rule(0x00100010, 2),  # Patient's Name
    Rule(0x00100020, 2),  # Patient ID
    Rule(0x00100030, 2),  # Patient's Birth Date
    Rule(0x00100040, 2),  # Patient's Sex
    Rule(0x00081120, 2, items=_REFERENCE),  # Referenced Patient Sequence
    Rule(0x00400253, 1),  # Performed Procedure Step ID
    Rule(0x00400241, 1),  # Performed Station AE Title
    Rule(0x00400242, 2),  # Performed Station Name
    Rule(0x00400243, 2),  # Performed Location
    Rule(START_DATE, 1),
    Rule(START_TIME, 1),
    Rule(STATUS, 1, settable=True),
    Rule(0x00400254, 2, settable=True),  # Performed Procedure Step Description
    Rule(0x00400255, 2, settable=True),  # Performed Procedure Type Description
    Rule(0x00081032, 2, settable=True, items=_CODE),  # Procedure Code Sequence
    Rule(END_DATE, 2, settable=True, final=1),
    Rule(END_TIME, 2, settable=True, final=1),
    Rule(0x00080060, 1),  # Modality
    Rule(0x00200010, 2),  # Study ID
    Rule(0x00400260, 2, settable=True, items=_CODE),  # Performed Protocol Code Sequence
    Rule(
        PERFORMED_SERIES,
        2,
        settable=True,
        final=1,
        items=(
            Rule(0x00081050, 2),  # Performing Physician's Name
            Rule(0x00181030, 1),  # Protocol Name
            Rule(0x00081070, 2),  # Operators' Name
            Rule(SERIES_INSTANCE_UID, 1),
            Rule(0x0008103E, 2),  # Series Description
            Rule(0x00080054, 2),  # Retrieve AE Title
            Rule(REFERENCED_IMAGES, 2, items=_REFERENCE),
            Rule(REFERENCED_OTHERS, 2, items=_REFERENCE),
        ),
    ),
)
_NOT_SETTABLE: Final = {rule.tag for rule in RULES if not rule.settable}
_MOMENTS: Final = {START_DATE: parse_date, START_TIME: parse_time, END_DATE: parse_date, END_TIME: parse_time}
_UIDS: Final = frozenset({STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_CLASS_UID, SOP_INSTANCE_UID})


def check_create(data_set: Json, *, strict: bool) -> None:
    """Raises Refused. Not `strict`: an element of type 2 that is missing counts as empty."""
    if (state := text(data_set, STATUS)) and state != IN_PROGRESS:
        _refuse(statuses.INVALID_ATTRIBUTE_VALUE, "A step begins IN PROGRESS", [STATUS])
    _check(data_set, RULES, strict=strict, types={rule.tag: rule.create for rule in RULES})
    _check_moments(data_set, _MOMENTS.keys())


def merged(stored: Json, changes: Json, *, strict: bool) -> Json:
    """The step after an N-SET. Raises Refused.

    Not `strict`: what cannot be set may be repeated as it was created, and what was not created may be set.
    """
    if text(stored, STATUS) in FINAL:
        comment = "Performed Procedure Step Object may no longer be updated"
        raise Refused(statuses.PROCESSING_FAILURE, comment, error_id=MAY_NO_LONGER_BE_UPDATED)
    given = {int(tag, 16) for tag in changes}
    fixed = sorted(tag for tag in given & _NOT_SETTABLE if strict or not _same(stored, changes, tag))
    if fixed:
        _refuse(statuses.INVALID_ATTRIBUTE_VALUE, "Not to be changed", fixed)
    unknown = sorted(tag for tag in given if f"{tag:08X}" not in stored)
    if strict and unknown:
        _refuse(statuses.NO_SUCH_ATTRIBUTE, "Not created by N-CREATE", unknown)
    step = {**stored, **changes}
    state = text(step, STATUS)
    if state not in (IN_PROGRESS, *FINAL):
        _refuse(statuses.INVALID_ATTRIBUTE_VALUE, "No such status", [STATUS])
    types = {rule.tag: rule.create for rule in RULES}
    if state in FINAL:
        types = {rule.tag: rule.final or rule.create for rule in RULES}
        if state == DISCONTINUED and not strict:
            types[PERFORMED_SERIES] = 2
    _check(step, RULES, strict=strict, types=types, final=state in FINAL)
    _check_moments(changes, _MOMENTS.keys() - _NOT_SETTABLE)
    return step


def _same(stored: Json, changes: Json, tag: int) -> bool:
    name = f"{tag:08X}"
    return _essence(stored.get(name)) == _essence(changes.get(name))


def _essence(element: Json | None) -> object:
    """What an element says, without what is empty in its items."""
    if not element:
        return None
    values = element.get("Value") or element.get("InlineBinary") or None
    if element.get("vr") != "SQ":
        return values
    return [
        {tag: said for tag, part in item.items() if (said := _essence(part)) is not None} for item in values or ()
    ] or None


def _check(
    data_set: Json, rules: Sequence[Rule], *, strict: bool, types: Mapping[int, int], final: bool = False
) -> None:
    missing, empty, wrong = [], [], []
    for tag, kind, part in _walk(data_set, rules, types):
        if f"{tag:08X}" not in part:
            if kind == 1 or (kind == 2 and strict):
                missing.append(tag)
        elif kind == 1 and not has_value(part, tag):
            empty.append(tag)
        elif tag in _UIDS and not all(is_uid(uid) for uid in text(part, tag).split("\\")):
            wrong.append(tag)
    if final:  # PS3.4 F.7.2.2.2: what the final state lacks, though it was not asked for before
        missing, empty = [], [*missing, *empty]
    for tags, status, comment in (
        (missing, statuses.MISSING_ATTRIBUTE, "Attribute missing"),
        (empty, statuses.MISSING_ATTRIBUTE_VALUE, "Attribute without a value"),
        (wrong, statuses.INVALID_ATTRIBUTE_VALUE, "Not a UID"),
    ):
        if tags:
            _refuse(status, comment, sorted(set(tags)))


def _check_moments(data_set: Json, tags: Iterable[int]) -> None:
    """A step without a day is on no list; of what is repeated as it is stored nobody asks again."""
    said = ((tag, text(data_set, tag)) for tag in sorted(tags))
    if wrong := [tag for tag, value in said if value and _MOMENTS[tag](value) is None]:
        _refuse(statuses.INVALID_ATTRIBUTE_VALUE, "No date or time", wrong)


def _refuse(status: int, comment: str, tags: Sequence[int]) -> NoReturn:
    """An Error Comment has 64 characters: three elements are named, the response lists all."""
    names = ", ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in tags[:3])
    raise Refused(status, f"{comment}: {names}", offending_elements=tags)


def _walk(data_set: Json, rules: Sequence[Rule], types: Mapping[int, int]) -> Iterator[tuple[int, int, Json]]:
    """Each element a rule speaks of, its type here, and the data set or item it belongs to."""
    for rule in rules:
        yield rule.tag, types.get(rule.tag, rule.create), data_set
        for item in items(data_set, rule.tag) if rule.items else ():
            yield from _walk(item, rule.items, {})
