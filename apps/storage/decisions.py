"""What a recorded decision does to the index: now, after a crash, and when the index is rebuilt."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from apps.storage import conflicts, records, turns, upsert, versions
from apps.storage.conflicts import Subject
from apps.storage.index import announce, contended
from apps.storage.models import (
    ArchiveRecord,
    Conflict,
    ConflictKind,
    DeletedInstance,
    Instance,
    QuarantinedInstance,
    QuarantineState,
    StoredFile,
)
from apps.storage.reading import Reading
from apps.storage.rebuild import Files, rebuild, with_files
from apps.storage.records import Act, Record
from apps.storage.spool import moment, received_ns

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

UIDS = ("sop_instance_uid", "sop_class_uid", "study_instance_uid", "series_instance_uid")


def described(row: StoredFile, uids: Mapping[str, str]) -> dict[str, Any]:
    """A file as a record tells of it, so that its row can be made when the file itself has been purged."""
    columns = {field.name: getattr(row, field.name) for field in StoredFile._meta.fields}
    del columns["received_at"]  # follows from the name
    return columns | dict(uids)


def _columns(file: Mapping[str, Any]) -> dict[str, Any]:
    return {**file, "received_at": moment(received_ns(file["name"]))}


def catch_up() -> int:
    """Apply the records a crash has kept from the index; how many."""
    applied = set(ArchiveRecord.objects.values_list("name", flat=True))
    late = [name for name in records.names() if name not in applied and apply(name)]
    for name in late:
        log.warning("a decision that was not in the index has been applied: %s", name)
    return len(late)


def apply(name: str) -> bool:
    """Once: a record that has been applied is left alone, and one whose decision has failed meanwhile is none."""
    try:
        return in_turn(partial(_apply_once, name))
    except IntegrityError:
        if not ArchiveRecord.objects.filter(name=name).exists():
            raise
        return False


def _apply_once(name: str, files: Files) -> bool:
    if ArchiveRecord.objects.filter(name=name).exists():
        return False
    try:
        record = records.read(name)
    except FileNotFoundError:
        return False
    perform(record, files)
    return True


def in_turn(work: Callable[[Files], _Result], *, alone: bool = True) -> _Result:
    """`work` in a transaction; if it is to be `alone`, others who decide or index wait meanwhile, and it has waited for
    them. Done again when others were in the way, and when a file had to be read first."""

    def attempt(files: Files) -> _Result:
        with transaction.atomic():
            if alone:
                turns.be_alone()
            return work(files)

    return with_files(lambda files: contended(partial(attempt, files)))


def perform(record: Record, files: Files) -> None:
    """In a transaction of the caller."""
    ArchiveRecord.objects.create(name=record.name, applied_at=timezone.now())
    with connection.cursor() as cursor:
        announce(_ACTS[record.act](cursor, record, files))


def _delete(cursor: CursorWrapper, record: Record, files: Files) -> set[str]:
    later = _decided_later([file["name"] for file in record.content["files"]], record)
    described_files = [file for file in record.content["files"] if file["name"] not in later]
    if not described_files:
        return set()
    names = [file["name"] for file in described_files]
    current = Instance.objects.filter(name__in=names)
    series = set(current.values_list("series__series_instance_uid", flat=True))
    current.delete()
    QuarantinedInstance.objects.filter(name__in=names).delete()
    DeletedInstance.objects.filter(name__in=names).delete()  # restored once, from a file that has been purged since
    DeletedInstance.objects.bulk_create(
        [
            DeletedInstance(
                **_columns(file), record=record.name, deleted_at=moment(record.at), deleted_by=record.by[:150]
            )
            for file in described_files
        ],
        batch_size=500,
    )
    series |= {file["series_instance_uid"] for file in described_files}
    were_in = {file["study_instance_uid"] for file in described_files if file["was_current"]}
    studies = set(rebuild(cursor, series, were_in, files=files).studies)
    studies |= {file["study_instance_uid"] for file in described_files}  # of which nothing may be left
    return studies | _promote(cursor, {file["sop_instance_uid"] for file in described_files}, files)


def _decided_later(names: Collection[str], record: Record) -> set[str]:
    """Of these files: a record that a crash has kept from the index until now does not undo what was decided since."""
    found: set[str] = set()
    for kept in (Instance.objects.all(), QuarantinedInstance.objects.all()):
        found |= set(kept.filter(name__in=names, decided_ns__gt=record.at).values_list("name", flat=True))
    deleted = DeletedInstance.objects.filter(name__in=names, record__gt=record.name)
    return found | set(deleted.values_list("name", flat=True))


def _promote(cursor: CursorWrapper, uids: Collection[str], files: Files) -> set[str]:
    """Of versions that a decision does not name, the next becomes current; of others no disagreement is left."""
    kept = QuarantinedInstance.objects.exclude(state=QuarantineState.DISCARDED).filter(sop_instance_uid__in=uids)
    others = set(kept.values_list("sop_instance_uid", flat=True))
    kinds = ConflictKind.INSTANCE_OF_TWO_SERIES
    listed = Conflict.objects.filter(kind=kinds, key__in=uids).values_list("key", flat=True)
    conflicts.replace({}, {Subject(kinds, uid) for uid in listed if uid not in others})
    return versions.promote(cursor, others, files)


def restoration(rows: Iterable[DeletedInstance]) -> dict[str, list[str]]:
    """Current again where nothing has come since, else kept beside it; what has come again as it was stays out."""
    plan: dict[str, list[str]] = {"current": [], "beside": []}
    rows = sorted(rows, key=lambda row: (not row.was_current, row.name))
    held = _held({row.sop_instance_uid for row in rows})
    for row in rows:
        digests = held.setdefault(row.sop_instance_uid, set())
        if row.digest not in digests:
            plan["beside" if digests else "current"].append(row.name)
            digests.add(row.digest)
    return plan


def _held(uids: Collection[str]) -> dict[str, set[str]]:
    """Digests of the versions the index has of these instances."""
    found: dict[str, set[str]] = {}
    kept = QuarantinedInstance.objects.exclude(state=QuarantineState.DISCARDED)
    for rows in (Instance.objects.all(), kept):
        for uid, digest in rows.filter(sop_instance_uid__in=uids).values_list("sop_instance_uid", "digest"):
            found.setdefault(uid, set()).add(digest)
    return found


def _restore(cursor: CursorWrapper, record: Record, files: Files) -> set[str]:
    current, beside = record.content["current"], record.content["beside"]
    # Also without its file: what has been purged since is told of again by a later record.
    restored = DeletedInstance.objects.filter(name__in=[*current, *beside])
    readings = {one.name: one for one in files.of(restored.filter(purged_at=None).values_list("path", flat=True))}
    places = "name", "series_instance_uid", "study_instance_uid"
    was_in = {name: held for name, *held in restored.filter(was_current=True).values_list(*places)}
    restored.delete()
    for name in beside:
        if name in readings:
            _keep_beside(readings[name], record)
    back = {readings[name].sop_instance_uid: readings[name] for name in current if name in readings}
    held = _held(back.keys())
    free = [one for uid, one in back.items() if uid not in held]
    studies = upsert.add(cursor, free, files=files, decided=upsert.Decided(record.at, True))
    for uid in held:  # what was on its way meanwhile does not undo the decision
        row = _keep_beside(back[uid], record)
        studies |= versions.accept(cursor, row, at=record.at, files=files)
    studies |= versions.promote(cursor, {readings[name].sop_instance_uid for name in beside if name in readings}, files)
    return studies | _rebuild_emptied(cursor, was_in, files)


def _rebuild_emptied(cursor: CursorWrapper, was_in: Mapping[str, Sequence[str]], files: Files) -> set[str]:
    """The series and studies of files that are deleted no longer, and have not come back to them."""
    places = "name", "series__series_instance_uid", "series__study__study_instance_uid"
    is_in = {name: held for name, *held in Instance.objects.filter(name__in=was_in).values_list(*places)}
    elsewhere = [held for name, held in was_in.items() if held != is_in.get(name)]
    if not elsewhere:
        return set()
    series, studies = map(set, zip(*elsewhere, strict=True))
    return set(rebuild(cursor, series, studies, files=files).studies)


def _keep_beside(reading: Reading, record: Record) -> QuarantinedInstance:
    row = versions.beside(reading)
    row.decided_ns = record.at
    row.save()
    return row


def _accept(cursor: CursorWrapper, record: Record, files: Files) -> set[str]:
    name = record.content["name"]
    row = QuarantinedInstance.objects.filter(name=name).first()
    if row is not None:
        return versions.accept(cursor, row, at=record.at, files=files)
    # The index is being rebuilt, and the versions this one replaced have been purged.
    current = Instance.objects.filter(name=name)
    current.update(decided_ns=record.at, decided_current=True)
    series = set(current.values_list("series__series_instance_uid", flat=True))
    return set(rebuild(cursor, series, files=files).studies)


def _discard(cursor: CursorWrapper, record: Record, files: Files) -> set[str]:
    file = record.content["file"]
    verdict = {
        "reason": file["reason"],  # as it was read, whatever has come since
        "state": QuarantineState.DISCARDED,
        "resolved_at": moment(record.at),
        "resolved_by": record.by[:150],
    }
    QuarantinedInstance.objects.update_or_create(
        name=file["name"], defaults=verdict, create_defaults={**_columns(file), **verdict}
    )
    return _promote(cursor, {file["sop_instance_uid"]}, files)


def _purge(cursor: CursorWrapper, record: Record, files: Files) -> set[str]:
    names = record.content["names"]
    for model in (DeletedInstance, QuarantinedInstance):
        model._default_manager.filter(name__in=names).update(purged_at=moment(record.at))
    return set()


def _dismiss(cursor: CursorWrapper, record: Record, files: Files) -> set[str]:
    content = record.content
    subject = Subject(ConflictKind(content["kind"]), content["key"])
    conflicts.dismiss(subject, content["attribute"], content["values"], at=moment(record.at), by=record.by)
    return set()


_ACTS: Mapping[Act, Callable[[CursorWrapper, Record, Files], set[str]]] = {
    Act.DELETE: _delete,
    Act.RESTORE: _restore,
    Act.ACCEPT: _accept,
    Act.DISCARD: _discard,
    Act.PURGE: _purge,
    Act.DISMISS: _dismiss,
}
