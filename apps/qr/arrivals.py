"""Which of the instances that are to come are in the archive."""

import time
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Final

from django.db.models import QuerySet

from apps.jobs.models import JobItem
from apps.jobs.run import JobRun
from apps.qr.listing import Unit
from apps.storage.models import Instance

LOOK_EVERY: Final = 1.0  # seconds
QUIET: Final = 10.0  # seconds without a new one, after which no more are expected
_AT_ONCE: Final = 500


def present(uids: Collection[str]) -> set[str]:
    found: set[str] = set()
    for some in _pages(uids):
        rows = Instance.objects.filter(sop_instance_uid__in=some)
        found.update(rows.values_list("sop_instance_uid", flat=True))
    return found


def count(unit: Unit) -> int:
    """Of a study or a series."""
    rows: QuerySet[Instance] = Instance.objects.filter(series__study__study_instance_uid=unit.study_instance_uid)
    if unit.series_instance_uid:
        rows = rows.filter(series__series_instance_uid=unit.series_instance_uid)
    return rows.count()


class Arrivals:
    """Items of a job, by the SOP Instance UIDs they are about; each has succeeded once its instance is indexed."""

    def __init__(self, run: JobRun, items: Mapping[str, JobItem]) -> None:
        self._run = run
        self.missing = dict(items)
        self.moved = time.monotonic()
        self._looked = 0.0

    def look(self, *, now: bool = False) -> None:
        """At most each second, but for `now`."""
        if not now and time.monotonic() - self._looked < LOOK_EVERY:
            return
        if here := present(self.missing):
            self._run.succeeded(*(self.missing.pop(uid) for uid in here))
            self.moved = time.monotonic()
        self._looked = time.monotonic()

    def settle(self, expected: int) -> None:
        """Until all are here or so many have come, or as long as they keep coming."""
        last = len(self.missing) - expected
        self.moved = time.monotonic()
        self.look(now=True)
        while len(self.missing) > max(last, 0) and time.monotonic() - self.moved < QUIET:
            self._run.rest(0.1)
            self.look(now=True)


def _pages(uids: Collection[str]) -> Iterator[list[str]]:
    rest = iter(uids)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
