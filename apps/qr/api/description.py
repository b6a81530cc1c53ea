"""Other archives in the OpenAPI description."""

from collections.abc import Mapping
from typing import Any, Final

from apps.accounts.describing import ASKED, Schema, example, operation, reference
from apps.accounts.rest import JSON
from apps.qr import asking

TAG: Final = "Other archives"

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer"}
_ENTITY: Final[Mapping[str, Any]] = {
    "study_instance_uid": "1.2.840.113619.2.1.1",
    "patient_id": "17",
    "patient_name": "Doe^Jane",
    "study_date": "20261125",
    "modalities_in_study": "CT\\SR",
    "number_of_study_related_instances": "420",
    "peers": ["archive", "mirror"],
    "instances_here": 0,
}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "RemoteQuery": {
        "type": "object",
        "properties": {
            "peers": {
                "type": "array",
                "items": _TEXT,
                "minItems": 1,
                "maxItems": asking.MOST_ARCHIVES,
                "description": "Names of peers that have an address",
            },
            "level": {"type": "string", "enum": ["patient", "study", "series", "image"], "default": "study"},
            "keys": {
                "type": "object",
                "additionalProperties": _TEXT,
                "description": "Matching keys (PS3.4 C.2.2.2) by field or keyword; empty: only to have it answered",
            },
            "limit": {**_NUMBER, "minimum": 1, "maximum": asking.MOST, "description": "Answers of each peer"},
        },
        "required": ["peers"],
    },
    "RemoteAnswers": {
        "type": "object",
        "properties": {
            "results": {
                "type": "array",
                "description": "Each entity once, the newest study first; several values are separated by backslashes",
                "items": {
                    "type": "object",
                    "properties": {
                        "peers": {"type": "array", "items": _TEXT, "description": "Who has it"},
                        "instances_here": {**_NUMBER, "description": "Of it, in this archive"},
                    },
                    "additionalProperties": _TEXT,
                    "required": ["peers", "instances_here"],
                },
            },
            "peers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "peer": _TEXT,
                        "answers": _NUMBER,
                        "more": {"type": "boolean", "description": "It had more than the limit"},
                        "error": {**_TEXT, "description": "Why not all of its answers are here; else empty"},
                        "seconds": {"type": "number"},
                    },
                    "required": ["peer", "answers", "more", "error", "seconds"],
                },
            },
        },
        "required": ["results", "peers"],
    },
}

query: Final = operation(
    "Ask several archives at once what they have; a job of the kind `retrieve` brings it here",
    tag=TAG,
    takes={JSON: reference("RemoteQuery")},
    gives={JSON: reference("RemoteAnswers")},
    statuses=(*ASKED, 413, 415),
    examples=(
        example("Studies of a patient", {"peers": ["archive", "mirror"], "keys": {"patient_name": "Doe*"}}),
        example(
            "One study",
            {
                "results": [_ENTITY],
                "peers": [{"peer": "archive", "answers": 1, "more": False, "error": "", "seconds": 0.1}],
            },
            answer=True,
        ),
    ),
)


result = operation(
    "The ZIP that an export has made, for some days",
    name="jobs_result",
    tag="Jobs",
    gives={"application/zip": {"type": "string", "format": "binary"}},
    statuses=(*ASKED, 404),
)
