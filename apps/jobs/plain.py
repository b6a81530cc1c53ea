"""Jobs, their items and lines as REST shows them."""

from typing import Any

from apps.jobs.kind import title_of
from apps.jobs.models import Job, JobItem, JobLine, Schedule

Plain = dict[str, Any]

_OF_JOB = (
    "id",
    "kind",
    "state",
    "paused",
    "cancel_requested",
    "peer",
    "priority",
    "total",
    "done",
    "failures",
    "attempts",
    "maximum_attempts",
    "error",
    "result",
    "arguments",
    "submitted_by",
    "created_at",
    "due_at",
    "started_at",
    "ended_at",
    "worker",
)


def job(row: Job) -> Plain:
    return {"title": title_of(row.kind)} | {name: getattr(row, name) for name in _OF_JOB}


def item(row: JobItem) -> Plain:
    return {name: getattr(row, name) for name in ("position", "key", "state", "error", "finished_at")}


def line(row: JobLine) -> Plain:
    return {"at": row.at, "text": row.text}


def schedule(row: Schedule) -> Plain:
    columns = ("id", "name", "kind", "arguments", "every", "at", "cron", "enabled", "next_at", "last_at", "last_job")
    made_by = (row.principal or {}).get("name", "")
    return {name: getattr(row, name) for name in columns} | {
        "title": title_of(row.kind),
        "of_the_program": row.principal is None,
        "submitted_by": made_by,
    }
