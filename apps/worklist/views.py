"""Pages: the list of scheduled steps, and it as a table for other programs."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django_htmx.http import replace_url

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.users import asking
from apps.worklist import plain, search
from apps.worklist.choices import LOOKS, MODALITIES, stations
from apps.worklist.filters import WHEN, Filters
from apps.worklist.models import ScheduledProcedureStep
from apps.worklist.search import InvalidFilter, Page
from dicom.sop_classes import Service

PAGE: Final = 50
page = partial(pages.page, error="worklist/error.html")

# Of the table for other programs: what a row begins with, then every attribute.
_COLUMNS: Final = (
    *("scheduled_procedure_step_start_date", "scheduled_procedure_step_start_time", "status", "modality"),
    *("scheduled_station_ae_title", "patient_name", "patient_id", "patient_birth_date", "patient_sex"),
    *("accession_number", "requested_procedure_id", "requested_procedure_description", "scheduled_procedure_step_id"),
    *("scheduled_procedure_step_description", "duration_minutes", "scheduled_performing_physician_name"),
    *("requesting_physician", "referring_physician_name", "requested_procedure_priority", "admission_id"),
    *("current_patient_location", "study_instance_uid", "created_at", "changed_at"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@page
def steps(request: HttpRequest) -> HttpResponse:
    principal = asking(request)
    filters = Filters.from_params(request.GET.dict())
    error = ""
    try:
        found = search.page(filters.search(), principal=principal, limit=PAGE, after=filters.position)
    except InvalidFilter as wrong:
        found, error = Page([], None), "; ".join(wrong.errors.values())
    context = {
        "filters": filters,
        "steps": found.steps,
        "next": filters.address(after=str(found.following)) if found.following else "",
        "first": filters.address(after="") if filters.after else "",
        "all_days": filters.address(when="all", since="", until="", after=""),
        "error": error,
        "may_read": principal.may(Service.WORKLIST),
        "may_schedule": principal.may_schedule,
        "when": WHEN,
        "modalities": MODALITIES,
        "looks": LOOKS,
        "stations": partial(stations, filters.station),  # of the page alone, not of what follows the server
        "today": timezone.localdate(),
    }
    state = (filters, error, timezone.localdate(), [(step.pk, step.version) for step in found.steps])
    answer = pages.live(
        request, page="worklist/step_list.html", fragment="worklist/_steps.html", context=context, state=state
    )
    if answer.status_code == 204 or pages.SEEN in request.GET or not getattr(request, "htmx", False):
        return answer
    return replace_url(answer, f"{reverse('worklist')}{filters.address()}".rstrip("?"))


@page
def steps_csv(request: HttpRequest) -> HttpResponse:
    """Everything that is filtered."""
    filters = Filters.from_params(request.GET.dict())
    lines = _lines(filters, asking(request), filters.search())
    answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="worklist {timezone.localdate()}.csv"'
    return answer  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Line:
    """What csv writes to."""

    def write(self, text: str) -> str:
        return text


def _lines(filters: Filters, principal: Principal, asked: search.Search) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield "\ufeff" + writer.writerow(_COLUMNS)  # programs that draw tables take it for UTF-8 by this mark
    after = None
    while True:
        found = search.page(asked, principal=principal, limit=search.MOST, after=after)
        yield from (writer.writerow(_cells(step)) for step in found.steps)
        if found.following is None:
            return
        after = found.following


def _cells(step: ScheduledProcedureStep) -> list[str]:
    row = plain.row(step)
    return [_harmless(row[name]) for name in _COLUMNS]


def _harmless(value: Any) -> str:
    """No formula for who opens the table."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
