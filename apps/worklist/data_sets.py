"""Steps as data sets of worklist items in the DICOM JSON model (PS3.18 annex F), and orders from such."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from apps.worklist import importing
from apps.worklist.attributes import (
    ATTRIBUTES,
    BY_NAME,
    PATHS,
    SCHEDULED_PROCEDURE_STEP_SEQUENCE,
    SCHEDULED_PROCEDURE_STEP_STATUS,
    SPECIFIC_CHARACTER_SET,
    Attribute,
    Level,
)
from apps.worklist.models import ScheduledProcedureStep, StepStatus
from apps.worklist.order import InvalidOrder, Order
from apps.worklist.query import ON_THE_WIRE
from dicom.assembling import BulkData, assemble
from dicom.dicomjson import Json, from_text
from dicom.encoding import read_identifier
from dicom.errors import InvalidDataSet

_STEP: Final = f"{SCHEDULED_PROCEDURE_STEP_SEQUENCE:08X}"
_STATUS: Final = f"{SCHEDULED_PROCEDURE_STEP_STATUS:08X}"
_CHARACTER_SET: Final = f"{SPECIFIC_CHARACTER_SET:08X}"
_LOCAL_NAMESPACE_ENTITY_ID: Final = "00400031"
_ISSUER: Final = BY_NAME["issuer_of_accession_number"]


def data_set(step: ScheduledProcedureStep) -> Json:
    """All that is known of a step; of what is not, an empty element."""
    found: Json = {_CHARACTER_SET: {"vr": "CS", "Value": ["ISO_IR 192"]}}
    item: Json = {_STATUS: from_text(ON_THE_WIRE[step.status], "CS")}
    for tag, attribute in ATTRIBUTES.items():
        (item if attribute.level is Level.STEP else found)[f"{tag:08X}"] = _element(
            attribute, value_of(step, attribute)
        )
    return _whole({**found, **_kept(step, upper=True)}, {**item, **_kept(step, upper=False)})


def others_of(step: ScheduledProcedureStep) -> Json:
    """What of a step has no field of its own."""
    item = _kept(step, upper=False)
    found = _kept(step, upper=True)
    return _whole(found, item) if item else found


def value_of(step: ScheduledProcedureStep, attribute: Attribute) -> Any:
    """Empty, too, where there is no such row."""
    row = _row(step, attribute.level)
    return "" if row is None else getattr(row, attribute.name)


def _row(step: ScheduledProcedureStep, level: Level) -> Any:
    row: Any = step
    for part in PATHS[level].split("__"):
        row = getattr(row, part) if part and row is not None else row
    return row


def _kept(step: ScheduledProcedureStep, *, upper: bool) -> Json:
    found: Json = {}
    for level in Level:
        if (level is not Level.STEP) is upper and (row := _row(step, level)) is not None:
            found |= row.other_attributes
    found.pop(_CHARACTER_SET, None)  # of the item as it came
    return found


def _whole(found: Json, item: Json) -> Json:
    return dict(sorted({**found, _STEP: {"vr": "SQ", "Value": [dict(sorted(item.items()))]}}.items()))


def _element(attribute: Attribute, value: Any) -> Json:
    if attribute is _ISSUER:
        items = [{_LOCAL_NAMESPACE_ENTITY_ID: {"vr": "UT", "Value": [value]}}] if value else []
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if attribute.vr == "SQ":
        return {"vr": "SQ", "Value": list(value)} if value else {"vr": "SQ"}
    return from_text(value, attribute.vr)


def order(document: Any) -> tuple[Order, StepStatus]:
    """Of a data set with one step. Raises InvalidOrder."""
    if isinstance(document, dict) and _STEP not in document:
        document = {**document, _STEP: {"vr": "SQ", "Value": [{}]}}
    found = list(_orders(document))
    if len(found) != 1:
        raise InvalidOrder({_STEP: "one step for each data set"})
    return found[0]


def checked_codes(name: str, items: list[Json]) -> tuple[Json, ...]:
    """Items of a code sequence, with whatever else is in them. Raises InvalidOrder."""
    attribute = BY_NAME[name]
    whole = {f"{attribute.tag:08X}": {"vr": "SQ", "Value": items}}
    if attribute.level is Level.STEP:
        whole = {_STEP: {"vr": "SQ", "Value": [whole]}}
    found: tuple[Json, ...] = getattr(order(whole)[0], name) or ()
    return found


def others(document: Any) -> Mapping[Level, Json]:
    """What has no field of its own, as a data set. Raises InvalidOrder."""
    if document in (None, {}):
        return {}
    found, _ = order(document)
    if said := found.said():
        raise InvalidOrder({"other_attributes": f"has fields of its own: {', '.join(said)}"})
    return found.other_attributes


def _orders(document: Any) -> Iterator[tuple[Order, StepStatus]]:
    """Written and read again: what is read from the network is checked in one place."""
    try:
        made = assemble(document, _nothing)
        raw = b"".join(piece for piece in made.pieces if isinstance(piece, bytes))
        for found, status in importing.orders(read_identifier(raw, made.transfer_syntax_uid)):
            yield _without_character_set(found), status
    except InvalidDataSet as error:
        raise InvalidOrder({_name(error.offending_element): str(error)}) from error


def _without_character_set(found: Order) -> Order:
    """JSON has but one."""
    kept = {
        level: {tag: element for tag, element in elements.items() if tag != _CHARACTER_SET}
        for level, elements in found.other_attributes.items()
    }
    return replace(found, other_attributes={level: elements for level, elements in kept.items() if elements})


def _nothing(uri: str) -> BulkData | None:
    return None


def _name(tag: int | None) -> str:
    if tag is None:
        return "body"
    return ATTRIBUTES[tag].name if tag in ATTRIBUTES else f"{tag:08X}"
