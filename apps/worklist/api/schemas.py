"""Schemas of the worklist in the OpenAPI description, from the table of attributes, and their examples."""

from collections.abc import Mapping
from typing import Any, Final

from apps.accounts.describing import Schema, reference
from apps.worklist import plain, schedule
from apps.worklist.attributes import BY_NAME, Attribute
from apps.worklist.models import LinkState, StepStatus
from apps.worklist.order import LENGTHS, LONGEST_DURATION

TEXT: Final[Schema] = {"type": "string"}
_CODE: Final[Schema] = {
    "type": "object",
    "description": "PS3.3 Table 8.8-1; more elements by tag, as DICOM JSON has them",
    "properties": {
        "code_value": {**TEXT, "maxLength": 16},
        "coding_scheme_designator": {**TEXT, "maxLength": 16},
        "coding_scheme_version": {**TEXT, "maxLength": 16},
        "code_meaning": {**TEXT, "maxLength": 64},
    },
    "required": ["code_value", "code_meaning"],
}
_FORMS: Final = {
    "DA": "`20261125` or `2026-11-25`",
    "TM": "`0830`, `083000` or `08:30`; local, never shifted",
    "PN": "family^given^middle^prefix^suffix; other scripts after `=`",
}
_EXAMPLES: Final[Mapping[str, str]] = {
    "patient_id": "17",
    "patient_name": "Doe^Jane",
    "patient_birth_date": "19800102",
    "patient_sex": "F",
    "accession_number": "A0001",
    "modality": "CT",
    "scheduled_station_ae_title": "CT1",
    "scheduled_procedure_step_start_date": "20261125",
    "scheduled_procedure_step_start_time": "083000",
    "requested_procedure_description": "CT head without contrast",
}
ORDER_EXAMPLE: Final[Mapping[str, Any]] = {
    **_EXAMPLES,
    "requested_procedure_code_sequence": [
        {"code_value": "CTHEAD", "coding_scheme_designator": "99LOCAL", "code_meaning": "CT head"}
    ],
    "duration_minutes": 20,
}
ROW_EXAMPLE: Final[Mapping[str, Any]] = {
    "id": 17,
    "status": "SCHEDULED",
    "version": "1.1.1.1",
    **ORDER_EXAMPLE,
    "requested_procedure_id": "P0000017",
    "scheduled_procedure_step_id": "S0000017",
    "study_instance_uid": "2.25.329800735698586629295641978511506172918",
    "created_at": "2026-11-24T15:04:05.123456Z",
    "changed_at": "2026-11-24T15:04:05.123456Z",
    "linked_studies": [],
}


def described(attribute: Attribute) -> str:
    tag = f"({attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X}) {attribute.vr} {attribute.keyword}"
    form = _FORMS.get(attribute.vr)
    return f"{tag}: {form}" if form else tag


def _property(name: str, attribute: Attribute, *, given: bool) -> Schema:
    about: dict[str, Any] = {"description": described(attribute)}
    if name in _EXAMPLES:
        about["example"] = _EXAMPLES[name]
    if name.endswith("_sequence"):
        return {**about, "type": "array", "items": reference("Code")}
    text: dict[str, Any] = dict(TEXT)
    if attribute.among:
        text["enum"] = [*attribute.among, ""]
    elif attribute.vr in LENGTHS and not attribute.several and attribute.vr != "PN":
        text["maxLength"] = LENGTHS[attribute.vr]
    if given and attribute.several:
        return {**about, "oneOf": [text, {"type": "array", "items": text}]}
    if given and attribute.vr in ("DS", "US"):
        return {**about, "oneOf": [text, {"type": "number"}]}
    return {**about, **text}


_DURATION: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": LONGEST_DURATION}
_DATA_SET: Final[Schema] = {"type": "object", "description": "The DICOM JSON model (PS3.18 annex F)"}
_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_STUDY: Final[Schema] = {
    "type": "object",
    "properties": {
        "study_instance_uid": TEXT,
        "link": {"type": "integer"},
        "number_of_study_related_series": {"type": "integer"},
        "number_of_study_related_instances": {"type": "integer"},
    },
}
_GIVEN: Final = {name: {**_property(name, each, given=True), "nullable": True} for name, each in BY_NAME.items()}
_SHOWN: Final = {name: _property(name, each, given=False) for name, each in BY_NAME.items()}
STATE: Final[Mapping[str, Schema]] = {
    "id": {"type": "integer"},
    "status": {"type": "string", "enum": StepStatus.values},
    "version": {"type": "string", "description": "Changes with every row of the order"},
    "created_at": _MOMENT,
    "changed_at": _MOMENT,
}
EVENT: Final[Schema] = {
    "type": "object",
    "properties": {name: TEXT for name in ("action", "status", "actor", "reason")}
    | {"at": _MOMENT, "detail": {"type": "object", "description": "Attribute: [before, after]"}},
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Code": _CODE,
    "Order": {
        "type": "object",
        "description": "All levels at once: the levels above a step are made, or joined by patient ID, accession "
        "number and requested procedure ID. Numbers and UIDs that are not given are generated; null: there is none.",
        "properties": {
            **_GIVEN,
            plain.DURATION: {**_DURATION, "nullable": True},
            plain.OTHERS: _DATA_SET,
            "status": {"type": "string", "enum": sorted(schedule.FIRST)},
        },
        "required": ["patient_id", "patient_name"],
    },
    "OrderChanges": {
        "type": "object",
        "properties": {**_GIVEN, plain.DURATION: {**_DURATION, "nullable": True}, plain.OTHERS: _DATA_SET},
    },
    "ScheduledProcedureStep": {
        "type": "object",
        "properties": {
            **STATE,
            **_SHOWN,
            plain.DURATION: {**_DURATION, "nullable": True},
            plain.OTHERS: _DATA_SET,
            "linked_studies": {"type": "array", "items": _STUDY},
        },
        "required": [*STATE, *_SHOWN],
    },
    "WorklistItem": {
        **_DATA_SET,
        "description": "The data set of a worklist answer (PS3.4 Table K.6-1) in the DICOM JSON model",
    },
    "Outcomes": {
        "type": "object",
        "properties": {
            "created": {"type": "integer"},
            "failed": {"type": "integer"},
            "results": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "status": {"type": "integer"},
                        "row": reference("ScheduledProcedureStep"),
                        "title": TEXT,
                        "errors": {"type": "object", "additionalProperties": TEXT},
                    },
                    "required": ["status"],
                },
            },
        },
        "required": ["created", "failed", "results"],
    },
    "StudyLink": {
        "type": "object",
        "properties": {
            **{
                name: TEXT
                for name in ("version", "study_instance_uid", "matched_by", "question", "decided_by", "reason")
            },
            "id": {"type": "integer"},
            "state": {"type": "string", "enum": LinkState.values},
            "differences": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"study": TEXT, "order": TEXT}},
            },
            "changed_at": _MOMENT,
            "study": {"type": "object", "nullable": True},
            "order": {"type": "object"},
            "history": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["id", "state", "study_instance_uid"],
    },
}
