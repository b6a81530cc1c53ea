"""Worklist items of others -> orders of ours: files as wlmscpfs serves them, and answers of a remote worklist."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from apps.accounts.principal import Principal
from apps.worklist import schedule
from apps.worklist.attributes import (
    ATTRIBUTES,
    BY_NAME,
    SCHEDULED_PROCEDURE_STEP_SEQUENCE,
    SCHEDULED_PROCEDURE_STEP_STATUS,
    SPECIFIC_CHARACTER_SET,
    Attribute,
    Level,
    level_of_other,
)
from apps.worklist.entities import Disagreement
from apps.worklist.models import ScheduledProcedureStep, StepStatus
from apps.worklist.order import InvalidOrder, Order
from apps.worklist.query import ON_THE_WIRE
from dicom.dicomjson import Json, from_bytes
from dicom.encoding import Identifier, read_identifier
from dicom.errors import InvalidDataSet
from dicom.part10 import read_meta
from dicom.values import parse_date, parse_time

_MOST_BYTES: Final = 1 << 24
_CHARACTER_SET: Final = f"{SPECIFIC_CHARACTER_SET:08X}"
_LOCAL_NAMESPACE_ENTITY_ID: Final = 0x00400031
_UNIVERSAL_ENTITY_ID: Final = 0x00400032
# Of the file or the query, not of the order: SOP class and instance, level, offset from UTC.
_NOT_OF_THE_ORDER: Final = frozenset({0x00080016, 0x00080018, 0x00080052, 0x00080054, 0x00080056, 0x00080201})
# What a person knows an order by.
SHOWN: Final = ("scheduled_procedure_step_id", "accession_number", "patient_id", "patient_name")
_STATUSES: Final = {name: StepStatus(status) for status, name in ON_THE_WIRE.items() if name}


class Outcome(StrEnum):
    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one step: `changed` names attributes, `errors` says what is wrong with those that stand against
    what we have, or that nobody can schedule."""

    outcome: Outcome
    order: Order
    step_id: int | None = None
    changed: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)


def read_file(path: Path) -> Identifier:
    """Raises InvalidDataSet, OSError."""
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidDataSet("Too long for a worklist item")
    raw = path.read_bytes()
    meta = read_meta(raw, lenient=True)
    return read_identifier(raw[meta.dataset_offset :], meta.transfer_syntax_uid)


def take(item: Identifier, *, principal: Principal) -> list[Taken]:
    """Each step of a worklist item: made, or changed to what the item says. Where item and what we have exclude each
    other nothing is changed. Raises InvalidDataSet for what is no worklist item, schedule.NotAllowed."""
    return [_take(order, status, principal) for order, status in orders(item)]


def lines(item: Identifier, *, principal: Principal) -> list[dict[str, Any]]:
    """What became of each step, for reports."""
    try:
        return [_described(taken) for taken in take(item, principal=principal)]
    except InvalidDataSet as error:
        return [unreadable(str(error))]


def unreadable(why: str) -> dict[str, Any]:
    return {"outcome": str(Outcome.UNREADABLE), "errors": {"item": why}}


def as_text(line: Mapping[str, Any], *also: str) -> str:
    """For people."""
    named = [line[name] for name in SHOWN if name in line]
    detail = [*line.get("changed", ()), *(f"{name}: {why}" for name, why in line.get("errors", {}).items())]
    return "  ".join([f"{line['outcome']:<10}", *named, *also, *detail])


def total(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counted.items())) or "nothing"


def _described(taken: Taken) -> dict[str, Any]:
    named = {name: value for name in SHOWN if (value := getattr(taken.order, name))}
    detail = {"changed": list(taken.changed), "errors": dict(taken.errors)}
    return {"outcome": str(taken.outcome), **named, **{name: value for name, value in detail.items() if value}}


def _take(order: Order, status: StepStatus, principal: Principal) -> Taken:
    try:
        _refuse_unreadable_start(order)
        known = _known(order)
        if known is None:
            made = _made(order, status, principal)
            return Taken(Outcome.NEW, order, made.pk, _changed(made, "schedule"))
        before = known.version
        changes = _without_character_set(order)
        step = schedule.reschedule(principal=principal, step_id=known.pk, changes=changes, lenient=True)
    except (InvalidOrder, Disagreement) as error:
        return Taken(Outcome.CONFLICT, order, errors=error.errors)
    if step.version == before:
        return Taken(Outcome.UNCHANGED, order, step.pk)
    return Taken(Outcome.CHANGED, order, step.pk, _changed(step, "reschedule"))


def _changed(step: ScheduledProcedureStep, action: str) -> tuple[str, ...]:
    """Of rows that were there before: a new step may change its patient's."""
    event = step.events.filter(action=action).order_by("-pk").first()
    return tuple(sorted(event.detail)) if event else ()


def _without_character_set(order: Order) -> Order:
    """In which one an item comes again says nothing new of the order."""
    of_step = {tag: entry for tag, entry in order.other_attributes.get(Level.STEP, {}).items() if tag != _CHARACTER_SET}
    return replace(order, other_attributes={**order.other_attributes, Level.STEP: of_step})


def _made(order: Order, status: StepStatus, principal: Principal) -> ScheduledProcedureStep:
    step = schedule.schedule(principal=principal, order=order, lenient=True)
    if status != step.status:
        step = schedule.advance(principal=principal, step_id=step.pk, to=status)
    return step


def _refuse_unreadable_start(order: Order) -> None:
    """A step of some other day than the item means would be worse than none."""
    readers = {
        "scheduled_procedure_step_start_date": (parse_date, "no date"),
        "scheduled_procedure_step_start_time": (parse_time, "no time"),
    }
    errors = {
        name: why for name, (read, why) in readers.items() if (text := getattr(order, name)) and read(text) is None
    }
    if errors:
        raise InvalidOrder(errors)


def _known(order: Order) -> ScheduledProcedureStep | None:
    """The step that the order names: by the study, else by accession number and requested procedure; and by its own ID,
    without which it must be the only one."""
    above = "requested_procedure__"
    if order.study_instance_uid:
        of_procedure = {f"{above}study_instance_uid": order.study_instance_uid}
    elif order.accession_number and order.requested_procedure_id:
        of_procedure = {
            f"{above}requested_procedure_id": order.requested_procedure_id,
            f"{above}imaging_service_request__accession_number": order.accession_number,
            f"{above}imaging_service_request__issuer_of_accession_number": order.issuer_of_accession_number or "",
        }
    else:
        return None
    steps = ScheduledProcedureStep.objects.with_order().filter(**of_procedure)
    if order.scheduled_procedure_step_id:
        return steps.filter(scheduled_procedure_step_id=order.scheduled_procedure_step_id).first()
    found = list(steps[:2])
    return found[0] if len(found) == 1 else None


def orders(item: Identifier) -> Iterator[tuple[Order, StepStatus]]:
    """One for each step."""
    steps = item.items(SCHEDULED_PROCEDURE_STEP_SEQUENCE)
    if not steps:
        raise InvalidDataSet(
            "No worklist item: it schedules no step", offending_element=SCHEDULED_PROCEDURE_STEP_SEQUENCE
        )
    outside = _said(item, {tag: each for tag, each in ATTRIBUTES.items() if each.level is not Level.STEP})
    of_steps = {tag: each for tag, each in ATTRIBUTES.items() if each.level is Level.STEP}
    for step in steps:
        others: dict[Level, dict[str, Any]] = {}
        for tag, entry in as_json(item).items():
            number = int(tag, 16)
            if number not in ATTRIBUTES and number not in _NOT_OF_THE_ORDER | {SCHEDULED_PROCEDURE_STEP_SEQUENCE}:
                # In which character set the item came, answers are tried first.
                level = Level.STEP if number == SPECIFIC_CHARACTER_SET else level_of_other(number)
                others.setdefault(level, {})[tag] = entry
        for tag, entry in as_json(step).items():
            if int(tag, 16) not in of_steps and int(tag, 16) != SCHEDULED_PROCEDURE_STEP_STATUS:
                others.setdefault(Level.STEP, {})[tag] = entry
        order = replace(Order(other_attributes=others), **outside, **_said(step, of_steps))
        yield order, _STATUSES.get(step.text(SCHEDULED_PROCEDURE_STEP_STATUS), StepStatus.SCHEDULED)


def _said(item: Identifier, attributes: Mapping[int, Attribute]) -> dict[str, Any]:
    """Values by name; what is empty says nothing (type 2)."""
    values = {each.name: _value(item, each) for tag, each in attributes.items() if tag in item}
    return {name: value for name, value in values.items() if value}


def _value(item: Identifier, attribute: Attribute) -> str | tuple[Json, ...]:
    if attribute is BY_NAME["issuer_of_accession_number"]:
        (issuer, *_) = (*item.items(attribute.tag), Identifier({}, ()))
        return issuer.text(_LOCAL_NAMESPACE_ENTITY_ID) or issuer.text(_UNIVERSAL_ENTITY_ID)
    if attribute.vr == "SQ":
        return tuple(as_json(code) for code in item.items(attribute.tag))
    return item.text(attribute.tag)


def as_json(item: Identifier) -> Json:
    """The DICOM JSON model (PS3.18 annex F) of the elements that have a value and are known to the standard."""
    entries = {f"{tag:08X}": _entry(item, tag) for tag in item.elements if not tag >> 16 & 1}
    return {tag: entry for tag, entry in entries.items() if entry.keys() & {"Value", "InlineBinary"}}


def _entry(item: Identifier, tag: int) -> Json:
    element = item.elements[tag]
    if element.items is not None:
        return {"vr": "SQ", "Value": [as_json(nested) for nested in element.items]} if element.items else {"vr": "SQ"}
    return from_bytes(element.value, element.vr, item.character_sets)
