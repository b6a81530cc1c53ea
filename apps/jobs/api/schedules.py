"""REST of schedules: `/api/schedules/`."""

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.dateparse import parse_time
from drf_spectacular.utils import extend_schema_view
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from apps.accounts.rest import (
    InvalidRequest,
    NotFound,
    RestView,
    fields,
    known,
    limit_of,
    next_page,
    parsed,
    position,
    refused,
    text,
    without_nul,
)
from apps.jobs import plain, schedules
from apps.jobs.api import description
from apps.jobs.models import Schedule

_FIELDS: Final = ("name", "kind", "arguments", "every", "at", "cron", "enabled")


class ScheduleView(RestView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.principal.administers:
            raise PermissionDenied("Schedules are for administrators")

    def found(self, key: int) -> Schedule:
        schedule = Schedule.objects.filter(pk=key).first()
        if schedule is None:
            raise NotFound("There is no such schedule")
        return schedule

    def save(self, schedule: Schedule, document: Any) -> None:
        """Raises InvalidRequest, and what the kind of job says of its arguments."""
        said = fields(document, *_FIELDS)
        without_nul(said)
        for name, value in _read(said).items():
            setattr(schedule, name, value)
        try:
            schedules.save(schedule, principal=self.principal)
        except ValidationError as error:
            raise refused(error) from error


@extend_schema_view(get=description.schedules, post=description.add_schedule)
class Schedules(ScheduleView):
    def get(self, request: Request) -> HttpResponse:
        params = known(request, "limit", "after")
        limit, after = limit_of(params), position(params) or 0
        rows = list(Schedule.objects.filter(pk__gt=after).order_by("pk")[: limit + 1])
        following = next_page(request, rows[limit - 1].pk) if len(rows) > limit else None
        return self.listed([plain.schedule(row) for row in rows[:limit]], following)

    def post(self, request: Request) -> HttpResponse:
        known(request)

        def add(document: Any) -> HttpResponse:
            schedule = Schedule()
            self.save(schedule, document)
            return self.answer(plain.schedule(schedule), status=201, Location=f"/api/schedules/{schedule.pk}/")

        return self.once(request, add)


@extend_schema_view(
    get=description.read_schedule, patch=description.change_schedule, delete=description.delete_schedule
)
class ScheduleResource(ScheduleView):
    def get(self, request: Request, key: int) -> HttpResponse:
        known(request)
        return self.answer(plain.schedule(self.found(key)))

    def patch(self, request: Request, key: int) -> HttpResponse:
        schedule = self.found(key)
        self.save(schedule, parsed(self.body(request)))
        return self.answer(plain.schedule(schedule))

    def delete(self, request: Request, key: int) -> HttpResponse:
        schedules.delete(self.found(key), principal=self.principal)
        return HttpResponse(status=204)


@extend_schema_view(post=description.run_schedule)
class Run(ScheduleView):
    def post(self, request: Request, key: int) -> HttpResponse:
        known(request)
        job = schedules.run_now(self.found(key), principal=self.principal)
        return self.answer(plain.job(job), status=201, Location=f"/api/jobs/{job.pk}/")


def _read(said: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the columns that are named. A time of one sort takes the place of the others."""
    values: dict[str, Any] = {name: text(said, name).strip() for name in ("name", "kind", "cron") if name in said}
    values |= _typed(said)
    if "at" in said:
        values["at"] = _time(text(said, "at"))
    given = [name for name in ("every", "at", "cron") if values.get(name)]
    if len(given) == 1:
        values = {"every": None, "at": None, "cron": ""} | values
    return values


def _typed(said: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, str] = {}
    if not isinstance(said.get("enabled", True), bool):
        errors["enabled"] = "true or false"
    if not isinstance(said.get("arguments", {}), dict):
        errors["arguments"] = "an object"
    every = said.get("every")
    if every is not None and (type(every) is not int or not 0 < every < 1 << 31):
        errors["every"] = "seconds"
    if errors:
        raise InvalidRequest(errors)
    return {name: said[name] for name in ("enabled", "arguments", "every") if name in said}


def _time(said: str) -> Any:
    if not said.strip():
        return None
    try:
        found = parse_time(said.strip())
    except ValueError:
        found = None
    if found is None or any(mark in said for mark in "+-Zz"):  # which `parse_time` leaves out
        raise InvalidRequest({"at": "no time of day: 02:30"})
    return found
