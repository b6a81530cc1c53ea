"""Jobs in the OpenAPI description."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter

from apps.accounts.describing import (
    AFTER,
    ASKED,
    IDEMPOTENCY_KEY,
    LIMIT,
    SENT,
    Schema,
    example,
    operation,
    page_of,
    reference,
)
from apps.accounts.rest import JSON
from apps.jobs.models import ItemState, JobState
from apps.jobs.search import FILTERS

TAG: Final = "Jobs"

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer"}
_FLAG: Final[Schema] = {"type": "boolean"}
_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_PERHAPS: Final[Schema] = {**_MOMENT, "nullable": True}
_ANYTHING: Final[Schema] = {"type": "object", "additionalProperties": {}}
_OF_REQUEST: Final[Mapping[str, Schema]] = {
    "priority": {**_NUMBER, "minimum": -100, "maximum": 100, "description": "Higher goes first"},
    "due_at": {**_TEXT, "description": "ISO 8601; not before, local time where it has no offset"},
}
_OF_SCHEDULE: Final[Mapping[str, Schema]] = {
    "name": {**_TEXT, "maxLength": 64},
    "kind": _TEXT,
    "arguments": {**_ANYTHING, "description": "As beside `kind` in a request for a job"},
    "every": {**_NUMBER, "minimum": 1, "nullable": True, "description": "Seconds between two runs"},
    "at": {**_TEXT, "nullable": True, "description": "Or once a day, at this local time: `02:30`"},
    "cron": {
        **_TEXT,
        "maxLength": 200,
        "description": "Or minute, hour, day of the month, month, day of the week, local time: `30 2 * * 1-5`",
    },
    "enabled": _FLAG,
}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "JobRequest": {
        "type": "object",
        "description": "A kind of job, and beside it what this kind needs: see `/api/jobs/kinds/`",
        "properties": {"kind": _TEXT, **_OF_REQUEST},
        "required": ["kind"],
        "additionalProperties": {},
    },
    "Job": {
        "type": "object",
        "properties": {
            "id": _NUMBER,
            "kind": _TEXT,
            "title": _TEXT,
            "state": {"type": "string", "enum": JobState.values},
            "paused": _FLAG,
            "cancel_requested": _FLAG,
            "peer": {**_TEXT, "description": "Who is called: so many of its jobs run at once"},
            "priority": _NUMBER,
            "total": {**_NUMBER, "description": "Items"},
            "done": _NUMBER,
            "failures": {**_NUMBER, "description": "Items that failed for good"},
            "attempts": _NUMBER,
            "maximum_attempts": _NUMBER,
            "error": _TEXT,
            "result": _ANYTHING,
            "arguments": _ANYTHING,
            "submitted_by": _TEXT,
            "created_at": _MOMENT,
            "due_at": {**_MOMENT, "description": "Not before; of a job that is tried again, when"},
            "started_at": _PERHAPS,
            "ended_at": _PERHAPS,
            "worker": _TEXT,
        },
        "required": ["id", "kind", "state", "total", "done", "failures"],
    },
    "JobItem": {
        "type": "object",
        "properties": {
            "position": _NUMBER,
            "key": {**_TEXT, "description": "What the step is about"},
            "state": {"type": "string", "enum": ItemState.values},
            "error": _TEXT,
            "finished_at": _PERHAPS,
        },
    },
    "Schedule": {
        "type": "object",
        "properties": {
            "id": _NUMBER,
            **_OF_SCHEDULE,
            "title": _TEXT,
            "of_the_program": {
                **_FLAG,
                "description": "It cannot be deleted, only switched off or run at another time",
            },
            "submitted_by": {**_TEXT, "description": "Whose rights its jobs have"},
            "next_at": _MOMENT,
            "last_at": _PERHAPS,
            "last_job": {**_NUMBER, "nullable": True, "description": "The job it made last"},
        },
    },
    "ScheduleRequest": {"type": "object", "properties": _OF_SCHEDULE},
    "JobLine": {"type": "object", "properties": {"at": _MOMENT, "text": _TEXT}},
    "JobKind": {"type": "object", "properties": {"kind": _TEXT, "title": _TEXT, "example": _ANYTHING}},
}
_ROW: Final = {JSON: reference("Job")}
_MEANT: Final[Mapping[str, str]] = {
    "state": f"Of {', '.join(JobState.values)}; several with commas",
    "kind": "Several with commas",
    "created_since": "ISO 8601",
    "created_before": "ISO 8601",
}

search = operation(
    "List jobs, the latest first: one's own, all for administrators; of long arguments and results the first values",
    name="jobs_search",
    tag=TAG,
    gives={JSON: page_of(_ROW[JSON])},
    parameters=[*(OpenApiParameter(name, str, description=_MEANT.get(name, "")) for name in FILTERS), LIMIT, AFTER],
)
submit = operation(
    "Ask for a job",
    tag=TAG,
    status=201,
    gives=_ROW,
    takes={JSON: reference("JobRequest")},
    statuses=(*SENT, 422),
    parameters=[IDEMPOTENCY_KEY],
    examples=[example("Send a study", {"kind": "send", "peer": "WS", "study_instance_uids": ["1.2.3"]})],
)
kinds = operation(
    "Kinds of job that one may ask for, each with an example",
    name="jobs_kinds",
    tag=TAG,
    gives={JSON: page_of(reference("JobKind"))},
)
read = operation("Read a job, and how far it is", tag=TAG, gives=_ROW, statuses=(*ASKED, 404))
change = operation(
    "Another priority or time for a job that waits",
    tag=TAG,
    gives=_ROW,
    takes={JSON: {"type": "object", "properties": _OF_REQUEST}},
    statuses=(*SENT, 404),
    examples=[example("Before others", {"priority": 10})],
)
items = operation(
    "What the job does, one by one, and how each ended",
    name="jobs_items",
    tag=TAG,
    gives={JSON: page_of(reference("JobItem"))},
    statuses=(*ASKED, 404),
    parameters=[OpenApiParameter("state", str, description=f"Of {', '.join(ItemState.values)}"), LIMIT, AFTER],
)
log = operation(
    "What the job said while it ran",
    name="jobs_log",
    tag=TAG,
    gives={JSON: page_of(reference("JobLine"))},
    statuses=(*ASKED, 404),
    parameters=[LIMIT, AFTER],
)


def _act(summary: str) -> Any:
    return operation(
        summary,
        tag=TAG,
        gives=_ROW,
        takes={JSON: {"type": "object"}},
        statuses=(*SENT, 404, 422),
        parameters=[IDEMPOTENCY_KEY],
        examples=[example("Nothing to say", {})],
    )


cancel = _act("Cancel: a waiting job at once, a running one before its next step")
pause = _act("Pause: before its next step if it runs")
resume = _act("Let a paused job go on from where it was")
retry = _act("An ended job once more: what failed, not what was done")


_SCHEDULES: Final = "Schedules"
_SCHEDULE: Final = {JSON: reference("Schedule")}
_SAID: Final = {JSON: reference("ScheduleRequest")}

schedules = operation(
    "List schedules, for administrators",
    name="schedules_list",
    tag=_SCHEDULES,
    gives={JSON: page_of(_SCHEDULE[JSON])},
    parameters=[LIMIT, AFTER],
)
add_schedule = operation(
    "A job that comes again; it has the rights that who made it has then",
    tag=_SCHEDULES,
    status=201,
    gives=_SCHEDULE,
    takes=_SAID,
    statuses=(*SENT, 422),
    parameters=[IDEMPOTENCY_KEY],
    examples=[
        example(
            "On weekdays at half past two",
            {
                "name": "to the long-term archive",
                "kind": "send",
                "arguments": {"peer": "LTA", "study_instance_uids": ["1.2.3"]},
                "cron": "30 2 * * 1-5",
            },
        )
    ],
)
read_schedule = operation("Read a schedule", tag=_SCHEDULES, gives=_SCHEDULE, statuses=(*ASKED, 404))
change_schedule = operation(
    "Another time, or another job; switch it on or off",
    tag=_SCHEDULES,
    gives=_SCHEDULE,
    takes=_SAID,
    statuses=(*SENT, 404),
    examples=[example("Switched off", {"enabled": False})],
)
delete_schedule = operation("Delete a schedule", tag=_SCHEDULES, status=204, gives={}, statuses=(*ASKED, 404, 409))
run_schedule = operation(
    "Its job once, now, besides its times",
    name="schedules_run",
    tag=_SCHEDULES,
    status=201,
    gives=_ROW,
    statuses=(*ASKED, 404, 409),
)
