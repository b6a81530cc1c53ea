"""Pages: a new step, a changed one, and what the form asks while somebody types."""

import json
from dataclasses import replace
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.users import asking
from apps.worklist import plain, questions, schedule, search
from apps.worklist.choices import MODALITIES, stations
from apps.worklist.entities import Disagreement
from apps.worklist.fields import CODE_PARTS, FIELDS
from apps.worklist.forms import Form, Texts, texts_of, texts_of_patient, texts_of_template
from apps.worklist.models import ProcedureTemplate, ScheduledProcedureStep
from apps.worklist.order import InvalidOrder
from apps.worklist.steps import found

page = partial(pages.page, writes=True, error="worklist/error.html")

_MOST_PATIENTS: Final = 8
# What an address may fill in, as the day view does.
_FILLS: Final = ("scheduled_procedure_step_start_date", "scheduled_procedure_step_start_time", "patient_id", "modality")
# Of another step of the same order.
_OF_ORDER: Final = (
    *("accession_number", "issuer_of_accession_number", "requesting_physician", "referring_physician_name"),
    *("requesting_service", "admission_id", "scheduled_procedure_step_start_date"),
)


@page
def new(request: HttpRequest) -> HttpResponse:
    principal = _scheduling(request)
    if request.method != "POST":
        return _shown(request, Form(texts=_first(request, principal)))
    form = Form.sent(request.POST.dict())
    confirmed = request.POST.getlist("confirmed")
    doubles = questions.duplicates(form.texts, principal=principal)
    try:
        order = form.order()
        if doubles and not questions.answered(doubles, confirmed):
            return _shown(request, form, duplicates=doubles)
        step = questions.saved(
            form.texts,
            confirmed,
            lambda update: schedule.schedule(principal=principal, order=order, update_patient=update),
        )
    except questions.Asked as asked:
        return _shown(request, form, person=asked.question, confirmed=confirmed)
    except (InvalidOrder, Disagreement) as error:
        return _shown(request, replace(form, errors=error.errors))
    return _saved(request, step, _("The step is scheduled"))


@page
def edit(request: HttpRequest, key: int) -> HttpResponse:
    principal = _scheduling(request)
    step = found(principal, key)
    if request.method != "POST":
        return _shown(request, Form.of_step(step), step=step)
    form = Form.sent(request.POST.dict())
    confirmed = request.POST.getlist("confirmed")
    try:
        changes = form.order(step)
        changed = questions.saved(
            form.texts,
            confirmed,
            lambda update: schedule.reschedule(
                principal=principal,
                step_id=key,
                changes=changes,
                version=form.version or None,
                update_patient=update,
                reason=request.POST.get("reason", ""),
            ),
        )
    except questions.Asked as asked:
        return _shown(request, form, step=step, person=asked.question, confirmed=confirmed)
    except schedule.Stale:
        return _merged(request, form, found(principal, key))
    except (InvalidOrder, Disagreement) as error:
        return _shown(request, replace(form, errors=error.errors), step=step)
    return _saved(request, changed, _("The step is changed"))


@page
def check(request: HttpRequest) -> HttpResponse:
    """What would be asked, while somebody still types."""
    principal = _scheduling(request)
    key = request.POST.get("step", "")
    step = found(principal, int(key)) if key.isascii() and key.isdigit() and len(key) < 19 else None
    form = Form.sent(request.POST.dict())
    context = {
        "duplicates": questions.duplicates(form.texts, principal=principal, but=step),
        "known": None if step else questions.known_patient(form.texts),
    }
    return render(request, "worklist/_notes.html", context)


@page
def patients(request: HttpRequest) -> HttpResponse:
    """Known ones for what is begun."""
    _scheduling(request)
    text = request.GET.get("q", "").strip()[:256]
    known = search.patients(text).order_by("patient_name_key", "pk")[:_MOST_PATIENTS] if text else []
    options = [{"patient": each, "fill": json.dumps(texts_of_patient(each))} for each in known]
    return render(request, "worklist/_patients.html", {"options": options, "text": text})


def _scheduling(request: HttpRequest) -> Principal:
    principal = asking(request)
    if not principal.may_schedule:
        raise schedule.NotAllowed("Not allowed to change the worklist")
    return principal


def _first(request: HttpRequest, principal: Principal) -> Texts:
    """What a new form says: now, and what the address says."""
    now = timezone.localtime()
    texts = {
        "scheduled_procedure_step_start_date": f"{now:%Y-%m-%d}",
        "scheduled_procedure_step_start_time": f"{now:%H:%M}",
    }
    texts |= {name: request.GET[name] for name in _FILLS if name in request.GET}
    texts |= texts_of({"scheduled_station_ae_title": request.GET.get("station", "")})
    patient = questions.known_patient(texts)
    if patient is not None:
        texts |= texts_of_patient(patient)
    order = request.GET.get("order_of", "")
    if order.isascii() and order.isdigit() and len(order) < 19:
        step = found(principal, int(order))
        row = plain.row(step)
        texts |= texts_of_patient(step.requested_procedure.imaging_service_request.patient)
        texts |= texts_of({name: row[name] for name in _OF_ORDER})
    return texts


def _merged(request: HttpRequest, form: Form, step: ScheduledProcedureStep) -> HttpResponse:
    """Somebody was faster: what he changed and this form did not is taken over; what both changed is shown twice."""
    theirs = Form.of_step(step)
    mine = form.changed()
    differing = [
        {"label": _label(name), "name": name, "mine": form.texts[name], "theirs": theirs.texts.get(name, "")}
        for name in mine
        if form.texts[name].strip() != theirs.texts.get(name, "").strip()
    ]
    taken = [
        {"label": _label(name), "theirs": theirs.texts.get(name, ""), "was": form.was.get(name, "")}
        for name in form.texts
        if name not in mine and theirs.texts.get(name, "") != form.was.get(name, "")
    ]
    merged = replace(theirs, texts={**theirs.texts, **{name: form.texts[name] for name in mine}})
    stale = {"differing": differing, "taken": taken, "event": step.events.last()}
    return _shown(request, merged, step=step, stale=stale)


def _label(control: str) -> Any:
    name, _dash, part = control.partition("-")
    return f"{FIELDS[name].label} ({CODE_PARTS[part]})" if part else FIELDS[name].label


def _shown(
    request: HttpRequest, form: Form, *, step: ScheduledProcedureStep | None = None, **asked: Any
) -> HttpResponse:
    templates = ProcedureTemplate.objects.filter(enabled=True)
    context = {
        "form": form,
        "step": step,
        "templates": [{"template": each, "fill": json.dumps(texts_of_template(each))} for each in templates],
        "modalities": MODALITIES,
        "stations": stations(),
        "back": reverse("step", args=[step.pk]) if step else reverse("worklist"),
        "asks": bool(asked.keys() & {"duplicates", "person", "stale"}),
        **asked,
    }
    return render(request, "worklist/step_form.html", context)


def _saved(request: HttpRequest, step: ScheduledProcedureStep, text: str) -> HttpResponse:
    """The page that follows makes the browser forget the draft."""
    messages.success(request, text, extra_tags=request.path)
    return redirect("step", key=step.pk)
