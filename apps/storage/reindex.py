"""The image index made again from what is in the archive: files and records of decisions, in the order they came."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import InterfaceError, OperationalError, transaction

from apps.accounts.principal import Principal
from apps.accounts.rest import fields
from apps.failpoints import failpoint
from apps.jobs.kind import Planned
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.storage import decisions, records
from apps.storage.index import index_batch
from apps.storage.models import (
    ArchiveRecord,
    Conflict,
    DeletedInstance,
    Instance,
    Patient,
    QuarantinedInstance,
    Series,
    SeriesRequest,
    Study,
)
from apps.storage.placement import name_in, place_of
from apps.storage.received import Received
from apps.storage.store import Away, store

log = logging.getLogger(__name__)

_BATCH = 500
_MOST_NAMED = 100  # files in the job's log
_IMAGE_TABLES = (
    SeriesRequest,
    Instance,
    QuarantinedInstance,
    DeletedInstance,
    Conflict,
    Series,
    Study,
    Patient,
    ArchiveRecord,
)


@dataclass(slots=True)
class Report:
    indexed: int = 0
    known: int = 0
    decisions: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)  # place, reason


def reindex_job(run: JobRun) -> None:
    """What the index lacks is taken in; nothing is emptied: `manage.py reindex --clear` is for an archive at rest."""
    total = done = 0

    def progress(number: int) -> None:
        nonlocal done
        done += number
        run.progress(min(done, total), max(done, total))  # more may have come meanwhile
        failpoint("reindex.batch")
        run.check()

    try:
        total = sum(1 for _ in store().places())
        report = reindex(progress)
    except Away as error:
        raise TryAgain(f"{error} ({error.strerror})") from error
    run.result(indexed=report.indexed, known=report.known, decisions=report.decisions, failed=len(report.failed))
    for place, reason in report.failed[:_MOST_NAMED]:
        run.log(f"{place}: {reason}")
    if report.failed:
        raise JobError(f"{len(report.failed)} files cannot be indexed")


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """No arguments. Raises InvalidRequest."""
    return Planned(fields(arguments), key="reindex")


def is_empty() -> bool:
    return not any(model._default_manager.exists() for model in _IMAGE_TABLES)


def clear() -> None:
    with transaction.atomic():
        for model in _IMAGE_TABLES:
            model._default_manager.all()._raw_delete("default")


def reindex(progress: Callable[[int], None]) -> Report:
    """What is in the index already is left as it is, so that it can go on where it was stopped."""
    report = Report()
    waiting = sorted(set(records.names()) - set(ArchiveRecord.objects.values_list("name", flat=True)))
    batch: list[str] = []
    for place in store().places():
        while waiting and waiting[0] < name_in(place):
            _index(batch, report)
            batch = []
            _decide(waiting.pop(0), report)
        batch.append(place)
        if len(batch) >= _BATCH:
            _index(batch, report)
            progress(len(batch))
            batch = []
    _index(batch, report)
    progress(len(batch))
    for name in waiting:
        _decide(name, report)
    return report


def _decide(name: str, report: Report) -> None:
    report.decisions += decisions.apply(name)


def _index(places: Sequence[str], report: Report) -> None:
    names = [name_in(place) for place in places]
    known = set(Instance.objects.filter(name__in=names).values_list("name", flat=True))
    new = [place for place, name in zip(places, names, strict=True) if name not in known]
    report.known += len(known)
    readable = []
    for place, found in zip(new, store().read_many(new), strict=True):
        if isinstance(found, Received):
            readable.append(found)
        elif isinstance(found, Away):
            raise found
        else:
            log.error("a file cannot be read: %s: %s", place, found)
            _fail(place, found, report)
    _try(readable, report)


def _try(files: Sequence[Received], report: Report) -> None:
    """A batch that fails is halved until the file is found that cannot be indexed."""
    if not files:
        return
    try:
        index_batch(files, None)
        report.indexed += len(files)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(files) == 1:
            log.error("a file cannot be indexed: %s", files[0].name, exc_info=error)
            _fail(place_of(files[0].name), error, report)
            return
        middle = len(files) // 2
        _try(files[:middle], report)
        _try(files[middle:], report)


def _fail(place: str, error: Exception, report: Report) -> None:
    report.failed.append((place, f"{type(error).__name__}: {error}"))
