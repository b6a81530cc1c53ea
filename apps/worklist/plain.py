"""Steps as flat JSON: attributes by the names of their columns, all levels at once; and orders from such."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from apps.storage.models import Study
from apps.worklist import data_sets, linking, schedule
from apps.worklist.attributes import BY_NAME, Attribute, snake_case
from apps.worklist.models import RequestedProcedure, ScheduledProcedureStep, StepStatus
from apps.worklist.order import InvalidOrder, Order
from dicom.dicomjson import Json
from dicom.dictionary import tag_of

# What a step's row says beside its attributes: never set by a change.
STATE: Final = ("id", "status", "version", "created_at", "changed_at")
_WHY: Final = {"status": "changes by a POST to status/ or cancel/"}
OTHERS: Final = "other_attributes"
DERIVED: Final = ("linked_studies",)
DURATION: Final = "duration_minutes"

# PS3.3 Table 8.8-1, as far as codes of orders go.
_CODE: Final[Mapping[str, tuple[str, str]]] = {
    snake_case(keyword): (f"{tag_of(keyword):08X}", vr)
    for keyword, vr in (
        ("CodeValue", "SH"),
        ("CodingSchemeDesignator", "SH"),
        ("CodingSchemeVersion", "SH"),
        ("CodeMeaning", "LO"),
    )
}
_LONGEST: Final = {"SH": 16, "LO": 64}
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_CODE_NAMES: Final = {tag: name for name, (tag, _) in _CODE.items()}


def row(step: ScheduledProcedureStep) -> dict[str, Any]:
    """A step with all its attributes; what it has not is empty."""
    found: dict[str, Any] = {"id": step.pk, "status": step.status, "version": step.version}
    for name, attribute in BY_NAME.items():
        found[name] = _shown(attribute, data_sets.value_of(step, attribute))
    return found | {
        DURATION: step.duration_minutes,
        OTHERS: data_sets.others_of(step),
        "created_at": step.created_at,
        "changed_at": step.changed_at,
    }


def linked_studies(step: ScheduledProcedureStep) -> list[dict[str, Any]]:
    """Studies of the archive that fulfil its procedure."""
    links = {link.study_instance_uid: link for link in linking.of_step(step)}
    studies = {study.study_instance_uid: study for study in Study.objects.filter(study_instance_uid__in=links)}
    return [
        {
            "study_instance_uid": uid,
            "link": link.pk,
            "number_of_study_related_series": studies[uid].number_of_study_related_series,
            "number_of_study_related_instances": studies[uid].number_of_study_related_instances,
        }
        for uid, link in links.items()
        if uid in studies
    ]


def order_summary(procedure: RequestedProcedure) -> dict[str, Any]:
    request = procedure.imaging_service_request
    return {
        "patient_id": request.patient.patient_id,
        "patient_name": request.patient.patient_name,
        "accession_number": request.accession_number,
        "requested_procedure_id": procedure.requested_procedure_id,
        "requested_procedure_description": procedure.requested_procedure_description,
        "study_instance_uid": procedure.study_instance_uid,
        "steps": sorted(step.pk for step in procedure.steps.all()),
    }


def new(document: Any) -> tuple[Order, StepStatus]:
    """An order that is to be scheduled, and the status that it begins with. Raises InvalidOrder."""
    fields = dict(_object(document))
    status = fields.pop("status", StepStatus.SCHEDULED)
    if status not in schedule.FIRST:
        raise InvalidOrder({"status": f"a new step is {', '.join(sorted(schedule.FIRST))}"})
    given: dict[str, str] = {name: "is given by the archive" for name in STATE if name in fields}
    if given:
        raise InvalidOrder(given)
    return order(fields), StepStatus(status)


def changes(document: Any, step: ScheduledProcedureStep) -> Order:
    """What its row says beside its attributes may come back as it was, and not otherwise. Raises InvalidOrder."""
    fields = _object(document)
    now = _as_json(row(step))
    errors = {
        name: _WHY.get(name, "is given by the archive")
        for name in STATE
        if name in fields and fields[name] != now[name]
    }
    if errors:
        raise InvalidOrder(errors)
    return order({name: value for name, value in fields.items() if name not in STATE})


def order(fields: Mapping[str, Any]) -> Order:
    """Raises InvalidOrder, naming every field that is not known or of a wrong type; null says that there is none."""
    errors: dict[str, str] = {}
    said: dict[str, Any] = {}
    for name, value in fields.items():
        if name in DERIVED:
            continue
        try:
            said[name] = _reader(name)(value)
        except InvalidOrder as error:
            errors |= error.errors
        except ValueError as error:
            errors[name[:64]] = str(error)
    if errors:
        raise InvalidOrder(errors)
    return Order(**said)


def whole(order: Order) -> Order:
    """For a replacement: what it does not name is emptied, but for what a step always has."""
    empty: dict[str, Any] = {
        name: () if name.endswith("_sequence") else ""
        for name, attribute in BY_NAME.items()
        if getattr(order, name) is None and not _stays(attribute)
    }
    return replace(order, **empty)


def _object(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise InvalidOrder({"body": "an object is needed"})
    return document


def _as_json(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _stays(attribute: Attribute) -> bool:
    return attribute.required or attribute.identifies


def _shown(attribute: Attribute, value: Any) -> Any:
    if attribute.vr == "SQ" and not isinstance(value, str):
        return [_plain_code(item) for item in value]
    return value


def _plain_code(item: Json) -> Json:
    return {
        _CODE_NAMES.get(tag, tag): _first(element) if tag in _CODE_NAMES else element for tag, element in item.items()
    }


def _first(element: Any) -> Any:
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if values else ""


def _reader(name: str) -> Callable[[Any], Any]:
    """Raises ValueError."""
    if name == DURATION:
        return _minutes
    if name == OTHERS:
        return data_sets.others
    attribute = BY_NAME.get(name)
    if attribute is None:
        raise ValueError("no such field")
    if attribute.vr == "SQ" and name.endswith("_sequence"):
        return partial(_codes, name)
    if attribute.vr in ("DS", "US"):
        return _number
    return _texts if attribute.several else _text


def _text(value: Any) -> str:
    if isinstance(value, str | None):
        return value or ""
    raise ValueError("no text")


def _texts(value: Any) -> str:
    """Several values also as a list."""
    if not isinstance(value, list):
        return _text(value)
    texts = [_text(each) for each in value]
    if any("\\" in each or not each.strip() for each in texts):
        raise ValueError("each value is a text without a backslash")
    return "\\".join(texts)


def _number(value: Any) -> str:
    """Also as a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.10g}"
    return _text(value)


def _minutes(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError("no number of minutes")


def _codes(name: str, value: Any) -> tuple[Json, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("a list of codes is needed")
    items = [_code(item) for item in value]
    return data_sets.checked_codes(name, items) if items else ()


def _code(item: Any) -> Json:
    """Its usual parts by name, others by tag as DICOM JSON has them."""
    if not isinstance(item, dict):
        raise ValueError(f"a code has {', '.join(_CODE)}")
    named = {name: value for name, value in item.items() if not _TAG.fullmatch(name)}
    if unknown := sorted(named.keys() - _CODE.keys()):
        raise ValueError(f"no part of a code: {unknown[0][:64]}")
    if not all(isinstance(part, str) for part in named.values()):
        raise ValueError("each part of a code is a text")
    parts = {
        tag: {"vr": vr, "Value": [_part(named[name], vr)]}
        for name, (tag, vr) in _CODE.items()
        if named.get(name, "").strip()
    }
    return {tag.upper(): element for tag, element in item.items() if tag not in named} | parts


def _part(text: str, vr: str) -> str:
    most = _LONGEST[vr]
    if len(text.strip()) > most:
        raise ValueError(f"longer than {most} characters: {text[:20]}...")
    if any(character < " " or character in "\\\x7f" for character in text):
        raise ValueError("a code holds no control character and no backslash")
    return text.strip()
