"""What the verb of a job is given: its arguments, its items, and a way to say how far it got."""

import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.failpoints import failpoint
from apps.jobs import queue
from apps.jobs.models import ItemState, Job, JobItem
from apps.jobs.queue import LeaseLost

PAGE = 500
LOOK_EVERY = 1.0  # seconds
T = TypeVar("T")


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    each = iter(values)
    while some := list(islice(each, size)):
        yield some


class JobError(Exception):
    """The job cannot be done, now or later; `str()` is for the administrator."""


class TryAgain(Exception):
    """Not now: the job goes back to the queue, `delay` overrides the back-off."""

    def __init__(self, reason: str, *, delay: timedelta | None = None) -> None:
        super().__init__(reason)
        self.delay = delay


class Cancelled(Exception):
    """Somebody asked for the end of the job."""


class Stopping(Exception):
    """The worker ends, or the job shall pause: it goes back to the queue as it is."""


class Result(NamedTuple):
    """Of an item: succeeded, failed for good, or still queued; `error` may also be a remark on what succeeded."""

    item: JobItem
    state: ItemState
    error: str = ""


class JobRun:
    """One claim of a job. Every write of progress names the lease, and fails with LeaseLost when it counts no more;
    items are written before the job, so that one who has lost it and one who has it do not wait for each other."""

    def __init__(self, job: Job, principal: Principal, *, stopping: threading.Event | None = None) -> None:
        self.job = job
        self.principal = principal
        self._stopping = stopping or threading.Event()
        self._cancelled = threading.Event()
        self._paused = threading.Event()
        self._lost = threading.Event()
        self._beaten = time.monotonic()

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Whoever is called may have another name by now."""
        arguments: Mapping[str, Any] = self.job.arguments
        called = {name: self.job.peer for name in ("peer", "server") if self.job.peer and arguments.get(name)}
        return {**arguments, **called}

    def was_renamed(self) -> bool:
        """Whether who is called has had another name until now: the arguments name him by the new one from now on."""
        before = self.job.peer
        self.job.refresh_from_db(fields=["peer"])
        return self.job.peer != before

    def check(self) -> None:
        """Between two steps: raises Cancelled, Stopping or LeaseLost when the job is not to go on."""
        if time.monotonic() - self._beaten > LOOK_EVERY:
            self.beat()
        if self._lost.is_set():
            raise LeaseLost(str(self.job))
        if self._cancelled.is_set():
            raise Cancelled
        if self._stopping.is_set() or self._paused.is_set():
            raise Stopping

    @property
    def interrupted(self) -> bool:
        """Whether `check` would raise: for who is in the middle of a long step, from any thread."""
        events = (self._lost, self._cancelled, self._stopping, self._paused)
        return any(event.is_set() for event in events)

    def rest(self, seconds: float) -> None:
        """Leaves the machine to others for a while, shorter when the worker ends; `check`s then."""
        self._stopping.wait(seconds)
        self.check()

    def beat(self) -> None:
        """Renews the lease and looks for a wish to cancel; a thread beside the verb does so during long steps."""
        self._beaten = time.monotonic()
        try:
            wish = queue.keep(self.job)
            if wish.cancel:
                self._cancelled.set()
            if wish.pause:
                self._paused.set()
        except LeaseLost:
            self._lost.set()

    def lose(self) -> None:
        """The database was away for a whole lease: somebody else may have the job by now."""
        self._lost.set()

    def plan(self, keys: Iterable[str]) -> None:
        """The items of a job that was submitted without, a page at a time, of however many; nothing when an earlier
        attempt has made all of them."""
        if self.job.total:
            return
        self.job.items.all().delete()  # of a plan that was broken off
        total = 0
        for page in batched(keys, PAGE):
            with transaction.atomic():
                self._write()
                queue.plan(self.job, page, first=total)
            total += len(page)
            failpoint("job.planning")
            self.check()
        self._write(total=total)
        self.job.total = total

    def items(self) -> Iterator[JobItem]:
        """Those still to do, in order, each once in this run; `check`s before each. Last those that did not work in an
        earlier one, beginning with another one each time, so that none is for ever behind one that ends the run."""
        waiting = self.job.items.filter(state=ItemState.QUEUED)
        tried = array("q", waiting.exclude(error="").values_list("pk", flat=True).iterator())
        first = self.job.attempts % (len(tried) or 1)
        tried = tried[first:] + tried[:first]
        last = -1
        while page := list(waiting.filter(error="", position__gt=last)[:PAGE]):
            yield from self._each(page)
            last = page[-1].position
        for some in batched(tried, PAGE):
            yield from self._each(waiting.filter(pk__in=some))

    def _each(self, items: Iterable[JobItem]) -> Iterator[JobItem]:
        for item in items:
            self.check()
            yield item

    def succeeded(self, *items: JobItem) -> None:
        with transaction.atomic():
            self._write(done=F("done") + self._finish(items, ItemState.SUCCEEDED, ""))
            failpoint("job.recording")
        failpoint("job.recorded")

    def failed(self, item: JobItem, error: str) -> None:
        """For good."""
        with transaction.atomic():
            self._write(failures=F("failures") + self._finish([item], ItemState.FAILED, error))

    def postponed(self, item: JobItem, error: str) -> None:
        """Failed for now: stays to be done in the next attempt, and fails with the last one."""
        with transaction.atomic():
            JobItem.objects.filter(pk=item.pk).update(error=queue.kept(error))
            self._write()

    def note(self, results: Sequence["Result"]) -> None:
        """What came of several items, in one transaction."""
        alike: dict[tuple[ItemState, str], list[JobItem]] = {}
        for result in results:
            alike.setdefault((result.state, result.error), []).append(result.item)
        finished = Counter[ItemState]()
        with transaction.atomic():
            for (state, error), items in alike.items():
                finished[state] += self._finish(items, state, error)
            done, failures = finished[ItemState.SUCCEEDED], finished[ItemState.FAILED]
            self._write(done=F("done") + done, failures=F("failures") + failures)
            failpoint("job.recording")
        failpoint("job.recorded")

    def progress(self, done: int, total: int) -> None:
        """For a job that counts otherwise than by items."""
        self._write(done=done, total=total)

    def result(self, **values: Any) -> None:
        """What came of it, for who asked; later values win."""
        self.job.result = {**self.job.result, **values}
        self._write(result=self.job.result)

    def log(self, text: str) -> None:
        queue.say(self.job, text)

    def waiting(self) -> int:
        return self.job.items.filter(state=ItemState.QUEUED).count()

    def _finish(self, items: Iterable[JobItem], state: ItemState, error: str) -> int:
        keys = [item.pk for item in items]
        finished_at = None if state == ItemState.QUEUED else timezone.now()
        return JobItem.objects.filter(pk__in=keys, state=ItemState.QUEUED).update(
            state=state, error=queue.kept(error), finished_at=finished_at
        )

    def _write(self, **changes: Any) -> None:
        if not queue.held(self.job).update(lease=F("lease"), **changes):
            self._lost.set()
            raise LeaseLost(str(self.job))
