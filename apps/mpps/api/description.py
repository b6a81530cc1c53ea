"""Performed procedure steps in the OpenAPI description."""

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
from apps.mpps import plain
from apps.mpps.models import PerformedStatus
from apps.mpps.search import FILTERS
from apps.worklist.attributes import Attribute
from apps.worklist.order import LENGTHS
from dicom.media import JSON as DICOM_JSON

TAG: Final = "Performed procedure steps"

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer"}
_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_CODES: Final[Schema] = {"type": "array", "items": reference("Code")}


def _property(attribute: Attribute) -> Schema:
    about = f"({attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X}) {attribute.vr} {attribute.keyword}"
    most = {"maxLength": LENGTHS[attribute.vr]} if attribute.vr in LENGTHS and attribute.vr != "PN" else {}
    return {**_TEXT, **most, "description": about}


def _properties(table: Mapping[str, Attribute]) -> dict[str, Schema]:
    return {name: _property(attribute) for name, attribute in table.items()}


_OF_CODES: Final = dict.fromkeys(plain.CODES, _CODES)
_CHANGES: Final[Mapping[str, Schema]] = {
    **_properties(plain.CHANGED),
    **_OF_CODES,
    plain.SERIES: {"type": "array", "items": reference("PerformedSeries")},
}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "PerformedSeries": {
        "type": "object",
        "properties": {
            **_properties(plain.OF_SERIES),
            "instances": {
                "type": "array",
                "items": {"type": "object", "properties": {"sop_class_uid": _TEXT, "sop_instance_uid": _TEXT}},
            },
        },
        "required": ["series_instance_uid", "protocol_name"],
    },
    "PerformedStepReport": {
        "type": "object",
        "description": "What is not given comes from the steps of the worklist, else from now",
        "properties": {
            plain.SCHEDULED: {"type": "array", "items": _NUMBER, "description": "Ids of steps of the worklist"},
            plain.UID: {**_TEXT, "maxLength": 64},
            **_properties({**plain.CREATED, **plain.OF_SCHEDULED}),
            **_CHANGES,
        },
    },
    "PerformedStepChanges": {"type": "object", "properties": _CHANGES},
    "PerformedProcedureStep": {
        "type": "object",
        "properties": {
            "id": _NUMBER,
            plain.UID: _TEXT,
            "status": {"type": "string", "enum": PerformedStatus.values},
            "version": _TEXT,
            **_properties(plain.CREATED),
            **_OF_CODES,
            "discontinuation_reason": _TEXT,
            "needs_reconciliation": {"type": "boolean"},
            plain.SCHEDULED: {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "item": _NUMBER,
                        "step": {**_NUMBER, "nullable": True, "description": "Of the worklist"},
                        **_properties(plain.OF_SCHEDULED),
                    },
                },
            },
            "progress": {
                "type": "object",
                "properties": {"received": _NUMBER, "referred": _NUMBER, "text": _TEXT},
            },
            "missing": {"type": "array", "items": _TEXT, "description": "Instances that have not arrived"},
            "created_at": _MOMENT,
            "changed_at": _MOMENT,
            "ended_at": {**_MOMENT, "nullable": True},
        },
        "required": ["id", plain.UID, "status", "version"],
    },
    "PerformedStepDataSet": {
        "type": "object",
        "description": "The data set of the step (PS3.3 B.17.2) in the DICOM JSON model",
    },
}
_ROW: Final = {JSON: reference("PerformedProcedureStep"), DICOM_JSON: reference("PerformedStepDataSet")}
_ONLY: Final = {JSON: reference("PerformedProcedureStep")}
_EVENT: Final[Schema] = {
    "type": "object",
    "properties": {name: _TEXT for name in ("action", "status", "actor", "reason")} | {"at": _MOMENT},
}
_CHANGED: Final = (*SENT, 404, 412)
_ENDED_SERIES: Final[Mapping[str, Any]] = {
    "series_instance_uid": "1.2.3.1",
    "protocol_name": "Head",
    "instances": [{"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "sop_instance_uid": "1.2.3.1.1"}],
}

search = operation(
    "Search for performed steps, the latest first",
    name="procedure_steps_search",
    tag=TAG,
    gives={JSON: page_of(_ONLY[JSON]), DICOM_JSON: {"type": "array", "items": _ROW[DICOM_JSON]}},
    parameters=[*(OpenApiParameter(name, str) for name in FILTERS), LIMIT, AFTER],
)
create = operation(
    "Begin a step (N-CREATE)",
    tag=TAG,
    status=201,
    gives=_ROW,
    takes={JSON: reference("PerformedStepReport"), DICOM_JSON: _ROW[DICOM_JSON]},
    statuses=(*SENT, 422),
    parameters=[IDEMPOTENCY_KEY],
    examples=[
        example("Of the worklist", {"scheduled_steps": [17]}),
        example(
            "Without a schedule",
            {"patient_id": "17", "patient_name": "Doe^Jane", "modality": "CT", "performed_station_ae_title": "CT1"},
        ),
    ],
)
read = operation("Read a step, and what of its images has arrived", tag=TAG, gives=_ROW, statuses=(*ASKED, 404))
change = operation(
    "Say more of a step in progress (N-SET)",
    tag=TAG,
    gives=_ROW,
    takes={JSON: reference("PerformedStepChanges"), DICOM_JSON: _ROW[DICOM_JSON]},
    statuses=_CHANGED,
    parameters=[IF_MATCH],
    examples=[example("A series", {"series": [_ENDED_SERIES]})],
)


def _end(summary: str, properties: Mapping[str, Schema], given: Any, *required: str) -> Any:
    body = {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}
    return operation(
        summary,
        tag=TAG,
        gives=_ONLY,
        takes={JSON: body},
        statuses=(*_CHANGED, 422),
        parameters=[IF_MATCH, IDEMPOTENCY_KEY],
        examples=[example("As usual", given)],
    )


complete = _end("End a step: completed", _CHANGES, {"series": [_ENDED_SERIES]})
discontinue = _end(
    "End a step: discontinued",
    {**_CHANGES, "reason": reference("Code")},
    {
        "reason": {
            "code_value": "110514",
            "coding_scheme_designator": "DCM",
            "code_meaning": "Incorrect worklist entry selected",
        }
    },
)
close = _end(
    "End a step by hand, whose modality will not",
    {"status": {"type": "string", "enum": ["COMPLETED", "DISCONTINUED"]}, "reason": _TEXT},
    {"status": "COMPLETED", "reason": "The modality was switched off"},
    "status",
    "reason",
)
attach = _end(
    "Say which step of the worklist it was, or none",
    {"item": _NUMBER, "step": {**_NUMBER, "nullable": True}, "reason": _TEXT},
    {"item": 3, "step": 17, "reason": "Chosen wrongly at the modality"},
    "item",
    "step",
)
history = operation(
    "Who reported or did what",
    tag=TAG,
    gives={JSON: page_of(_EVENT)},
    statuses=(*ASKED, 404),
    parameters=[LIMIT, AFTER],
)

report = operation(
    "Report a step of ours to another system (MPPS as SCU)",
    tag=TAG,
    takes={
        JSON: {
            "type": "object",
            "properties": {
                "peer": {**_TEXT, "description": "Name of a peer that has an address"},
                "action": {"type": "string", "enum": ["create", "set", "complete", "discontinue"]},
                "sop_instance_uid": {**_TEXT, "description": "Of the step; `create` makes one"},
                "attributes": {"type": "object", "additionalProperties": {}, "description": "DICOM JSON"},
            },
            "required": ["peer", "action"],
        }
    },
    gives={JSON: {"type": "object", "properties": {"sop_instance_uid": _TEXT, "status": _TEXT}}},
    statuses=(*SENT, 404, 502),
    examples=[
        example(
            "A step begins",
            {"peer": "RIS", "action": "create", "attributes": {"00100020": {"vr": "LO", "Value": ["17"]}}},
        )
    ],
)
