"""What viewers ask for first, made ahead: metadata and thumbnail of series that have been quiet for a while.

One job looks after all that has changed since it was asked for, and asks for the next one while something is still
changing; so there is one row a minute at most, however many studies come in.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields
from apps.failpoints import failpoint
from apps.jobs import queue
from apps.jobs.kind import Planned
from apps.jobs.run import JobRun, TryAgain
from apps.network.database import borrowed
from apps.qr import rendered, series_metadata
from apps.qr.api.addresses import bulk_data_address
from apps.qr.series_metadata import Revision
from apps.storage.archive import Gone
from apps.storage.models import Series, Study
from apps.storage.store import Away
from dicom.sop_classes import Service
from dicom.values import is_uid

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
        if _ready_or_logged(series):
            made += 1
            failpoint("warm_up.made")
            # Half of the time is for others; more when the machine is busy.
            run.rest((time.monotonic() - began) * (1 if os.getloadavg()[0] < (os.cpu_count() or 1) else 4))
        run.check()
    run.log(f"{made} series made ready")
    if changed.filter(changed_at__gt=now - _QUIET).exists():
        job, due_at = run.job, timezone.now() + _QUIET
        queue.submit(kind=job.kind, principal=run.principal, key=job.key, due_at=due_at, priority=job.priority)
        failpoint("warm_up.asked")


def may_warm(principal: Principal) -> bool:
    return principal.may(Service.FIND)


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """`study_instance_uids`. Raises InvalidRequest."""
    uids = fields(arguments, "study_instance_uids").get("study_instance_uids")
    if (
        not isinstance(uids, list)
        or not 0 < len(uids) <= _MOST
        or not all(isinstance(u, str) and is_uid(u) for u in uids)
    ):
        raise InvalidRequest({"study_instance_uids": f"a list of 1 to {_MOST} UIDs is needed"})
    seen = Study.objects.visible_to(principal).filter(study_instance_uid__any_of=uids)
    found = seen.order_by("pk").values_list("study_instance_uid", flat=True)
    if missing := sorted(set(uids) - set(found)):
        raise InvalidRequest({"study_instance_uids": f"there is no study {missing[0]}"})
    return Planned({"study_instance_uids": list(found)})


def warm_caches(run: JobRun) -> None:
    """Series by series; what is ready already costs a look."""
    seen = Study.objects.visible_to(run.principal).filter(
        study_instance_uid__any_of=run.arguments["study_instance_uids"]
    )
    run.plan(Series.objects.filter(study__in=seen).order_by("pk").values_list("series_instance_uid", flat=True))
    made = 0
    for item in run.items():
        series = Series.objects.select_related("study").filter(series_instance_uid=item.key).first()
        if series is None:
            run.failed(item, "It is not there any more")
            continue
        try:
            made += _ready(series)
        except Away as error:
            raise TryAgain(str(error)) from error
        except (Gone, OSError) as error:
            run.failed(item, str(error))
            continue
        failpoint("warm.made")
        run.succeeded(item)
    run.log(f"{made} series made ready, the others were")


def _quiet(changed: QuerySet[Series], until: datetime) -> Iterator[Series]:
    """The latest first."""
    with borrowed():
        keys = list(changed.filter(changed_at__lte=until).order_by("-changed_at").values_list("pk", flat=True)[:_MOST])
    for key in keys:
        with borrowed():
            series = Series.objects.select_related("study").filter(pk=key).first()
        if series is not None:
            yield series


def _ready_or_logged(series: Series) -> bool:
    try:
        return _ready(series)
    except (Gone, OSError) as error:
        log.warning("Series %s is not made ready: %s", series.series_instance_uid, error)
        return False


def _ready(series: Series) -> bool:
    """Whether there was something to do. Raises Gone, Away, OSError."""
    revision = Revision(series.pk, series.revision, series.study.study_instance_uid, series.series_instance_uid)
    if not series_metadata.make(revision, bulk_data_address):
        return False
    rendered.warm_thumbnail(series)
    return True
