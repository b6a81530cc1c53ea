"""REST of jobs: `/api/jobs/`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.principal import Principal
from apps.accounts.rest import (
    Conflict,
    InvalidRequest,
    NoJson,
    NotFound,
    RestView,
    fields,
    known,
    limit_of,
    moment,
    next_page,
    params_of,
    parsed,
    position,
    text,
    whole,
    without_nul,
)
from apps.jobs import kind, plain, queue, search
from apps.jobs.api import description
from apps.jobs.models import ItemState, Job
from dicom.errors import InvalidValue

_OF_EVERY_JOB: Final = ("kind", "priority", "due_at")

Act = Callable[..., bool]


class JobView(RestView):
    """For everybody who is signed in: each sees his own jobs, an administrator all."""

    def found(self, key: int) -> Job:
        job = Job.objects.visible_to(self.principal).filter(pk=key).first()
        if job is None:
            raise NotFound("There is no such job")
        return job

    def row(self, key: int, *, status: int = 200, **headers: str) -> HttpResponse:
        return self.answer(plain.job(self.found(key)), status=status, **headers)


@extend_schema_view(get=description.search, post=description.submit)
class Jobs(JobView):
    def get(self, request: Request) -> HttpResponse:
        params = params_of(request)
        limit, before = limit_of(params), position(params)
        asked = params_of(request, without=("limit", "after"))
        jobs = search.page(asked, principal=self.principal, limit=limit, before=before)
        following = next_page(request, jobs[limit - 1].pk) if len(jobs) > limit else None
        return self.listed([plain.job(job) for job in jobs[:limit]], following)

    def post(self, request: Request) -> HttpResponse:
        known(request)

        def submit(document: Any) -> HttpResponse:
            if not isinstance(document, dict):
                raise NoJson("An object is needed")
            if not text(document, "kind"):
                raise InvalidRequest({"kind": "is needed"})
            without_nul(document)
            job = kind.request(
                text(document, "kind"),
                principal=self.principal,
                arguments={name: value for name, value in document.items() if name not in _OF_EVERY_JOB},
                priority=_priority(document) or 0,
                due_at=_due_at(document),
            )
            return self.row(job.pk, status=201, Location=f"/api/jobs/{job.pk}/")

        return self.once(request, submit)


@extend_schema_view(get=description.kinds)
class Kinds(JobView):
    def get(self, request: Request) -> HttpResponse:
        known(request)
        return self.listed(_kinds_for(self.principal), None)


@extend_schema_view(get=description.read, patch=description.change)
class JobResource(JobView):
    def get(self, request: Request, key: int) -> HttpResponse:
        known(request)
        return self.row(key)

    def patch(self, request: Request, key: int) -> HttpResponse:
        job = self.found(key)
        said = fields(parsed(self.body(request)), "priority", "due_at")
        if not queue.change(job, principal=self.principal, priority=_priority(said), due_at=_due_at(said)):
            raise _not_now(self.found(key), "waits no more")
        return self.row(key)


@extend_schema_view(get=description.items)
class Items(JobView):
    def get(self, request: Request, key: int) -> HttpResponse:
        params = known(request, "limit", "after", "state")
        limit, after = limit_of(params), position(params)
        try:
            wanted = search.among(ItemState, params.get("state", []))
        except InvalidValue as error:
            raise InvalidRequest({"state": str(error)}) from error
        later = self.found(key).items.filter(wanted, position__gt=-1 if after is None else min(after, 1 << 31))
        items = list(later[: limit + 1])
        following = next_page(request, items[limit - 1].position) if len(items) > limit else None
        return self.listed([plain.item(item) for item in items[:limit]], following)


@extend_schema_view(get=description.log)
class Log(JobView):
    def get(self, request: Request, key: int) -> HttpResponse:
        params = known(request, "limit", "after")
        limit, after = limit_of(params), position(params) or 0
        lines = list(self.found(key).lines.filter(pk__gt=after)[: limit + 1])
        following = next_page(request, lines[limit - 1].pk) if len(lines) > limit else None
        return self.listed([plain.line(line) for line in lines[:limit]], following)


class Action(JobView):
    """`act` is False when the job is not in a state for it."""

    act: Act
    impossible = "has ended"

    def done(self, job: Job) -> bool:
        """It is as it would be afterwards."""
        return False

    def post(self, request: Request, key: int) -> HttpResponse:
        known(request)

        def act(document: Any) -> HttpResponse:
            fields(document)
            job = self.found(key)
            try:
                if not type(self).act(job, principal=self.principal) and not self.done(self.found(key)):
                    raise _not_now(self.found(key), self.impossible)
            except ValidationError as error:
                raise Conflict({"state": " ".join(error.messages)}) from error
            return self.row(key)

        return self.once(request, act)


@extend_schema_view(post=description.cancel)
class Cancel(Action):
    act = staticmethod(queue.cancel)


@extend_schema_view(post=description.pause)
class Pause(Action):
    act = staticmethod(queue.pause)

    def done(self, job: Job) -> bool:
        return job.paused and job.ended_at is None


@extend_schema_view(post=description.resume)
class Resume(Action):
    act = staticmethod(queue.resume)

    def done(self, job: Job) -> bool:
        return not job.paused and job.ended_at is None


@extend_schema_view(post=description.retry)
class Retry(Action):
    act = staticmethod(queue.retry)
    impossible = "has neither failed nor been cancelled"


def _kinds_for(principal: Principal) -> list[dict[str, Any]]:
    return [
        {"kind": name, "title": each.title or name, "example": {"kind": name, **each.example}}
        for name, each in sorted(kind.kinds().items())
        if each.check and each.right(principal)
    ]


def _not_now(job: Job, why: str) -> Conflict:
    return Conflict({"state": f"{job.state}: the job {why}"})


def _priority(said: Mapping[str, Any]) -> int | None:
    return whole(said, "priority", least=-search.MOST_URGENT, most=search.MOST_URGENT)


def _due_at(said: Mapping[str, Any]) -> datetime | None:
    try:
        return moment(text(said, "due_at"))
    except InvalidValue as error:
        raise InvalidRequest({"due_at": str(error)}) from error
