"""The image index made again from what is in the archive: files and records of decisions, in the order they came."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

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
from apps.storage.received import read
from apps.storage.spool import is_name

log = logging.getLogger(__name__)

_BATCH = 500
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


def is_empty() -> bool:
    return not any(model._default_manager.exists() for model in _IMAGE_TABLES)


def clear() -> None:
    with transaction.atomic():
        for model in _IMAGE_TABLES:
            model._default_manager.all()._raw_delete("default")


def places() -> Iterator[Path]:
    """All files, in order of reception: directories are named by the minute, files by the nanosecond."""
    yield from _below(settings.ARCHIVE, 4)


def _below(directory: Path, levels: int) -> Iterator[Path]:
    if not directory.is_dir():
        return
    for name in sorted(os.listdir(directory)):
        if levels and name.isascii() and name.isdigit():
            yield from _below(directory / name, levels - 1)
        elif not levels and is_name(name):
            yield directory / name


def reindex(progress: Callable[[int], None]) -> Report:
    """What is in the index already is left as it is, so that it can go on where it was stopped."""
    report = Report()
    waiting = sorted(set(records.names()) - set(ArchiveRecord.objects.values_list("name", flat=True)))
    batch: list[Path] = []
    for path in places():
        while waiting and waiting[0] < path.name:
            _index(batch, report)
            batch = []
            _decide(waiting.pop(0), report)
        batch.append(path)
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
    decisions.apply(records.read(name))
    report.decisions += 1


def _index(paths: Sequence[Path], report: Report) -> None:
    names = [path.name for path in paths]
    known = set(Instance.objects.filter(name__in=names).values_list("name", flat=True))
    new = [path for path in paths if path.name not in known]
    report.known += len(known)
    _try(new, report)


def _try(paths: Sequence[Path], report: Report) -> None:
    """A batch that fails is halved until the file is found that cannot be indexed."""
    if not paths:
        return
    try:
        index_batch([read(path) for path in paths], None)
        report.indexed += len(paths)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(paths) == 1:
            log.error("a file cannot be indexed: %s", paths[0], exc_info=error)
            report.failed.append((str(paths[0].relative_to(settings.ARCHIVE)), f"{type(error).__name__}: {error}"))
            return
        middle = len(paths) // 2
        _try(paths[:middle], report)
        _try(paths[middle:], report)
