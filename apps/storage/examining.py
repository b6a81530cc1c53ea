"""Whether files are still what was received: there, as long, of the same digest."""

import os
from collections.abc import Callable

from django.utils import timezone

from apps.storage import archive
from apps.storage.disk import digest_of
from apps.storage.models import DamagedFile, Instance, QuarantinedInstance
from apps.storage.store import Away, store
from dicom import part10
from dicom.errors import InvalidDataSet

Watch = Callable[[], object]
Kept = Instance | QuarantinedInstance

MISSING = "The file is missing"
HEADER = "The file meta information cannot be read"
OTHER = "The content is not what was received"


def examine(row: Kept, *, found_by: str, watch: Watch = lambda: None, from_disk: bool = False) -> str:
    """What is wrong with the file, "" if nothing is; noted for an administrator. `from_disk`: not what the system still
    has in memory. Raises Away. `watch` is called now and then, and may raise."""
    fault = _fault(row, watch, from_disk)
    if fault and (now := _as_it_is_now(row)) is not None:
        row, fault = now, _fault(now, watch, from_disk)
    if fault and not type(row)._default_manager.filter(pk=row.pk).exists():
        return ""  # deleted meanwhile
    _note(row, fault, found_by)
    return fault


def _as_it_is_now(row: Kept) -> Kept | None:
    """Another file of the same instance, where one has taken the place since the row was read."""
    now = Instance.objects.filter(sop_instance_uid=row.sop_instance_uid).first()
    return now if isinstance(row, Instance) and now is not None and now.path != row.path else None


def _fault(row: Kept, watch: Watch, from_disk: bool) -> str:
    try:
        kept = store().size(row.path) - row.dataset_offset
        if kept != row.size:
            return f"It has {kept} bytes of {row.size}"
        with archive.open(row, fresh=from_disk) as opened:
            return _fault_within(opened.fd, row, watch, from_disk)
    except (archive.Gone, FileNotFoundError):
        return MISSING
    except Away:
        raise
    except OSError as error:
        return f"The file cannot be read: {error.strerror}"


def _fault_within(fd: int, row: Kept, watch: Watch, from_disk: bool) -> str:
    if from_disk:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    size = os.fstat(fd).st_size - row.dataset_offset
    if size != row.size:
        return f"It has {size} bytes of {row.size}"
    try:
        meta = part10.read_meta(fd)
    except InvalidDataSet:
        return HEADER
    if (meta.dataset_offset, meta.digest) != (row.dataset_offset, row.digest):
        return HEADER
    if digest_of(fd, row.dataset_offset, watch=watch) != row.digest:
        return OTHER
    if from_disk:  # what is read once in a week is in the way of what is read each day
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return ""


def _note(row: Kept, fault: str, found_by: str) -> None:
    now = timezone.now()
    if not fault:
        known = DamagedFile.objects.filter(name=row.name, is_open=True)
        if known.exists():
            known.update(is_open=False, last_seen=now, found_by=found_by)
        return
    told = {"fault": fault[:200], "found_by": found_by, "last_seen": now, "is_open": True}
    DamagedFile.objects.update_or_create(
        name=row.name,
        defaults=told,
        create_defaults={**told, "first_seen": now, "path": row.path, "sop_instance_uid": row.sop_instance_uid},
    )
