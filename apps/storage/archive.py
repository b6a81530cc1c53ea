"""The only door to the bytes of the archive, and the decisions about what it holds."""

import fcntl
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from django.db import OperationalError
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.network.database import borrowed
from apps.storage import decisions, records, turns
from apps.storage.models import (
    Conflict,
    DeletedInstance,
    Instance,
    QuarantinedInstance,
    QuarantineState,
    Study,
)
from apps.storage.rebuild import Files
from apps.storage.records import Act, Record
from apps.storage.store import store
from dicom.errors import DicomError, InvalidDataSet

# Where a failpoint may stop a decision, in order.
STEPS = ("decision.recorded", "decision.performed")

_LONGEST_HEADER = 1 << 16
_HEAD = 12  # bytes before the value of the pixel data

RESTORABLE = timedelta(days=1)  # so long a deleted or discarded file is kept


class Gone(DicomError):
    """No file: deleted and purged, or lost."""

    http_status = 410


class Damaged(Gone):
    """The file is there, and what is in it no data set: it can be had as it is, and no other way."""

    http_status = 406

    def __init__(self, error: InvalidDataSet) -> None:
        super().__init__(f"What is stored can only be sent as it is: {error}")


class Stored(Protocol):
    """Columns of an `Instance` (or of a file kept elsewhere) by which its bytes are found."""

    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def dataset_offset(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def pixel_offset(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class OpenInstance:
    """A data set ready to be read: `size` bytes of `fd` from `dataset_offset` on. `pixel_offset` is in the file."""

    fd: int
    dataset_offset: int
    size: int
    transfer_syntax_uid: str
    pixel_offset: int | None


@contextmanager
def open(row: Stored, *, fresh: bool = False) -> Iterator[OpenInstance]:
    """The bytes of an instance, as long as the block lasts. `fresh`: from where they are kept, not from a copy that is
    nearer. Raises Gone, Away, OSError."""
    try:
        fd = store().open(row.path, fresh=fresh)
    except FileNotFoundError:
        row = _as_it_is_now(row)
        fd = store().open(row.path, fresh=fresh)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)  # a purge leaves alone what somebody reads
        yield OpenInstance(fd, row.dataset_offset, row.size, row.transfer_syntax_uid, row.pixel_offset)
    finally:
        os.close(fd)


def expect(row: Stored) -> None:
    """Its header will be read soon: the disk may begin."""
    store().expect(row.path, row.dataset_offset + header_size(row))


def header_size(row: Stored) -> int:
    """Bytes of the data set worth reading at once, when its pixels are not wanted."""
    if row.pixel_offset is None:
        return min(row.size, _LONGEST_HEADER)
    return min(row.pixel_offset - row.dataset_offset + _HEAD, _LONGEST_HEADER)


def _as_it_is_now(row: Stored) -> Stored:
    """Another file of the same instance may have taken the place since the row was read."""
    with borrowed():
        now = Instance.objects.filter(sop_instance_uid=row.sop_instance_uid).exclude(path=row.path).first()
    if now is None or not store().exists(now.path):
        raise Gone("The file of this instance is gone")
    return now


class Unknown(DicomError):
    """There is no such thing, or not for this principal."""

    http_status = 404


class DeletedAlready(DicomError):
    """It was there once (PS3.18 8.5)."""

    http_status = 410


class NotAllowed(DicomError):
    """Not for this principal."""

    http_status = 403


class AlreadyDecided(DicomError):
    """Somebody else was first."""


class Busy(DicomError):
    """Others did not let it have its turn."""

    http_status = 503


@dataclass(frozen=True, slots=True)
class _Decision:
    """`files`: names of those it is about."""

    act: Act
    files: Collection[str]
    content: Mapping[str, Any]
    object: str
    detail: Mapping[str, Any]


def _decide(principal: Principal, decision: Callable[[Files], _Decision], *, alone: bool = True) -> _Decision:
    """Record, rows and trail together: the record first, and gone again unless the rest comes to its end. Raises Busy,
    and what `decision` raises."""

    def work(files: Files) -> _Decision:
        made = decision(files)
        record = Record(turns.name_of_record(made.files), made.act, principal.name, made.content)
        records.write(record)
        try:
            failpoint("decision.recorded")
            decisions.perform(record, files)
            failpoint("decision.performed")
            trail.record(actor=Actor.of(principal), action=made.act.value, object=made.object, detail=made.detail)
        except BaseException:
            records.withdraw(record)
            raise
        return made

    try:
        return decisions.in_turn(work, alone=alone)
    except OperationalError as error:
        if turns.sqlstate(error) == turns.NOT_AVAILABLE:
            raise Busy("The archive is busy with what this is about: try again in a minute") from error
        raise


@dataclass(frozen=True, slots=True)
class _Doomed:
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: Collection[str]

    def rows(self) -> QuerySet[Instance]:
        rows = Instance.objects.filter(series__study__study_instance_uid=self.study_instance_uid)
        if self.series_instance_uid:
            rows = rows.filter(series__series_instance_uid=self.series_instance_uid)
        if self.sop_instance_uids:
            rows = rows.filter(sop_instance_uid__in=self.sop_instance_uids)
        return rows.order_by("name")

    @property
    def name(self) -> str:
        """For the trail."""
        if len(self.sop_instance_uids) == 1:
            return f"instance {next(iter(self.sop_instance_uids))}"
        if self.series_instance_uid:
            return f"series {self.series_instance_uid}"
        return f"study {self.study_instance_uid}"

    def missing(self) -> DicomError:
        """Why there is none."""
        rows = DeletedInstance.objects.filter(study_instance_uid=self.study_instance_uid)
        if self.series_instance_uid:
            rows = rows.filter(series_instance_uid=self.series_instance_uid)
        if self.sop_instance_uids:
            rows = rows.filter(sop_instance_uid__in=self.sop_instance_uids)
        return DeletedAlready("This was deleted before") if rows.exists() else Unknown("There is nothing of this UID")


def delete(
    *,
    principal: Principal,
    study_instance_uid: str,
    series_instance_uid: str = "",
    sop_instance_uids: Collection[str] = (),
    reason: str = "",
) -> int:
    """A study, or one series of it, or some instances: out of the index, restorable until purged; how many files.

    Raises NotAllowed, Unknown, DeletedAlready.
    """
    if not principal.may_delete:
        raise NotAllowed("Only administrators delete")
    doomed = _Doomed(study_instance_uid, series_instance_uid, sop_instance_uids)
    study = Study.objects.visible_to(principal).filter(study_instance_uid=study_instance_uid).first()
    if study is None:
        raise doomed.missing()

    def decision(files: Files) -> _Decision:
        described = _described(doomed.rows().select_related("series"), study_instance_uid)
        if not described:
            raise doomed.missing()
        detail = {"files": len(described), "study_instance_uid": study_instance_uid}
        detail |= {"reason": reason} if reason else {}
        names = [file["name"] for file in described]
        return _Decision(Act.DELETE, names, {"files": described}, doomed.name, detail)

    return len(_decide(principal, decision).content["files"])


def _described(doomed: QuerySet[Instance], study_instance_uid: str) -> list[dict[str, Any]]:
    """The current files and the other versions of the same instances."""
    described = []
    uids: dict[str, dict[str, str]] = {}
    for row in doomed:
        own = {
            "sop_instance_uid": row.sop_instance_uid,
            "sop_class_uid": row.sop_class_uid,
            "study_instance_uid": study_instance_uid,
            "series_instance_uid": row.series.series_instance_uid,
        }
        uids[row.sop_instance_uid] = own
        described.append(decisions.described(row, own) | {"was_current": True})
    kept = QuarantinedInstance.objects.filter(sop_instance_uid__in=uids).exclude(state=QuarantineState.DISCARDED)
    for other in kept.order_by("name"):
        own = {name: getattr(other, name) for name in decisions.UIDS}
        described.append(decisions.described(other, own) | {"was_current": False})
    return described


def restore(*, principal: Principal, deletion: str) -> int:
    """What one deletion (the name of its record) has removed and no purge has; how many files. What cannot be read
    stays deleted. Raises Unknown."""

    def decision(files: Files) -> _Decision:
        rows = list(DeletedInstance.objects.select_for_update().filter(record=deletion, purged_at=None))
        readable = {one.name for one in files.of(row.path for row in rows)}
        plan = decisions.restoration(row for row in rows if row.name in readable)
        if not any(plan.values()):
            raise Unknown("Nothing left to restore")
        names = [*itertools.chain(*plan.values()), *_names_of({row.sop_instance_uid for row in rows})]
        counts = {place: len(names) for place, names in plan.items()}
        return _Decision(Act.RESTORE, names, plan, f"study {rows[0].study_instance_uid}", counts)

    return sum(map(len, _decide(principal, decision).content.values()))


def accept(*, principal: Principal, name: str) -> None:
    """Make this quarantined file the current version. Raises AlreadyDecided, Gone."""

    def decision(files: Files) -> _Decision:
        row = _quarantined(name)
        if not files.of([row.path]):
            raise Gone("The file of this version is gone, or cannot be read")
        uid = row.sop_instance_uid
        return _Decision(Act.ACCEPT, _names_of({uid}), {"name": name}, f"instance {uid}", {"file": name})

    _decide(principal, decision)


def discard(*, principal: Principal, name: str) -> None:
    """This quarantined file is not wanted; it is purged like a deleted one. Raises AlreadyDecided."""

    def decision(files: Files) -> _Decision:
        row = _quarantined(name)
        own = {uid: getattr(row, uid) for uid in decisions.UIDS}
        policy = row.duplicate_policy or _policy(row, files)
        file = decisions.described(row, own) | {"reason": row.reason, "duplicate_policy": policy}
        return _Decision(Act.DISCARD, [name], {"file": file}, f"instance {row.sop_instance_uid}", {"file": name})

    _decide(principal, decision)


def _names_of(uids: Collection[str]) -> list[str]:
    """Of all versions of these instances."""
    held = (model._default_manager.filter(sop_instance_uid__any_of=uids) for model in (Instance, QuarantinedInstance))
    return [name for rows in held for name in rows.values_list("name", flat=True)]


def _policy(row: QuarantinedInstance, files: Files) -> str | None:
    """As its file says, which an index made by an older version does not know."""
    found = files.of([row.path])
    return found[0].received.provenance.policy if found else None


def _quarantined(name: str) -> QuarantinedInstance:
    kept = QuarantinedInstance.objects.exclude(state=QuarantineState.DISCARDED)
    row = kept.select_for_update().filter(name=name).first()
    if row is None:
        raise AlreadyDecided("This version is not in quarantine any more")
    return row


def dismiss(*, principal: Principal, conflict: Conflict) -> None:
    """Nothing is to be done about these values; another one opens the conflict again."""
    content = {
        "kind": conflict.kind,
        "key": conflict.key,
        "attribute": conflict.attribute,
        "values": [text for text, _ in conflict.values],
    }
    names = [name for _, name in conflict.values]
    _decide(principal, lambda files: _Decision(Act.DISMISS, names, content, f"conflict {conflict.pk}", {}))


def purge(*, principal: Principal, before: timedelta = RESTORABLE, most: int | None = None) -> int:
    """Remove for good what was deleted or discarded so long ago, and nobody reads; how many files, `most` of them."""
    limit = timezone.now() - before
    deleted = DeletedInstance.objects.filter(purged_at=None, deleted_at__lt=limit)
    discarded = QuarantinedInstance.objects.filter(
        purged_at=None, state=QuarantineState.DISCARDED, resolved_at__lt=limit
    )

    def decision(files: Files) -> _Decision:
        free = (rows.select_for_update(skip_locked=True)[:most] for rows in (deleted, discarded))
        doomed = list(itertools.chain(*free))[:most]
        names = [row.name for row in doomed if store().purge(row.path)]
        if not names:
            raise Unknown("Nothing to purge")
        failpoint("purge.removed")
        return _Decision(Act.PURGE, names, {"names": names}, "archive", {"files": len(names)})

    try:
        # What it has locked nobody else decides about; removing may take long.
        return len(_decide(principal, decision, alone=False).content["names"])
    except Unknown:
        return 0
