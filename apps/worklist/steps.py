"""Pages: a step with its history and images, and its way from one status to the next."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.users import asking
from apps.storage.models import Study
from apps.worklist import codes, plain, schedule
from apps.worklist.choices import LOOKS
from apps.worklist.fields import FIELDS, GROUPS, Field, written
from apps.worklist.forms import PLAIN_PARTS
from apps.worklist.models import LinkState, ScheduledProcedureStep, StepEvent, StepStatus, StudyLink
from apps.worklist.order import InvalidOrder
from dicom import dictionary
from dicom.sop_classes import Service

# What cannot be taken back, or needs a reason, is a second step.
_SECOND: Final = schedule.WITH_REASON | {StepStatus.COMPLETED}
_ACTIONS: Final = {
    "schedule": gettext_lazy("Scheduled"),
    "reschedule": gettext_lazy("Changed"),
    "status": gettext_lazy("Status"),
    "performed": gettext_lazy("Reported by the modality"),
}


@dataclass(frozen=True, slots=True)
class Change:
    label: Any
    before: str
    after: str


@partial(pages.page, error="worklist/error.html")
def step(request: HttpRequest, key: int) -> HttpResponse:
    principal = asking(request)
    shown = found(principal, key)
    studies = _studies(shown, principal)
    events = list(shown.events.all())
    context: dict[str, Any] = {
        "step": shown,
        "patient": shown.requested_procedure.imaging_service_request.patient,
        "groups": _groups(shown),
        "others": list(_others(shown)),
        "ways": [{"status": to, "look": LOOKS[to], "second": to in _SECOND} for to in _ways(shown)],
        "history": [
            {"event": event, "action": _ACTIONS.get(event.action, event.action), "changes": list(_changes(event))}
            for event in reversed(events)
        ],
        "studies": studies,
        "questions": StudyLink.objects.visible_to(principal).filter(
            requested_procedure=shown.requested_procedure, state=LinkState.MISMATCH
        ),
        "may_find": principal.may(Service.FIND),
        "may_schedule": principal.may_schedule,
    }
    images = [(study.pk, study.number_of_study_related_instances) for study in studies]
    return pages.live(
        request,
        page="worklist/step_detail.html",
        fragment="worklist/_step.html",
        context=context,
        state=(shown.version, len(events), images, len(context["questions"])),
    )


@partial(pages.page, writes=True, error="worklist/error.html")
def status(request: HttpRequest, key: int, to: str) -> HttpResponse:
    """GET is the second step of what cannot be taken back, POST does it."""
    principal = asking(request)
    if not principal.may_schedule:
        raise schedule.NotAllowed("Not allowed to change the worklist")
    shown = found(principal, key)
    wanted = StepStatus(to) if to in StepStatus.values else None
    if wanted is None or wanted not in schedule.TRANSITIONS[StepStatus(shown.status)]:
        messages.error(request, _("The step cannot become that any more: look at where it stands now."))
        return redirect("step", key=key)
    context: dict[str, Any] = {"step": shown, "to": wanted, "look": LOOKS[wanted]}
    context["needs_reason"] = wanted in schedule.WITH_REASON
    if request.method != "POST":
        return render(request, "worklist/step_status.html", context)
    reason = request.POST.get("reason", "").strip()
    try:
        schedule.advance(
            principal=principal, step_id=key, to=wanted, reason=reason, version=request.POST.get("version") or None
        )
    except InvalidOrder as error:
        return render(request, "worklist/step_status.html", {**context, "error": error.errors["reason"]}, status=400)
    except (schedule.Stale, schedule.WrongStatus):
        messages.error(request, _("Somebody changed the step meanwhile: look at it again before you go on."))
    return redirect("step", key=key)


def found(principal: Principal, key: int) -> ScheduledProcedureStep:
    """Raises NoSuchStep."""
    step = ScheduledProcedureStep.objects.visible_to(principal).with_order().filter(pk=key).first()
    if step is None:
        raise schedule.NoSuchStep("There is no such step")
    return step


def _studies(step: ScheduledProcedureStep, principal: Principal) -> list[Study]:
    """Of its Study Instance UID, and those linked with it."""
    uids = {step.requested_procedure.study_instance_uid}
    links = StudyLink.objects.filter(requested_procedure=step.requested_procedure)
    uids |= set(links.filter(state=LinkState.LINKED).values_list("study_instance_uid", flat=True))
    uids -= set(links.exclude(state=LinkState.LINKED).values_list("study_instance_uid", flat=True))
    return list(Study.objects.visible_to(principal).filter(study_instance_uid__in=uids).order_by("pk"))


def _ways(step: ScheduledProcedureStep) -> list[StepStatus]:
    """In the order of a step's life."""
    return [to for to in StepStatus if to in schedule.TRANSITIONS[StepStatus(step.status)]]


def _groups(step: ScheduledProcedureStep) -> list[dict[str, Any]]:
    """What is said of each group: what is listed first always, the rest where something is said."""
    row = plain.row(step)
    found = []
    for group in GROUPS:
        facts = [
            {"field": each, "value": row[each.name], "text": _text(each, row[each.name])}
            for each in (*group.fields, *group.more)
            if row[each.name] or each in group.fields
        ]
        found.append({"title": group.title, "facts": facts})
    return found


def _text(each: Field, value: Any) -> str:
    if each.kind == "code":
        return "; ".join(_code(item) for item in value)
    if each.choices and value in each.choices:
        return f"{value} · {each.choices[value]}" if each.name == "modality" else str(each.choices[value])
    return written(each.kind, value)


def _code(item: Any) -> str:
    parts = {part: str(item.get(name, "")) for part, name in PLAIN_PARTS.items()}
    return f"{parts['meaning']} ({parts['value']}, {parts['scheme']})"


def _others(step: ScheduledProcedureStep) -> Iterator[tuple[str, str]]:
    """What was given that has no column, by keyword."""
    procedure = step.requested_procedure
    request = procedure.imaging_service_request
    for row in (request.patient, request.visit, request, procedure, step):
        for tag, element in (row.other_attributes if row else {}).items():
            values = element.get("Value", []) if isinstance(element, dict) else []
            if values:
                yield dictionary.keyword(int(tag, 16)) or tag, ", ".join(map(_plain, values))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("Alphabetic") or "; ".join(_plain(item) for item in _items(value)))
    return str(value)


def _items(value: dict[str, Any]) -> list[Any]:
    return [each for element in value.values() if isinstance(element, dict) for each in element.get("Value", [])]


def _changes(event: StepEvent) -> Iterator[Change]:
    for name, values in event.detail.items():
        label = FIELDS[name].label if name in FIELDS else name
        if isinstance(values, list) and len(values) == 2:
            yield Change(label, *(_shown(name, value) for value in values))
        else:
            yield Change(label, "", _shown(name, values))


def _shown(name: str, value: Any) -> str:
    each = FIELDS.get(name)
    if each and each.kind == "code" and isinstance(value, list):
        return "; ".join(_code(codes.shown(item)) for item in value)
    if isinstance(value, str | int | None) and each:
        return written(each.kind, value or "")
    return "" if value is None else _plain(value)
