"""Pages: a day, station by station."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from apps.accounts import pages
from apps.accounts.users import asking
from apps.worklist import search
from apps.worklist.choices import MODALITIES
from apps.worklist.filters import day_of
from apps.worklist.models import ScheduledProcedureStep
from dicom.sop_classes import Service

MOST: Final = 500
# Of a step that says none, and the least that is drawn.
_MINUTES: Final = 15
_DAY: Final = 24 * 60
# Hours shown whatever is scheduled.
_FIRST, _LAST = 8, 18


@dataclass(frozen=True, slots=True)
class Block:
    """A step where it is drawn: minutes of the day, and which of the lanes of its column."""

    step: ScheduledProcedureStep
    start: int
    minutes: int
    lane: int = 0
    lanes: int = 1

    @property
    def end(self) -> int:
        return self.start + self.minutes


@dataclass(frozen=True, slots=True)
class Column:
    """`station` is empty for steps that name none."""

    station: str
    blocks: list[Block]
    address: str


@partial(pages.page, error="worklist/error.html")
def day(request: HttpRequest) -> HttpResponse:
    principal = asking(request)
    shown = day_of(request.GET.get("date", ""))
    modality = request.GET.get("modality", "").strip().upper()[:16]
    asked = {"scheduled_procedure_step_start_date": [f"{shown:%Y%m%d}"], "modality": [modality]}
    found = search.page(search.read(asked), principal=principal, limit=MOST)
    columns = _columns(found.steps, shown)
    hours = _hours(columns)
    context = {
        "day": shown,
        "today": timezone.localdate(),
        "modality": modality,
        "modalities": MODALITIES,
        "columns": columns,
        "hours": hours,
        "first": hours[0] * 60,
        "more": found.following is not None,
        "ways": {name: _address(day, modality) for name, day in _ways(shown).items()},
        "here": _address(shown, modality),
        "may_read": principal.may(Service.WORKLIST),
        "may_schedule": principal.may_schedule,
    }
    state = (shown, modality, timezone.localdate(), [(step.pk, step.version) for step in found.steps])
    return pages.live(request, page="worklist/day.html", fragment="worklist/_day.html", context=context, state=state)


def _ways(shown: date) -> dict[str, date]:
    """To the days around; the calendar ends somewhere."""
    ways = {"today": timezone.localdate()}
    if shown > date.min:
        ways["previous"] = shown - timedelta(days=1)
    if shown < date.max:
        ways["next"] = shown + timedelta(days=1)
    return ways


def _address(shown: date, modality: str) -> str:
    said = {"date": shown.isoformat()}
    return f"{reverse('worklist-day')}?{urlencode(said | ({'modality': modality} if modality else {}))}"


def _columns(steps: Iterable[ScheduledProcedureStep], shown: date) -> list[Column]:
    """By station, those without one last; a step for several stations is in each of their columns."""
    by_station: dict[str, list[Block]] = {}
    for step in steps:
        for station in [title for title in step.scheduled_station_ae_title.split("\\") if title] or [""]:
            by_station.setdefault(station, []).append(_block(step))
    return [
        Column(
            station,
            _in_lanes(blocks),
            urlencode({"station": station, "scheduled_procedure_step_start_date": shown.isoformat()}),
        )
        for station, blocks in sorted(by_station.items(), key=lambda item: (not item[0], item[0]))
    ]


def _block(step: ScheduledProcedureStep) -> Block:
    moment = step.scheduled_procedure_step_start_time_value
    start = moment.hour * 60 + moment.minute if moment else 0
    return Block(step, start, min(max(step.duration_minutes or _MINUTES, _MINUTES), _DAY - start))


def _in_lanes(blocks: list[Block]) -> list[Block]:
    """Those that overlap beside one another: each run of them is divided into as many lanes as it needs."""
    placed: list[Block] = []
    run: list[Block] = []
    ends: list[int] = []
    for block in sorted(blocks, key=lambda each: (each.start, each.step.pk)):
        if run and block.start >= max(ends):
            placed += [replace(each, lanes=len(ends)) for each in run]
            run, ends = [], []
        lane = next((number for number, end in enumerate(ends) if end <= block.start), len(ends))
        ends[lane : lane + 1] = [block.end]
        run.append(replace(block, lane=lane))
    return placed + [replace(each, lanes=len(ends)) for each in run]


def _hours(columns: Iterable[Column]) -> list[int]:
    blocks = [block for column in columns for block in column.blocks]
    first = min([_FIRST, *(block.start // 60 for block in blocks)])
    last = max([_LAST, *(-(-block.end // 60) for block in blocks)])
    return list(range(first, last))
