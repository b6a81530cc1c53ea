"""Routing rules in the OpenAPI description."""

from collections.abc import Mapping
from typing import Any, Final

from apps.accounts.describing import (
    ASKED,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    SENT,
    Schema,
    example,
    operation,
    page_of,
    reference,
)
from apps.accounts.rest import JSON
from apps.routing.attributes import ATTRIBUTES, Form
from apps.routing.conditions import Operator
from apps.routing.dry_run import MOST_STUDIES
from apps.routing.models import LONGEST_QUIET, Match, When

TAG: Final = "Routing rules"

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer"}
_FLAG: Final[Schema] = {"type": "boolean"}
_PERHAPS: Final[Schema] = {"type": "string", "format": "date-time", "nullable": True}
_SAID: Final[Mapping[str, Schema]] = {
    "name": {**_TEXT, "maxLength": 64},
    "enabled": _FLAG,
    "when": {**_TEXT, "enum": When.values},
    "quiet_seconds": {**_NUMBER, "minimum": 1, "maximum": LONGEST_QUIET},
    "match": {**_TEXT, "enum": Match.values, "description": "All of the conditions, or any; without one: every image"},
    "conditions": {"type": "array", "items": reference("RoutingCondition")},
    "destinations": {
        "type": "array",
        "items": _TEXT,
        "description": "Names of peers that have an address; of DICOMweb servers with `dicomweb:` before",
    },
    "stops": {**_FLAG, "description": "Later rules do not see what this one has chosen"},
    "priority": {**_NUMBER, "minimum": -1000, "maximum": 1000, "description": "Of its jobs; higher goes first"},
}
_FILTER: Final[Schema] = {
    "type": "object",
    "description": "Parameters of a search for studies as QIDO-RS has them; none: all studies",
    "additionalProperties": _TEXT,
}
_LIMIT: Final[Schema] = {**_NUMBER, "minimum": 1, "maximum": MOST_STUDIES}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "RoutingCondition": {
        "type": "object",
        "properties": {
            "attribute": {**_TEXT, "enum": list(ATTRIBUTES)},
            "operator": {**_TEXT, "enum": [str(each) for each in Operator]},
            "values": {
                "type": "array",
                "items": _TEXT,
                "description": "One; several of is_one_of; none of is_empty; of in_range the ends, either may be empty",
            },
        },
        "required": ["attribute", "operator"],
    },
    "RoutingRuleRequest": {"type": "object", "properties": _SAID},
    "RoutingRule": {
        "type": "object",
        "properties": {
            "id": _NUMBER,
            "position": {**_NUMBER, "description": "Its place, from 1"},
            **_SAID,
            "reads": {"type": "array", "items": _TEXT, "description": "The conditions, for people"},
            "missing": {"type": "array", "items": _TEXT, "description": "Destinations that are not there any more"},
            "in_force_since": {**_PERHAPS, "description": "What came before is sent only when asked for"},
            "fired": {**_NUMBER, "description": "Jobs it has made"},
            "images": {**_NUMBER, "description": "Images in them"},
            "last_fired_at": _PERHAPS,
            "last_error": _TEXT,
            "last_error_at": _PERHAPS,
            "version": _TEXT,
        },
    },
    "RoutingDryRun": {
        "type": "object",
        "properties": {
            "more": {**_FLAG, "description": "Studies are left that were not looked at"},
            "number_of_studies": _NUMBER,
            "number_of_images": _NUMBER,
            "to": {"type": "object", "additionalProperties": _NUMBER, "description": "Images by destination"},
            "studies": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "study_instance_uid": _TEXT,
                        "patient_id": _TEXT,
                        "patient_name": _TEXT,
                        "study_date": _TEXT,
                        "study_description": _TEXT,
                        "images": _NUMBER,
                        "sends": {
                            "type": "array",
                            "items": {"type": "object", "properties": {"destination": _TEXT, "images": _NUMBER}},
                        },
                        "keeps": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "reason": _TEXT,
                                    "destination": {**_TEXT, "nullable": True},
                                    "images": _NUMBER,
                                },
                            },
                        },
                    },
                },
            },
        },
    },
    "RoutingAttribute": {
        "type": "object",
        "properties": {
            "attribute": _TEXT,
            "label": _TEXT,
            "form": {**_TEXT, "enum": [str(each) for each in Form]},
            "operators": {
                "type": "array",
                "items": {"type": "object", "properties": {"operator": _TEXT, "label": _TEXT}},
            },
        },
    },
}
_ROW: Final = {JSON: reference("RoutingRule")}
_DRAFT: Final[Schema] = reference("RoutingRuleRequest")
_RULE: Final[Mapping[str, Any]] = {
    "name": "CT heads to neuroradiology",
    "when": "quiet",
    "quiet_seconds": 120,
    "conditions": [
        {"attribute": "modality", "operator": "is_one_of", "values": ["CT", "MR"]},
        {"attribute": "study_description", "operator": "contains", "values": ["head"]},
    ],
    "destinations": ["NEURO"],
}
_OCTOBER: Final = {"StudyDate": "20261001-20261031", "ModalitiesInStudy": "CT"}

rules = operation("List rules in their order", name="routing_rules_list", tag=TAG, gives={JSON: page_of(_ROW[JSON])})
add = operation(
    "Make a rule, the last one",
    tag=TAG,
    status=201,
    gives=_ROW,
    takes={JSON: _DRAFT},
    statuses=(*SENT, 422),
    parameters=[IDEMPOTENCY_KEY],
    examples=[example("A study that has been quiet for two minutes", _RULE)],
)
read = operation("Read a rule, and how often it fired", tag=TAG, gives=_ROW, statuses=(*ASKED, 404))
change = operation(
    "Change what is named; conditions and destinations as a whole",
    tag=TAG,
    gives=_ROW,
    takes={JSON: _DRAFT},
    statuses=(*SENT, 404, 412),
    parameters=[IF_MATCH],
    examples=[example("Switched off", {"enabled": False})],
)
delete = operation("Delete a rule", tag=TAG, status=204, gives={}, statuses=(*ASKED, 404, 412), parameters=[IF_MATCH])
move = operation(
    "Give a rule another place in the order",
    tag=TAG,
    gives=_ROW,
    takes={JSON: {"type": "object", "properties": {"position": {**_NUMBER, "minimum": 1}}, "required": ["position"]}},
    statuses=(*SENT, 404, 422),
    parameters=[IDEMPOTENCY_KEY],
    examples=[example("To the top", {"position": 1})],
)
dry_run = operation(
    "What a rule that is not saved would do with stored studies, and why not",
    name="routing_rules_dry_run",
    tag=TAG,
    gives={JSON: reference("RoutingDryRun")},
    takes={JSON: {"type": "object", "properties": {"rule": _DRAFT, "filter": _FILTER, "limit": _LIMIT}}},
    statuses=SENT,
    examples=[example("Studies of a month", {"rule": _RULE, "filter": _OCTOBER, "limit": 20})],
)
dry_run_of_rule = operation(
    "What a rule would do with stored studies, and why not; `rule`: changes to try, not saved",
    name="routing_rule_dry_run",
    tag=TAG,
    gives={JSON: reference("RoutingDryRun")},
    takes={JSON: {"type": "object", "properties": {"rule": _DRAFT, "filter": _FILTER, "limit": _LIMIT}}},
    statuses=(*SENT, 404),
    examples=[example("Studies of a month", {"filter": _OCTOBER})],
)
apply = operation(
    "A job that applies a rule to stored studies, whether it is on or not",
    tag=TAG,
    status=201,
    gives={JSON: {"type": "object", "properties": {"job": _NUMBER}}},
    takes={
        JSON: {
            "type": "object",
            "properties": {"filter": _FILTER, "again": {**_FLAG, "description": "What was sent already, too"}},
        }
    },
    statuses=(*SENT, 404, 422),
    parameters=[IDEMPOTENCY_KEY],
    examples=[example("Studies of a month", {"filter": _OCTOBER})],
)
attributes = operation(
    "What conditions may name, and the operators of each",
    name="routing_rules_attributes",
    tag=TAG,
    gives={JSON: page_of(reference("RoutingAttribute"))},
)
