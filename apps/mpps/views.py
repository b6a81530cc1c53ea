"""Pages: the board of performed steps, one of them, and its end by hand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.users import asking
from apps.lookups import prefix_range
from apps.mpps import procedure_step, progress
from apps.mpps.models import PerformedProcedureStep, PerformedStatus
from apps.mpps.progress import Progress
from apps.storage.models import Study
from apps.worklist.choices import Look
from dicom.errors import DicomError
from dicom.mpps import Refused
from dicom.sop_classes import Service
from dicom.values import name_key

PAGE: Final = 50
MOST_IN_PROGRESS: Final = 200
page = partial(pages.page, error="worklist/error.html")

LOOKS: Final[Mapping[PerformedStatus, Look]] = {
    PerformedStatus.IN_PROGRESS: Look(gettext_lazy("In progress"), "activity", "orange", gettext_lazy("Begin")),
    PerformedStatus.COMPLETED: Look(gettext_lazy("Completed"), "circle-check", "green", gettext_lazy("Complete")),
    PerformedStatus.DISCONTINUED: Look(gettext_lazy("Discontinued"), "player-stop", "red", gettext_lazy("Discontinue")),
}
_ACTIONS: Final = {
    "create": gettext_lazy("Begun"),
    "set": gettext_lazy("Reported"),
    "close": gettext_lazy("Ended by hand"),
}


class NoSuchProcedure(DicomError):
    http_status = 404


class NotAllowed(DicomError):
    http_status = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`arrived`: images of its studies, while the modality has not said which there are."""

    performed: PerformedProcedureStep
    look: Look
    progress: Progress | None
    arrived: int
    minutes: int | None

    @property
    def scheduled(self) -> list[Any]:
        return [item for item in self.performed.scheduled.all() if item.step_id]

    @property
    def in_progress(self) -> bool:
        return self.performed.status == PerformedStatus.IN_PROGRESS


@page
def board(request: HttpRequest) -> HttpResponse:
    principal = asking(request)
    text = request.GET.get("text", "").strip()[:256]
    before = request.GET.get("before", "")
    found = (
        PerformedProcedureStep.objects.visible_to(principal).filter(_begun(text)).prefetch_related("scheduled__step")
    )
    now = timezone.localtime()
    running: list[PerformedProcedureStep] = []
    ended = found.exclude(status=PerformedStatus.IN_PROGRESS).order_by("-pk")
    if before.isascii() and before.isdigit() and len(before) < 19:
        ended = ended.filter(pk__lt=int(before))
    else:
        running = list(found.filter(status=PerformedStatus.IN_PROGRESS).order_by("-pk")[:MOST_IN_PROGRESS])
    shown = list(ended[: PAGE + 1])
    rows = _rows([*running, *shown[:PAGE]])
    following = urlencode({"text": text, "before": str(shown[PAGE - 1].pk)}) if len(shown) > PAGE else ""
    context = {
        "rows": rows,
        "running": len(running),
        "text": text,
        "next": following,
        "first": bool(before),
        "here": f"{request.path}?{urlencode({'text': text, 'before': before})}",
        "may_read": principal.may(Service.MPPS) or principal.may(Service.WORKLIST),
        "may_schedule": principal.may_schedule,
    }
    # The minutes of what is in progress go on.
    state = (text, before, running and (now.hour, now.minute), [_state(row) for row in rows])
    return pages.live(
        request, page="mpps/procedure_list.html", fragment="mpps/_procedures.html", context=context, state=state
    )


@page
def procedure(request: HttpRequest, key: int) -> HttpResponse:
    principal = asking(request)
    performed = _found(principal, key)
    row = _rows([performed])[0]
    events = list(performed.events.all())
    studies = {item.study_instance_uid for item in performed.scheduled.all()}
    context = {
        "row": row,
        "performed": performed,
        "looks": LOOKS,
        "studies": Study.objects.visible_to(principal).filter(study_instance_uid__in=studies),
        "missing": progress.missing(key) if row.progress and not row.progress.is_complete else [],
        "history": [
            {
                "event": each,
                "action": _ACTIONS.get(each.action, each.action),
                "look": LOOKS[PerformedStatus(each.status)],
            }
            for each in reversed(events)
        ],
        "may_schedule": principal.may_schedule,
        "ends": [(to, LOOKS[to]) for to in procedure_step.BY_HAND],
    }
    return pages.live(
        request,
        page="mpps/procedure_detail.html",
        fragment="mpps/_procedure.html",
        context=context,
        state=(_state(row), len(events)),
    )


@partial(pages.page, writes=True, error="worklist/error.html")
def close(request: HttpRequest, key: int, to: str) -> HttpResponse:
    """GET is the second step, POST does it."""
    principal = asking(request)
    if not principal.may_schedule:
        raise NotAllowed("Not allowed to end a step")
    performed = _found(principal, key)
    wanted = PerformedStatus(to) if to in procedure_step.BY_HAND else None
    if wanted is None or performed.status != PerformedStatus.IN_PROGRESS:
        messages.error(request, _("The step has ended already."))
        return redirect("procedure", key=key)
    context: dict[str, Any] = {
        "row": _rows([performed])[0],
        "performed": performed,
        "to": wanted,
        "look": LOOKS[wanted],
    }
    reason = request.POST.get("reason", "").strip()
    if request.method != "POST" or not reason:
        wrong = request.method == "POST"
        return render(request, "mpps/procedure_close.html", {**context, "error": wrong}, status=400 if wrong else 200)
    try:
        procedure_step.close(principal=principal, sop_instance_uid=performed.sop_instance_uid, to=wanted, reason=reason)
    except Refused as refused:
        messages.error(request, str(refused))
    return redirect("procedure", key=key)


def _begun(text: str) -> Q:
    """Whose name or ID begins so."""
    if not text:
        return Q()
    name = name_key("^".join(part.strip() for part in text.split(",")))
    by_name = prefix_range("patient_name_key", name) if name else Q(pk__in=[])
    return by_name | prefix_range("patient_id", text)


def _found(principal: Principal, key: int) -> PerformedProcedureStep:
    """Raises NoSuchProcedure."""
    steps: QuerySet[PerformedProcedureStep] = PerformedProcedureStep.objects.visible_to(principal)
    found = steps.filter(pk=key).prefetch_related("scheduled__step").first()
    if found is None:
        raise NoSuchProcedure("There is no such step")
    return found


def _rows(performed: Iterable[PerformedProcedureStep]) -> list[Row]:
    steps = list(performed)
    counted = progress.of(step.pk for step in steps)
    arrived = _arrived(steps)
    return [
        Row(
            performed=step,
            look=LOOKS[PerformedStatus(step.status)],
            progress=counted.get(step.pk),
            arrived=sum(arrived.get(uid, 0) for uid in _studies(step)),
            minutes=_minutes(step),
        )
        for step in steps
    ]


def _arrived(steps: Iterable[PerformedProcedureStep]) -> dict[str, int]:
    """Images that are there, by study."""
    uids = {uid for step in steps for uid in _studies(step)}
    studies = Study.objects.filter(study_instance_uid__in=uids)
    return dict(studies.values_list("study_instance_uid", "number_of_study_related_instances"))


def _studies(step: PerformedProcedureStep) -> set[str]:
    return {item.study_instance_uid for item in step.scheduled.all()}


def _minutes(step: PerformedProcedureStep) -> int | None:
    """For how long it has been going on."""
    if step.status != PerformedStatus.IN_PROGRESS:
        return None
    return max(0, int((timezone.now() - step.created_at).total_seconds() // 60))


def _state(row: Row) -> tuple[Any, ...]:
    """Of a row, as far as it changes."""
    counted = (row.progress.received, row.progress.referred) if row.progress else ()
    return (
        row.performed.pk,
        row.performed.revision,
        counted,
        row.arrived,
        [each.step.status for each in row.scheduled],
    )
