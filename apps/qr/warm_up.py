"""What viewers ask for first, made ahead: metadata and thumbnail of series that have been quiet for a while.

One job looks after all that has changed since it was asked for, and asks for the next one while something is still
changing; so there is one row a minute at most, however many studies come in.
"""

import logging
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet
from django.utils import timezone

from apps.jobs import queue
from apps.jobs.run import JobRun
from apps.network.database import borrowed
from apps.qr import rendered, series_metadata
from apps.qr.api.addresses import bulk_data_address
from apps.qr.series_metadata import Revision
from apps.storage.archive import Gone
from apps.storage.models import Series

log = logging.getLogger(__name__)

_QUIET: Final = timedelta(minutes=1)
_BEHIND: Final = timedelta(minutes=15)  # the index, at most, when it is noticed at all
_MOST: Final = 2000  # series of a run: of a whole archive that is moved in, the latest


def warm_up(run: JobRun) -> None:
    now = timezone.now()
    changed = Series.objects.filter(study__changed_at__gte=run.job.created_at - _BEHIND)
    made = 0
    for series in _quiet(changed, now - _QUIET):
        began = time.monotonic()
        if _ready(series):
            made += 1
            # Half of the time is for others; more when the machine is busy.
            run.rest((time.monotonic() - began) * (1 if os.getloadavg()[0] < (os.cpu_count() or 1) else 4))
        run.check()
    run.log(f"{made} series made ready")
    if changed.filter(changed_at__gt=now - _QUIET).exists():
        job, due_at = run.job, timezone.now() + _QUIET
        queue.submit(kind=job.kind, principal=run.principal, key=job.key, due_at=due_at, priority=job.priority)


def _quiet(changed: QuerySet[Series], until: datetime) -> Iterator[Series]:
    """The latest first."""
    with borrowed():
        keys = list(changed.filter(changed_at__lte=until).order_by("-changed_at").values_list("pk", flat=True)[:_MOST])
    for key in keys:
        with borrowed():
            series = Series.objects.select_related("study").filter(pk=key).first()
        if series is not None:
            yield series


def _ready(series: Series) -> bool:
    """Whether there was something to do."""
    revision = Revision(series.pk, series.revision, series.study.study_instance_uid, series.series_instance_uid)
    try:
        if not series_metadata.make(revision, bulk_data_address):
            return False
    except (Gone, OSError) as error:
        log.warning("Series %s is not made ready: %s", series.series_instance_uid, error)
        return False
    rendered.warm_thumbnail(series)
    return True
