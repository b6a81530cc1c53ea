"""The worklist in the OpenAPI description: schemas from the table of attributes, and examples."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter

from apps.accounts.describing import (
    AFTER,
    ASKED,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LIMIT,
    SENT,
    Schema,
    example,
    operation,
    page_of,
    reference,
)
from apps.accounts.rest import JSON
from apps.lookups import Kind
from apps.worklist import plain, schedule
from apps.worklist.attributes import BY_NAME, Attribute
from apps.worklist.models import LinkState, StepStatus
from apps.worklist.order import LENGTHS, LONGEST_DURATION
from apps.worklist.search import CHANGED_SINCE, FILTERS, SHORT, STATUS
from dicom.media import JSON as DICOM_JSON

WORKLIST: Final = "Worklist"
LINKS: Final = "Studies and orders"

_TEXT: Final[Schema] = {"type": "string"}
_CODE: Final[Schema] = {
    "type": "object",
    "description": "PS3.3 Table 8.8-1; more elements by tag, as DICOM JSON has them",
    "properties": {
        "code_value": {**_TEXT, "maxLength": 16},
        "coding_scheme_designator": {**_TEXT, "maxLength": 16},
        "coding_scheme_version": {**_TEXT, "maxLength": 16},
        "code_meaning": {**_TEXT, "maxLength": 64},
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


def _described(attribute: Attribute) -> str:
    tag = f"({attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X}) {attribute.vr} {attribute.keyword}"
    form = _FORMS.get(attribute.vr)
    return f"{tag}: {form}" if form else tag


def _property(name: str, attribute: Attribute, *, given: bool) -> Schema:
    about: dict[str, Any] = {"description": _described(attribute)}
    if name in _EXAMPLES:
        about["example"] = _EXAMPLES[name]
    if name.endswith("_sequence"):
        return {**about, "type": "array", "items": reference("Code")}
    text: dict[str, Any] = dict(_TEXT)
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
        "study_instance_uid": _TEXT,
        "link": {"type": "integer"},
        "number_of_study_related_series": {"type": "integer"},
        "number_of_study_related_instances": {"type": "integer"},
    },
}
_GIVEN: Final = {name: {**_property(name, each, given=True), "nullable": True} for name, each in BY_NAME.items()}
_SHOWN: Final = {name: _property(name, each, given=False) for name, each in BY_NAME.items()}
_STATE: Final[Mapping[str, Schema]] = {
    "id": {"type": "integer"},
    "status": {"type": "string", "enum": StepStatus.values},
    "version": {"type": "string", "description": "Changes with every row of the order"},
    "created_at": _MOMENT,
    "changed_at": _MOMENT,
}
_EVENT: Final[Schema] = {
    "type": "object",
    "properties": {name: _TEXT for name in ("action", "status", "actor", "reason")}
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
            **_STATE,
            **_SHOWN,
            plain.DURATION: {**_DURATION, "nullable": True},
            plain.OTHERS: _DATA_SET,
            "linked_studies": {"type": "array", "items": _STUDY},
        },
        "required": [*_STATE, *_SHOWN],
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
                        "title": _TEXT,
                        "errors": {"type": "object", "additionalProperties": _TEXT},
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
                name: _TEXT
                for name in ("version", "study_instance_uid", "matched_by", "question", "decided_by", "reason")
            },
            "id": {"type": "integer"},
            "state": {"type": "string", "enum": LinkState.values},
            "differences": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"study": _TEXT, "order": _TEXT}},
            },
            "changed_at": _MOMENT,
            "study": {"type": "object", "nullable": True},
            "order": {"type": "object"},
            "history": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["id", "state", "study_instance_uid"],
    },
}

_STEP: Final = reference("ScheduledProcedureStep")
_ITEM: Final = reference("WorklistItem")
_ROW: Final = {JSON: _STEP, DICOM_JSON: _ITEM}
_UPDATE_PATIENT: Final = OpenApiParameter(
    "update_patient", bool, description="A known patient's name, birth date and sex may change"
)
_ATOMIC: Final = OpenApiParameter("atomic", bool, description="All or none")
_REASON: Final[Schema] = {"type": "object", "properties": {"reason": _TEXT}}
_CHANGED: Final = (*SENT, 404, 412)
_RANGES: Final = {Kind.DATE: "A day or a range: `20261101-20261130`", Kind.TIME: "A time or a range: `0800-1200`"}


def _filter(name: str) -> OpenApiParameter:
    attribute = FILTERS[name]
    kind = attribute.kind or Kind.TEXT
    if name in SHORT:
        return OpenApiParameter(name, str, description=f"Short for `{attribute.name}`")
    pattern = "`*` and `?` stand for any characters; without case and accents" if "name" in kind else ""
    text = _RANGES.get(kind) or pattern or ("UIDs, separated by commas" if kind is Kind.UID else "May hold `*` and `?`")
    return OpenApiParameter(name, str, description=f"{_described(attribute).partition(':')[0]}. {text}")


search = operation(
    "Search for steps, by start",
    name="worklist_search",
    tag=WORKLIST,
    gives={JSON: page_of(_STEP), DICOM_JSON: {"type": "array", "items": _ITEM}},
    parameters=[
        *map(_filter, FILTERS),
        OpenApiParameter(STATUS, str, description=f"Some of {', '.join(StepStatus.values)}, separated by commas"),
        OpenApiParameter(CHANGED_SINCE, str, description="A moment: `2026-11-25T08:30:00Z`"),
        LIMIT,
        AFTER,
    ],
    examples=[example("One step", {"next": None, "results": [ROW_EXAMPLE]}, answer=True)],
)
create = operation(
    "Create a step, or many",
    tag=WORKLIST,
    status=201,
    others={207: "Of many, each has its own status"},
    gives={JSON: {"oneOf": [_STEP, reference("Outcomes")]}, DICOM_JSON: _ITEM},
    takes={
        JSON: {"oneOf": [reference("Order"), {"type": "array", "items": reference("Order"), "maxItems": 1000}]},
        DICOM_JSON: {"oneOf": [_ITEM, {"type": "array", "items": _ITEM, "maxItems": 1000}]},
    },
    statuses=(*SENT, 422),
    parameters=[_UPDATE_PATIENT, _ATOMIC, IDEMPOTENCY_KEY],
    examples=[
        example("CT head tomorrow", ORDER_EXAMPLE),
        example("As little as possible", {"patient_id": "17", "patient_name": "Doe^Jane"}),
        example("Two at once", [ORDER_EXAMPLE, {"patient_id": "18", "patient_name": "Roe^Richard"}]),
    ],
)
create_many = operation(
    "Create many steps",
    tag=WORKLIST,
    status=201,
    others={207: "Each has its own status"},
    gives={JSON: reference("Outcomes")},
    takes={JSON: {"type": "array", "items": reference("Order"), "minItems": 1, "maxItems": 1000}},
    statuses=(*SENT, 422),
    parameters=[_UPDATE_PATIENT, _ATOMIC, IDEMPOTENCY_KEY],
    examples=[example("One order", [ORDER_EXAMPLE])],
)
read = operation(
    "Read a step",
    tag=WORKLIST,
    gives=_ROW,
    statuses=(*ASKED, 404),
    examples=[example("Some of its attributes", ROW_EXAMPLE, answer=True)],
)
change = operation(
    "Change what is named",
    tag=WORKLIST,
    gives=_ROW,
    takes={JSON: reference("OrderChanges"), DICOM_JSON: _ITEM},
    statuses=_CHANGED,
    parameters=[_UPDATE_PATIENT, OpenApiParameter("reason", str), IF_MATCH],
    examples=[example("An hour later", {"scheduled_procedure_step_start_time": "0930"})],
)
replace = operation(
    "Replace: what is not named is emptied, but for what identifies the step and its start",
    tag=WORKLIST,
    gives=_ROW,
    takes={JSON: reference("OrderChanges"), DICOM_JSON: _ITEM},
    statuses=_CHANGED,
    parameters=[_UPDATE_PATIENT, OpenApiParameter("reason", str), IF_MATCH],
    examples=[example("As it was read, and changed", ORDER_EXAMPLE)],
)
delete = operation(
    "Cancel: the step stays to be seen",
    tag=WORKLIST,
    gives=_ROW,
    statuses=(*ASKED, 404, 409, 412),
    parameters=[OpenApiParameter("reason", str, required=True), IF_MATCH],
)
cancel = operation(
    "Cancel",
    tag=WORKLIST,
    gives={JSON: _STEP},
    takes={JSON: {**_REASON, "required": ["reason"]}},
    statuses=(*_CHANGED, 422),
    parameters=[IF_MATCH, IDEMPOTENCY_KEY],
    examples=[example("Did not come", {"reason": "The patient did not come"})],
)
advance = operation(
    "Move to another status, where a way leads there",
    tag=WORKLIST,
    gives={JSON: _STEP},
    takes={
        JSON: {
            "type": "object",
            "properties": {"status": _STATE["status"], "reason": _TEXT},
            "required": ["status"],
        }
    },
    statuses=(*_CHANGED, 422),
    parameters=[IF_MATCH, IDEMPOTENCY_KEY],
    examples=[
        example("The patient is here", {"status": "ARRIVED"}),
        example("Given up", {"status": "DISCONTINUED", "reason": "Contrast reaction"}),
    ],
)
history = operation(
    "Who did what to a step, and why",
    tag=WORKLIST,
    gives={JSON: page_of(_EVENT)},
    statuses=(*ASKED, 404),
    parameters=[LIMIT, AFTER],
)

_LINK: Final = {JSON: reference("StudyLink")}
search_links = operation(
    "Search for studies and the orders they may belong to",
    name="study_links_search",
    tag=LINKS,
    gives={JSON: page_of(reference("StudyLink"))},
    parameters=[
        OpenApiParameter(
            "state",
            {"type": "string", "enum": LinkState.values},
            description="`mismatch`: waits for a person; several separated by commas",
        ),
        OpenApiParameter("study_instance_uid", str),
        OpenApiParameter("step", int, description="The id of a step"),
        LIMIT,
        AFTER,
    ],
)
create_link = operation(
    "Link a study with an order that nothing has brought together",
    tag=LINKS,
    status=201,
    gives=_LINK,
    takes={
        JSON: {
            "type": "object",
            "properties": {"study_instance_uid": _TEXT, "step": {"type": "integer"}, "reason": _TEXT},
            "required": ["study_instance_uid", "step"],
        }
    },
    statuses=(*SENT, 404, 422),
    parameters=[IDEMPOTENCY_KEY],
    examples=[example("By hand", {"study_instance_uid": "1.2.3", "step": 17, "reason": "Asked by phone"})],
)
read_link = operation("Read a study and its order", tag=LINKS, gives=_LINK, statuses=(*ASKED, 404))


def decision(summary: str) -> Any:
    return operation(
        summary,
        tag=LINKS,
        gives=_LINK,
        takes={JSON: _REASON},
        statuses=(*_CHANGED, 422),
        parameters=[IF_MATCH, IDEMPOTENCY_KEY],
        examples=[example("Why", {"reason": "Has married"})],
    )


ask_remote = operation(
    "Ask another system's worklist; what of it is new here, changed, or in conflict",
    tag=WORKLIST,
    takes={
        JSON: {
            "type": "object",
            "properties": {
                "peer": {**_TEXT, "description": "Name of a peer that has an address"},
                "keys": {"type": "object", "additionalProperties": _TEXT},
                "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
                "import": {"type": "boolean", "description": "Take them as orders; without it nothing is kept"},
            },
            "required": ["peer"],
        }
    },
    gives={
        JSON: {
            "type": "object",
            "properties": {
                "imported": {"type": "boolean"},
                "results": {"type": "array", "items": {"type": "object", "additionalProperties": {}}},
            },
        }
    },
    statuses=(*SENT, 404, 502),
    examples=[example("CTs of one name", {"peer": "RIS", "keys": {"modality": "CT", "patient_name": "Doe*"}})],
)
