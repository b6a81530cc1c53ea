"""The worklist in the OpenAPI description: its operations, and examples."""

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
from apps.worklist.api.schemas import EVENT, ORDER_EXAMPLE, ROW_EXAMPLE, STATE, TEXT, described
from apps.worklist.models import LinkState, StepStatus
from apps.worklist.search import CHANGED_SINCE, FILTERS, SHORT, STATUS
from dicom.media import JSON as DICOM_JSON

WORKLIST: Final = "Worklist"
LINKS: Final = "Studies and orders"

_STEP: Final = reference("ScheduledProcedureStep")
_ITEM: Final = reference("WorklistItem")
_ROW: Final = {JSON: _STEP, DICOM_JSON: _ITEM}
_UPDATE_PATIENT: Final = OpenApiParameter(
    "update_patient", bool, description="A known patient's name, birth date and sex may change"
)
_ATOMIC: Final = OpenApiParameter("atomic", bool, description="All or none")
_REASON: Final[Schema] = {"type": "object", "properties": {"reason": TEXT}}
_CHANGED: Final = (*SENT, 404, 412)
_RANGES: Final = {Kind.DATE: "A day or a range: `20261101-20261130`", Kind.TIME: "A time or a range: `0800-1200`"}


def _filter(name: str) -> OpenApiParameter:
    attribute = FILTERS[name]
    kind = attribute.kind or Kind.TEXT
    if name in SHORT:
        return OpenApiParameter(name, str, description=f"Short for `{attribute.name}`")
    pattern = "`*` and `?` stand for any characters; without case and accents" if "name" in kind else ""
    text = _RANGES.get(kind) or pattern or ("UIDs, separated by commas" if kind is Kind.UID else "May hold `*` and `?`")
    return OpenApiParameter(name, str, description=f"{described(attribute).partition(':')[0]}. {text}")


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
            "properties": {"status": STATE["status"], "reason": TEXT},
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
    gives={JSON: page_of(EVENT)},
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
            "properties": {"study_instance_uid": TEXT, "step": {"type": "integer"}, "reason": TEXT},
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
                "peer": {**TEXT, "description": "Name of a peer that has an address"},
                "keys": {"type": "object", "additionalProperties": TEXT},
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
