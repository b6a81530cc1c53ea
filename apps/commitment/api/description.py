"""Requests for storage commitment in the OpenAPI description."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter

from apps.accounts.describing import AFTER, ASKED, LIMIT, Schema, example, operation, page_of, reference
from apps.accounts.rest import JSON
from apps.commitment.models import Direction, State

TAG: Final = "Storage commitment"

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer"}
_MOMENT: Final[Schema] = {"type": "string", "format": "date-time", "nullable": True}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "CommitmentRequest": {
        "type": "object",
        "description": "One transaction of the Storage Commitment Push Model (PS3.4 annex J)",
        "properties": {
            "id": _NUMBER,
            "direction": {"type": "string", "enum": Direction.values, "description": "A peer asked us, or we a peer"},
            "state": {"type": "string", "enum": State.values},
            "transaction_uid": _TEXT,
            "peer": _TEXT,
            "calling_ae_title": _TEXT,
            "called_ae_title": _TEXT,
            "references": {**_NUMBER, "description": "Instances that it is about"},
            "committed": _NUMBER,
            "failed": _NUMBER,
            "error": {**_TEXT, "description": "Why it could not be asked or reported"},
            "created_at": _MOMENT,
            "asked_at": _MOMENT,
            "decided_at": _MOMENT,
            "reported_at": _MOMENT,
            "job": {**_NUMBER, "nullable": True},
        },
        "required": ["id", "direction", "state", "transaction_uid"],
    },
    "CommitmentReference": {
        "type": "object",
        "properties": {
            "position": _NUMBER,
            "sop_class_uid": _TEXT,
            "sop_instance_uid": _TEXT,
            "outcome": {"type": "string", "enum": ["committed", "failed", "unknown"]},
            "reason": {**_TEXT, "description": "Failure Reason of PS3.3 C.14.1.1, with its words"},
        },
        "required": ["position", "sop_class_uid", "sop_instance_uid", "outcome"],
    },
}
_REFERENCE: Final[Mapping[str, Any]] = {
    "position": 0,
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
    "sop_instance_uid": "1.2.3.1.1",
    "outcome": "failed",
    "reason": "0112 No such object instance",
}

search = operation(
    "Search for requests, the latest first",
    name="commitments_search",
    tag=TAG,
    gives={JSON: page_of(reference("CommitmentRequest"))},
    parameters=[
        OpenApiParameter("direction", str, enum=Direction.values),
        OpenApiParameter("state", str, enum=State.values),
        OpenApiParameter("peer", str, description="Its name"),
        OpenApiParameter("transaction_uid", str),
        LIMIT,
        AFTER,
    ],
)
read = operation("One request", tag=TAG, gives={JSON: reference("CommitmentRequest")}, statuses=(*ASKED, 404))
references = operation(
    "The instances of a request, in their order",
    tag=TAG,
    gives={JSON: page_of(reference("CommitmentReference"))},
    statuses=(*ASKED, 404),
    parameters=[OpenApiParameter("outcome", str, enum=["committed", "failed", "unknown"]), LIMIT, AFTER],
    examples=[example("Not committed", {"next": None, "results": [_REFERENCE]}, answer=True)],
)
