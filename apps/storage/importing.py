"""Files from folders into the archive: the same way in as from the network, again and again if need be."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.network.database import borrowed
from apps.storage import intake, received
from apps.storage.disk import digest_of
from apps.storage.indexer import AlreadyRunning, Indexer
from apps.storage.intake import Refused
from apps.storage.models import FailedFile, Instance, QuarantinedInstance
from apps.storage.spool import spool
from dicom import part10
from dicom.errors import InvalidDataSet
from dicom.part10 import Meta, Provenance
from dicom.status import STORE_OUT_OF_RESOURCES
from dicom.windows import FileWindow

_CHUNK = 1 << 20
_AT_ONCE = 500  # files received before waiting for the index: `ready/` is no second archive
_PATIENCE = 60.0
_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018


class Stopped(Exception):
    """Our own disk is full or broken: going on would refuse all the rest."""


@dataclass(slots=True)
class Report:
    imported: int = 0
    quarantined: int = 0  # the archive has another version
    known: int = 0  # the archive has the same object already
    not_dicom: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)  # file, reason
    indexed: bool = True  # False: received and safe, but the index has not caught up

    def refuse(self, error: OSError) -> None:
        """A file or folder that cannot be read."""
        self.refused.append((str(error.filename), error.strerror or str(error)))

    def reasons(self) -> Counter[str]:
        return Counter(reason for _, reason in self.refused)


def files_below(
    folders: Iterable[Path], *, unreadable: Callable[[OSError], object] = lambda error: None
) -> Iterator[Path]:
    """Every file, in a stable order; links to folders are not followed. `unreadable` is told of each folder that cannot
    be looked into."""
    for folder in folders:
        if folder.is_file():
            yield folder
            continue
        for where, names, files in os.walk(folder, onerror=unreadable):
            names.sort()
            yield from (Path(where, name) for name in sorted(files))


def run(
    files: Iterable[Path], *, principal: Principal, progress: Callable[[Path], None], report: Report | None = None
) -> Report:
    """Import them; what was imported by an earlier, interrupted run is not imported again. `report`: to be filled, by
    who finds the files as well. Raises Stopped."""
    report = report or Report()
    waiting: list[str] = []
    try:
        for path in files:
            name = _one(path, report)
            failpoint("import.received")
            if name:
                waiting.append(name)
            if len(waiting) >= _AT_ONCE:
                _index(waiting, report)
                waiting.clear()
            progress(path)
    finally:
        _index(waiting, report)
        failpoint("import.indexed")
        _record(principal, report)
    return report


def _one(path: Path, report: Report) -> str | None:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            report.refused.append((str(path), "No file, but a device, a pipe or a socket"))
            return None
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        report.refuse(error)
        return None
    try:
        return _open_file(fd, path, report)
    except Refused as error:
        if error.status == STORE_OUT_OF_RESOURCES:
            raise Stopped(str(error)) from error
        report.refused.append((str(path), f"{error.status:04X}: {error}"))
    except InvalidDataSet as error:
        report.refused.append((str(path), f"C000: {error}"))
    except OSError as error:
        report.refused.append((str(path), error.strerror or str(error)))
    finally:
        os.close(fd)
    return None


def _open_file(fd: int, path: Path, report: Report) -> str | None:
    try:
        meta = part10.read_meta(fd, lenient=True)
    except InvalidDataSet:
        if os.pread(fd, 4, 128) == b"DICM":  # what is left of one
            raise
        report.not_dicom += 1
        return None
    if meta.is_dicomdir:
        report.not_dicom += 1
        return None
    size = os.fstat(fd).st_size - meta.dataset_offset
    provenance = Provenance(received_ns=0, peer="import")
    header = received.scan(FileWindow(fd, meta.dataset_offset, size), meta.transfer_syntax_uid, provenance)
    sop_instance_uid = header.uid(_SOP_INSTANCE_UID)
    if not sop_instance_uid:
        raise InvalidDataSet("SOP Instance UID is missing", offending_element=_SOP_INSTANCE_UID)
    if _is_known(fd, meta, sop_instance_uid):
        report.known += 1
        return None
    stored = intake.receive(
        provenance=provenance,
        sop_class_uid=header.uid(_SOP_CLASS_UID),
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        fragments=([memoryview(chunk)] for chunk in _chunks(fd, meta.dataset_offset)),
    )
    intake.announce(stored)
    return stored.name


def _is_known(fd: int, meta: Meta, sop_instance_uid: str) -> bool:
    with borrowed():
        held = {
            digest
            for model in (Instance, QuarantinedInstance)
            for digest in model._default_manager.filter(sop_instance_uid=sop_instance_uid).values_list(
                "digest", flat=True
            )
        }
    return bool(held) and digest_of(fd, meta.dataset_offset) in held


def _chunks(fd: int, offset: int) -> Iterator[bytes]:
    while chunk := os.pread(fd, _CHUNK, offset):
        offset += len(chunk)
        yield chunk


def _index(names: list[str], report: Report) -> None:
    """By this node's indexer if it runs, else here; and count what has become of them."""
    intake.hand_over()
    try:
        with Indexer(spool()) as own:
            own.catch_up()
    except AlreadyRunning:
        pass
    report.indexed = intake.wait_indexed(names, timeout=_PATIENCE)
    if not report.indexed:
        report.imported += len(names)
        return
    with borrowed():
        imported = Instance.objects.filter(name__in=names).count()
        quarantined = QuarantinedInstance.objects.filter(name__in=names).count()
        failed = list(FailedFile.objects.filter(name__in=names).values_list("name", "reason"))
    report.imported += imported
    report.quarantined += quarantined
    report.refused += failed
    report.known += len(names) - imported - quarantined - len(failed)


def _record(principal: Principal, report: Report) -> None:
    counts = {
        "imported": report.imported,
        "quarantined": report.quarantined,
        "known": report.known,
        "refused": len(report.refused),
    }
    with borrowed():
        trail.record(actor=Actor.of(principal), action="import", detail=counts)
