"""The kind of job "export": instances as a ZIP, folders by patient, study and series, kept for some days."""

import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.jobs.kind import NotAllowed, Planned
from apps.jobs.models import Job
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.qr import retrieve, wado
from apps.qr.asked import LEVELS, uids_by_level
from apps.qr.folders import Folders
from apps.qr.retrieve import Instances, Stored
from apps.qr.sending import asked_for, say_missing
from apps.storage import archive
from apps.storage.models import Instance
from apps.storage.store import Away
from dicom.errors import DicomError, InvalidDataSet
from dicom.sop_classes import Service

if TYPE_CHECKING:
    from dicom.dicomdir import Directory

KIND: Final = "export"
DAYS: Final = 7
EXAMPLE: Final = {"study_instance_uids": ["1.2.3"], "dicomdir": True}
MOST_IN_DICOMDIR: Final = 20_000
_DIRECTORY: Final = "dicom.dicomdir.Directory"  # by name: it costs each process 25 MB, and is seldom asked for
_TELL: Final = 1.0  # seconds between two notes of how far it is
_NAMES: Final = (
    "sop_instance_uid",
    "series__study__patient",
    "series__study__patient__patient_id",
    "series__study__patient__patient_name",
    "series__study__study_instance_uid",
    "series__study__study_date",
    "series__study__study_description",
    "series__series_instance_uid",
    "series__series_number",
    "series__modality",
    "series__series_description",
)


def may_export(principal: Principal) -> bool:
    return principal.may(Service.GET)


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """UIDs as of "send", and whether there shall be a `dicomdir`. Raises InvalidRequest."""
    said = fields(arguments, *LEVELS, "dicomdir")
    if not isinstance(said.get("dicomdir", False), bool):
        raise InvalidRequest({"dicomdir": "true or false"})
    asked = uids_by_level(principal, said, done="exported")
    return Planned({**asked, "dicomdir": said.get("dicomdir", False)})


def folder() -> Path:
    return Path(settings.DATA) / "exports"


def path_of(job: Job) -> Path | None:
    """Of what a job has made, as long as it is there."""
    path = folder() / f"{job.pk}.zip"
    return path if job.kind == KIND and job.result.get("file") == path.name and path.is_file() else None


def fetch(job: Job, principal: Principal) -> BinaryIO | None:
    """What a job has made, as long as it is there, for who takes it away. Raises NotAllowed."""
    if not may_export(principal):
        raise NotAllowed("Not allowed: export")
    path = path_of(job)
    try:
        file = path.open("rb") if path else None
    except FileNotFoundError:
        return None
    if file:
        trail.record(actor=Actor.of(principal), action="download", object=f"job {job.pk}")
    return file


def export(run: JobRun) -> None:
    """Written anew by each attempt; whole under its name, or not there. Told of once, when it is there. One that lacks
    files that cannot be read has failed, is to be had all the same, and is made again when it is tried again."""
    folder().mkdir(parents=True, exist_ok=True)
    made = folder() / f"{run.job.pk}.zip"
    _forget_attempts(run.job)
    if run.job.result.get("unreadable"):
        made.unlink(missing_ok=True)
    if not made.exists():
        part = made.with_suffix(f".{run.job.lease}.part")
        try:
            _write(run, part)
            failpoint("export.written")
            os.rename(part, made)
            failpoint("export.renamed")
        except Away as error:
            raise TryAgain(str(error)) from error
        except OSError as error:
            raise TryAgain(f"The export cannot be written: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
    _tell(run, made)
    failpoint("export.made")
    if unreadable := run.job.result.get("unreadable"):
        raise JobError(f"{unreadable} files cannot be read and are left out: the log names them")


def _forget_attempts(job: Job) -> None:
    """What attempts left whose worker died: it may be as large as the disk."""
    for path in folder().glob(f"{job.pk}.*.part"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _write(run: JobRun, part: Path) -> None:
    rows = _rows(run)
    if shutil.disk_usage(part.parent).free - sum(row.size for row in rows) < settings.MINIMUM_FREE:
        raise TryAgain("There is no room for it on the disk", delay=timedelta(minutes=10))
    scratch = tempfile.TemporaryDirectory(dir=part.parent, prefix=f"{run.job.pk}.", suffix=".part")
    with scratch as own, part.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False) as target:
            names = _directory(run, rows, Path(own), target) if run.arguments["dicomdir"] else {}
            left_out, unreadable = _fill(run, rows, names, target)
        file.flush()
        os.fsync(file.fileno())
    studies = sorted({row.study_instance_uid for row in rows})
    run.result(instances=len(rows) - left_out, unreadable=unreadable, studies=studies[:100])


def _tell(run: JobRun, made: Path) -> None:
    expires_at = timezone.now() + timedelta(days=DAYS)
    size = made.stat().st_size
    detail = {name: run.job.result.get(name) for name in ("instances", "studies")} | {"job": run.job.pk}
    with transaction.atomic():
        before = bool(run.job.result.get("file"))
        run.result(file=made.name, size=size, expires_at=expires_at.isoformat())
        if not before:
            trail.record(actor=Actor.of(run.principal), action="export", object=f"job {run.job.pk}", detail=detail)
    run.log(f"{size >> 20} MiB, to be had until {expires_at:%Y-%m-%d}")


def _rows(run: JobRun) -> list[Stored]:
    """Each once, as people look through them."""
    found: dict[str, Stored] = {}
    for asked in asked_for(run).values():
        for row in retrieve.instances(run.principal, asked):
            found.setdefault(row.sop_instance_uid, row)
    if not found:
        raise JobError("Nothing of what was asked for is here any more")
    rows = list(found.values())
    studies, series, instances = (set(run.arguments.get(field) or ()) for field in LEVELS)
    studies -= {row.study_instance_uid for row in rows}
    series -= {row.series_instance_uid for row in rows}
    say_missing(run, study=studies, series=series, instance=instances - found.keys())
    return rows


def _fill(run: JobRun, rows: list[Stored], names: Mapping[str, str], target: zipfile.ZipFile) -> tuple[int, int]:
    """How many are left out, and how many of these could not be read: the others are not here any more."""
    folders, told, left_out, unreadable = Folders(), 0.0, 0, 0
    for done, (row, name) in enumerate(_named(rows, names, folders), 1):
        run.check()
        try:
            if not name:
                raise retrieve.missing({"SOPInstanceUID": row.sop_instance_uid})
            (file,) = wado.files(Instances.of([row]), wado.AS_STORED)
            with target.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                for piece in file.content:
                    entry.write(piece)
        except Away:
            raise
        except DicomError as error:
            left_out += 1
            unreadable += bool(name)
            run.log(f"{row.sop_instance_uid} is left out: {error}")
        failpoint("export.instance")
        if time.monotonic() - told > _TELL or done == len(rows):
            told = time.monotonic()
            run.progress(done, len(rows))
    if left_out == len(rows):
        raise JobError("None of the files can be read")
    return left_out, unreadable


def _named(rows: list[Stored], names: Mapping[str, str], folders: Folders) -> Iterator[tuple[Stored, str]]:
    """The name of what is not here any more is empty."""
    for start in range(0, len(rows), retrieve.PAGE):
        page = rows[start : start + retrieve.PAGE]
        uids = [row.sop_instance_uid for row in page]
        said = {each[0]: each[1:] for each in Instance.objects.filter(sop_instance_uid__in=uids).values_list(*_NAMES)}
        for row in page:
            uid = row.sop_instance_uid
            yield row, names.get(uid) or (folders.name(*said[uid]) if uid in said else "")


def _directory(run: JobRun, rows: list[Stored], scratch: Path, target: zipfile.ZipFile) -> Mapping[str, str]:
    """Writes a DICOMDIR into the ZIP; the names of those that are in it."""
    if len(rows) > MOST_IN_DICOMDIR:
        raise JobError(f"A DICOMDIR is made of {MOST_IN_DICOMDIR} instances at most")
    made: Directory = import_string(_DIRECTORY)()
    with closing(made) as directory:
        for row in rows:
            run.check()
            try:
                with archive.open(row) as opened, _reading(opened.fd) as file:
                    directory.add(file)
            except (InvalidDataSet, archive.Gone) as error:
                run.log(f"{row.sop_instance_uid} is not in the DICOMDIR: {error}")
        names = directory.write(scratch)
    target.write(scratch / "DICOMDIR", "DICOMDIR")
    return names


def _reading(fd: int) -> BinaryIO:
    file = os.fdopen(os.dup(fd), "rb")
    file.seek(0)
    return file


def prune(run: JobRun) -> None:
    """Files that are old enough, and what dead workers left half done."""
    limit = time.time() - timedelta(days=DAYS).total_seconds()
    removed = 0
    for path in folder().glob("*") if folder().is_dir() else ():
        if path.stat().st_mtime < limit:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            removed += 1
            failpoint("prune_exports.removed")
    run.log(f"{removed} exports removed")
