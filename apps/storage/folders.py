"""A kind of job: a folder of the server is imported, where the installation says that it may be."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.jobs.kind import Planned
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.storage import importing
from apps.storage.importing import Report, Stopped

_TELL: Final = 50  # files between two notes of how far it is
_MOST_REASONS: Final = 20  # in the job's log
_MOST_NAMED: Final = 100  # files that were refused
EXAMPLE: Final = {"folder": "/srv/import/old-archive"}


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """`folder`, below one of those that PACS_IMPORT_FROM names. Raises InvalidRequest."""
    said = text(fields(arguments, "folder"), "folder").strip()
    if not said:
        raise InvalidRequest({"folder": "is needed"})
    try:
        folder = _allowed(said)
    except JobError as error:
        raise InvalidRequest({"folder": str(error)}) from error
    return Planned({"folder": folder}, key=_key(folder))


def _key(folder: str) -> str:
    """One job for a folder waits; of a path that is long, its end tells them apart."""
    return folder[-200:]


def _allowed(said: str) -> str:
    """The folder, links followed. Raises JobError."""
    if not settings.IMPORT_FROM:
        raise JobError("No folder may be imported: PACS_IMPORT_FROM names none")
    try:
        folder = os.path.realpath(said, strict=True) if os.path.isabs(said) and "\0" not in said else ""
    except OSError:
        folder = ""
    # The same answer for what is not there and what is elsewhere: it tells nobody what the server's disk holds.
    if not folder or not _is_below(folder) or not os.path.isdir(folder):
        raise JobError("There is no such folder below those that may be imported")
    return folder


def _is_below(path: str) -> bool:
    return any(Path(path).is_relative_to(os.path.realpath(root)) for root in settings.IMPORT_FROM)


def import_folder(run: JobRun) -> None:
    """What an attempt before has taken in is known by its digest, and is not taken in again."""
    folder = Path(_allowed(run.arguments["folder"]))
    total = sum(1 for _ in _files(folder))
    counted = itertools.count(1)

    def progress(path: Path) -> None:
        run.check()
        done = next(counted)
        if done % _TELL == 0 or done >= total:
            run.progress(done, max(done, total))

    report = Report()
    try:
        files = _files(folder, unreadable=report.refuse)
        importing.run(files, principal=run.principal, progress=progress, report=report)
    except Stopped as error:
        raise TryAgain(str(error)) from error
    run.result(
        imported=report.imported,
        quarantined=report.quarantined,
        known=report.known,
        not_dicom=report.not_dicom,
        refused=len(report.refused),
    )
    for path, reason in report.refused[:_MOST_NAMED]:
        run.log(f"{_readable(os.path.relpath(path, folder))} is refused: {reason}")
    if len(report.refused) > _MOST_NAMED:
        run.log(f"and {len(report.refused) - _MOST_NAMED} more files; why, of all of them:")
        for reason, number in report.reasons().most_common(_MOST_REASONS):
            run.log(f"{number} x {reason}")
    run.log(
        f"{report.imported} imported, {report.known} known already, {len(report.refused)} refused, "
        f"{report.quarantined} put into quarantine as another version, {report.not_dicom} no DICOM instances"
    )
    if not report.indexed:
        run.log("The index has not caught up yet: what was received is safe")
    if report.refused:
        raise JobError(f"{len(report.refused)} files or folders were not taken: the log names the first")


def _readable(path: str) -> str:
    """Names of files are bytes, of which not all are text; no database takes those that are not."""
    return os.fsencode(path).decode("utf-8", "replace")


def _files(folder: Path, *, unreadable: Callable[[OSError], object] = lambda error: None) -> Iterator[Path]:
    """Links that lead elsewhere are not followed."""
    found = importing.files_below([folder], unreadable=unreadable)
    return (path for path in found if _is_below(os.path.realpath(path)))
