"""Pages: the list of jobs, one of them, and what can be done with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import asking
from apps.jobs import queue, readable, search
from apps.jobs.kind import kinds, title_of
from apps.jobs.models import ItemState, Job, JobItem, JobState
from dicom.errors import DicomError

PAGE: Final = 50
LINES: Final = 200
ITEMS: Final = 100
page = partial(pages.page, error="jobs/error.html")

FILTERS: Final = ("state", "kind", "peer", "submitted_by")
UNFINISHED: Final = "unfinished"  # waits or runs
STEPS: Final[Mapping[str, int]] = {"up": 10, "down": -10}  # of priority


class NoSuchJob(DicomError):
    http_status = 404


@dataclass(frozen=True, slots=True)
class Look:
    """Of a state: word, icon and colour, so that none stands alone."""

    word: Any
    icon: str
    colour: str


PAUSED: Final = Look(gettext_lazy("Paused"), "player-pause", "purple")
LOOKS: Final[Mapping[str, Look]] = {
    JobState.QUEUED: Look(gettext_lazy("Waiting"), "clock", "blue"),
    JobState.RUNNING: Look(gettext_lazy("Running"), "activity", "orange"),
    JobState.SUCCEEDED: Look(gettext_lazy("Done"), "circle-check", "green"),
    JobState.FAILED: Look(gettext_lazy("Failed"), "alert-triangle", "red"),
    JobState.CANCELLED: Look(gettext_lazy("Cancelled"), "ban", "secondary"),
}
ITEM_LOOKS: Final[Mapping[str, Look]] = {
    ItemState.FAILED: LOOKS[JobState.FAILED],
    ItemState.QUEUED: LOOKS[JobState.QUEUED],
    ItemState.SUCCEEDED: LOOKS[JobState.SUCCEEDED],
}


@dataclass(frozen=True, slots=True)
class Row:
    job: Job

    @property
    def title(self) -> str:
        return title_of(self.job.kind)

    @property
    def look(self) -> Look:
        return PAUSED if self.job.paused and not self.ended else LOOKS[self.job.state]

    @property
    def ended(self) -> bool:
        return self.job.state not in (JobState.QUEUED, JobState.RUNNING)

    @property
    def waits(self) -> bool:
        return self.job.state == JobState.QUEUED

    @property
    def later(self) -> bool:
        """It waits for its time, the first one or the next."""
        return self.waits and self.job.due_at > timezone.now()

    @property
    def finished(self) -> int:
        return self.job.done + self.job.failures

    @property
    def may_retry(self) -> bool:
        return self.job.state in (JobState.FAILED, JobState.CANCELLED)

    def state(self) -> tuple[Any, ...]:
        """As far as it changes."""
        job = self.job
        counts = (job.total, job.done, job.failures, job.attempts, job.priority)
        return (job.pk, job.state, job.paused, job.cancel_requested, counts, job.error, job.due_at, self.later)


@page
def jobs(request: HttpRequest) -> HttpResponse:
    principal = asking(request)
    given = {name: request.GET.get(name, "").strip()[:150] for name in FILTERS}
    before = request.GET.get("before", "")
    position = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    asked = {name: [value] for name, value in given.items() if value}
    if given["state"] == UNFINISHED:
        asked["state"] = [f"{JobState.QUEUED},{JobState.RUNNING}"]
    elif given["state"] == "paused":
        asked |= {"state": [f"{JobState.QUEUED},{JobState.RUNNING}"], "paused": ["true"]}
    error = ""
    try:
        found = search.page(asked, principal=principal, limit=PAGE, before=position, brief=True)
    except InvalidRequest as wrong:
        found, error = [], str(wrong)
    rows = [Row(job) for job in found[:PAGE]]
    said = {name: value for name, value in given.items() if value}
    here = f"{request.path}?{urlencode({**said, **({'before': str(position)} if position is not None else {})})}"
    context = {
        "rows": rows,
        "filters": given,
        "error": error,
        "here": here,
        "first": f"{request.path}?{urlencode(said)}" if position is not None else "",
        "next": f"{request.path}?{urlencode({**said, 'before': str(found[PAGE - 1].pk)})}" if len(found) > PAGE else "",
        "states": [(UNFINISHED, _("Waiting or running")), ("paused", PAUSED.word)]
        + [(state, look.word) for state, look in LOOKS.items()],
        "kinds": sorted(((name, title_of(name)) for name in kinds()), key=lambda pair: pair[1]),
        "administers": principal.administers,
        "running": sum(row.job.state == JobState.RUNNING for row in rows),
    }
    state = (here, error, [row.state() for row in rows])
    return pages.live(request, page="jobs/job_list.html", fragment="jobs/_jobs.html", context=context, state=state)


@page
def job(request: HttpRequest, key: int) -> HttpResponse:
    row = Row(_found(asking(request), key))
    chosen = request.GET.get("items", "")
    after = request.GET.get("after", "")
    position = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else -1
    items, more = _items(row.job, chosen, position)
    lines = list(row.job.lines.order_by("-id")[:LINES])
    counts = {
        ItemState.FAILED: row.job.failures,
        ItemState.QUEUED: max(0, row.job.total - row.finished),
        ItemState.SUCCEEDED: row.job.done,
    }
    context = {
        "row": row,
        "job": row.job,
        "items": [(item, ITEM_LOOKS[item.state]) for item in items],
        "chosen": chosen,
        "choices": [(state, ITEM_LOOKS[state].word, count) for state, count in counts.items()],
        "more": f"{request.path}?{urlencode({'items': chosen, 'after': str(items[-1].position)})}"
        if more and chosen
        else "",
        "cut": more and not chosen,
        "named": bool(items) or bool(chosen),
        "lines": lines,
        "arguments": list(readable.lines(row.job.arguments)),
        "result": list(readable.lines(row.job.result)),
        "made": readable.Made.of(row.job.result),
        "here": f"{request.path}?{urlencode({'items': chosen, 'after': after})}",
    }
    state = (row.state(), [(item.pk, item.state, item.error) for item in items], len(lines) and lines[0].pk)
    return pages.live(request, page="jobs/job_detail.html", fragment="jobs/_job.html", context=context, state=state)


@partial(pages.page, writes=True, error="jobs/error.html")
def act(request: HttpRequest, key: int, action: str) -> HttpResponse:
    """What a button asks for; back to the page it is on."""
    principal = asking(request)
    found = _found(principal, key)
    if action not in ACTIONS:
        raise Http404
    if request.method == "POST":
        try:
            if not ACTIONS[action](found, principal):
                messages.error(request, _("That was not possible any more: the job has gone on meanwhile."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
    back = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return redirect(back if ours else reverse("job", args=[key]))


def _change(step: int, job: Job, principal: Principal) -> bool:
    limited = max(-search.MOST_URGENT, min(search.MOST_URGENT, job.priority + step))
    return queue.change(job, principal=principal, priority=limited)


ACTIONS: Final[Mapping[str, Callable[[Job, Principal], bool]]] = {
    "cancel": lambda job, principal: queue.cancel(job, principal=principal),
    "pause": lambda job, principal: queue.pause(job, principal=principal),
    "resume": lambda job, principal: queue.resume(job, principal=principal),
    "retry": lambda job, principal: queue.retry(job, principal=principal),
    "now": lambda job, principal: queue.change(job, principal=principal, due_at=queue.clock()),
    **{name: partial(_change, step) for name, step in STEPS.items()},
}


def _found(principal: Principal, key: int) -> Job:
    """Raises NoSuchJob."""
    found = Job.objects.visible_to(principal).filter(pk=key).first()
    if found is None:
        raise NoSuchJob("There is no such job")
    return found


def _items(job: Job, chosen: str, after: int) -> tuple[list[JobItem], bool]:
    """Of one state in pages; else what failed first, then what is next, then what is done."""
    rows: QuerySet[JobItem] = job.items.all()
    if chosen in ItemState.values:
        found = list(rows.filter(state=chosen, position__gt=after)[: ITEMS + 1])
        return found[:ITEMS], len(found) > ITEMS
    found = []
    for state in ITEM_LOOKS:
        if len(found) <= ITEMS:
            found += rows.filter(state=state)[: ITEMS + 1 - len(found)]
    return found[:ITEMS], len(found) > ITEMS
