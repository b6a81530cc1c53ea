"""Pages of schedules, for administrators: what comes again by itself, when, and what came of it last."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import asking
from apps.console.schedule_form import UNITS, WHEN, Form
from apps.jobs import kind, readable, schedules
from apps.jobs.kind import NotAllowed
from apps.jobs.models import Job, Schedule
from apps.jobs.views import Row as JobRow
from dicom.errors import DicomError

_ERROR: Final = "jobs/schedule_error.html"
page = partial(pages.page, error=_ERROR)
writing = partial(pages.page, writes=True, error=_ERROR)


class NoSuchSchedule(DicomError):
    http_status = 404


@dataclass(frozen=True, slots=True)
class Row:
    schedule: Schedule
    last: JobRow | None = None

    @property
    def title(self) -> str:
        return kind.title_of(self.schedule.kind)

    @property
    def times(self) -> str:
        row = self.schedule
        return readable.times(every=row.every, at=row.at, expression=row.cron)

    @property
    def of_the_program(self) -> bool:
        return self.schedule.principal is None

    @property
    def made_by(self) -> str:
        return str((self.schedule.principal or {}).get("name", ""))

    @property
    def arguments(self) -> list[readable.Named]:
        return list(readable.lines(self.schedule.arguments))

    def state(self) -> tuple[Any, ...]:
        row = self.schedule
        return (row.pk, _digest(row), row.next_at, row.last_at, self.last and self.last.state())


@page
def listed(request: HttpRequest) -> HttpResponse:
    _administrator(request)
    rows = list(_rows(Schedule.objects.order_by("name")))
    rows.sort(key=lambda row: row.of_the_program)
    return pages.live(
        request,
        page="jobs/schedule_list.html",
        fragment="jobs/_schedules.html",
        context={"rows": rows, "here": request.path},
        state=[row.state() for row in rows],
    )


@writing
def new(request: HttpRequest) -> HttpResponse:
    return _edited(request, None)


@writing
def schedule(request: HttpRequest, key: int) -> HttpResponse:
    _administrator(request)
    return _edited(request, _found(key))


@writing
def switch(request: HttpRequest, key: int) -> HttpResponse:
    principal, row = _administrator(request), _found(key)
    if request.method == "POST":
        row.enabled = not row.enabled
        schedules.save(row, principal=principal)
    return redirect("schedules")


@writing
def run(request: HttpRequest, key: int) -> HttpResponse:
    """The page of the job is the answer."""
    principal, row = _administrator(request), _found(key)
    if request.method != "POST":
        return redirect("schedules")
    try:
        return redirect("job", key=schedules.run_now(row, principal=principal).pk)
    except DicomError as error:
        messages.error(request, _("“%(name)s” was not begun: %(why)s") % {"name": row.name, "why": error})
        return redirect("schedules")


@writing
def delete(request: HttpRequest, key: int) -> HttpResponse:
    principal, row = _administrator(request), _found(key)
    if request.method == "POST":
        schedules.delete(row, principal=principal)
        messages.success(request, _("“%s” is removed. Jobs it has made go on.") % row.name)
        return redirect("schedules")
    return render(request, "jobs/schedule_delete.html", {"row": Row(row)})


@page
def arguments(request: HttpRequest) -> HttpResponse:
    """A fragment: the fields of a kind of job."""
    _administrator(request)
    form = Form.read(request.GET)
    return render(request, "jobs/_schedule_arguments.html", {"form": form})


@page
def upcoming(request: HttpRequest) -> HttpResponse:
    """A fragment: when it would fire, as it is typed."""
    _administrator(request)
    return render(request, "jobs/_schedule_next.html", _next(Form.read(request.GET)))


def _edited(request: HttpRequest, row: Schedule | None) -> HttpResponse:
    principal = _administrator(request)
    if request.method != "POST":
        form = Form.of(row, version=_digest(row)) if row else Form(kind=request.GET.get("kind", ""))
        return _form(request, form, row)
    form = Form.read(request.POST)
    if row is not None and form.version != _digest(row):
        return _form(request, replace(form, version=_digest(row)), row, stale=True, status=409)
    wanted = Schedule.objects.get(pk=row.pk) if row else Schedule()
    try:
        form.fill(wanted)
        schedules.checked(wanted)
        schedules.save(wanted, principal=principal)
    except DicomError as error:
        errors: Mapping[str, str] = getattr(error, "errors", {}) or {"body": str(error)}
        return _form(request, Form.read(request.POST, errors), row, status=400)
    messages.success(request, _("“%s” is saved.") % wanted.name)
    return redirect("schedules")


def _form(
    request: HttpRequest, form: Form, row: Schedule | None, *, stale: bool = False, status: int = 200
) -> HttpResponse:
    context = {
        "form": form,
        "row": next(iter(_rows([row])), None) if row else None,
        "stale": stale,
        "kinds": sorted(
            ((name, each.title) for name, each in kind.kinds().items() if each.check), key=lambda pair: pair[1]
        ),
        "whens": WHEN,
        "units": UNITS.items(),
        **_next(form),
    }
    return render(request, "jobs/schedule_form.html", context, status=status)


def _next(form: Form) -> dict[str, Any]:
    try:
        return {"next": form.next_times()}
    except InvalidRequest as error:
        return {"next": [], "wrong": " ".join(error.errors.values())}


def _rows(found: Iterable[Schedule]) -> Iterable[Row]:
    rows = list(found)
    jobs = Job.objects.in_bulk([row.last_job for row in rows if row.last_job])
    for row in rows:
        last = jobs.get(row.last_job or 0)
        yield Row(row, JobRow(last) if last else None)


def _administrator(request: HttpRequest) -> Principal:
    principal = asking(request)
    if not principal.administers:
        raise NotAllowed(_("Schedules are for administrators."))
    return principal


def _found(key: int) -> Schedule:
    row = Schedule.objects.filter(pk=key).first()
    if row is None:
        raise NoSuchSchedule("There is no such schedule")
    return row


def _digest(row: Schedule) -> str:
    """Another one when somebody has changed it."""
    return pages.digest((row.name, row.kind, row.arguments, row.every, row.at, row.cron, row.enabled))
