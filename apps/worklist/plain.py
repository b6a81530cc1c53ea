"""Steps as flat JSON: attributes by the names of their columns, all levels at once; and orders from such."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from apps.storage.models import Study
from apps.worklist import codes, data_sets, linking, schedule
from apps.worklist.attributes import BY_NAME, Attribute
from apps.worklist.models import RequestedProcedure, ScheduledProcedureStep, StepStatus
from apps.worklist.order import LONGEST_DURATION, InvalidOrder, Order
from dicom.dicomjson import Json

# What a step's row says beside its attributes: never set by a change.
STATE: Final = ("id", "status", "version", "created_at", "changed_at")
_WHY: Final = {"status": "changes by a POST to status/ or cancel/"}
OTHERS: Final = "other_attributes"
DERIVED: Final = ("linked_studies",)
DURATION: Final = "duration_minutes"


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
    if not isinstance(status, str) or status not in schedule.FIRST:
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
    if order.duration_minutes is None:
        empty[DURATION] = 0
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
        return [codes.shown(item) for item in value]
    return value


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


def _minutes(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and value:
        return value
    raise ValueError(f"1 to {LONGEST_DURATION} minutes")


def _codes(name: str, value: Any) -> tuple[Json, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("a list of codes is needed")
    items = [codes.read(item) for item in value]
    return data_sets.checked_codes(name, items) if items else ()
