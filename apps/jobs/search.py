"""Filters as addresses have them -> jobs, the latest first."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from django.db.models import Q, TextChoices

from apps.accounts.principal import Principal
from apps.accounts.rest import Filters, Params, filtered, moment
from apps.jobs.models import Job, JobState
from dicom.errors import InvalidValue

MOST: Final = 100  # values of one filter
SHOWN: Final = 100  # values of one argument, in a list of jobs
_AT_ONCE: Final = 50
MOST_URGENT: Final = 100  # priority that somebody may ask for


def words(values: Sequence[str]) -> list[str]:
    """Of a filter that may be given several times, and hold several with commas between."""
    found = sorted({word.strip() for value in values for word in value.split(",")} - {""})
    if len(found) > MOST or any("\0" in word for word in found):
        raise InvalidValue(f"at most {MOST} values, without control characters")
    return found


def among(choices: type[TextChoices], values: Sequence[str]) -> Q:
    found = [word.lower() for word in words(values)]
    if wrong := [word for word in found if word not in choices.values]:
        raise InvalidValue(f"{wrong[0][:16]} is none of {', '.join(choices.values)}")
    return Q(state__in=found) if found else Q()


def _equal(column: str, values: Sequence[str]) -> Q:
    found = words(values)
    return Q(**{f"{column}__in": found}) if found else Q()


def _named(column: str, values: Sequence[str]) -> Q:
    """One name, which may hold a comma."""
    said = values[-1].strip() if values else ""
    if "\0" in said:
        raise InvalidValue("holds a control character")
    return Q(**{column: said}) if said else Q()


def _paused(values: Sequence[str]) -> Q:
    said = values[-1].strip().lower() if values else ""
    if said not in ("", "true", "false"):
        raise InvalidValue("true or false")
    return Q(paused=said == "true") if said else Q()


def _created(comparison: str, values: Sequence[str]) -> Q:
    found = moment(values[-1]) if values else None
    return Q(**{f"created_at__{comparison}": found}) if found else Q()


FILTERS: Final[Filters] = {
    "state": partial(among, JobState),
    "kind": partial(_equal, "kind"),
    "peer": partial(_named, "peer"),
    "submitted_by": partial(_named, "submitted_by"),
    "paused": _paused,
    "created_since": partial(_created, "gte"),
    "created_before": partial(_created, "lt"),
}


def page(
    params: Params, *, principal: Principal, limit: int, before: int | None = None, brief: bool = False
) -> list[Job]:
    """One more than `limit` where there are more, of long arguments and results the beginning, `brief`: nothing. Raises
    InvalidRequest, naming every filter that is wrong."""
    found = filtered(params, FILTERS)
    if before is not None:
        found &= Q(pk__lt=before)
    rows = Job.objects.visible_to(principal).filter(found).order_by("-pk")[: limit + 1]
    if brief:
        return list(rows.defer("arguments", "result", "principal"))
    return [_shortened(job) for job in rows.iterator(chunk_size=_AT_ONCE)]


def _shortened(job: Job) -> Job:
    """A job may be about thousands of instances, and a list about a thousand jobs."""
    for name in ("arguments", "result"):
        said = getattr(job, name)
        setattr(job, name, {key: value[:SHOWN] if isinstance(value, list) else value for key, value in said.items()})
    return job
