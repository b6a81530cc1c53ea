"""Files into rows: final place, patient, study, series, instance in one transaction, and out of the spool.

Every step can be repeated. Rows say the same whatever the order in which files come (`merge`, `versions`, `rebuild`).
"""

import logging
import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.failpoints import failpoint
from apps.jobs import outbox
from apps.storage import placement, turns, upsert, versions
from apps.storage.entities import Raced
from apps.storage.models import DamagedFile, QuarantinedInstance
from apps.storage.reading import Reading, reading
from apps.storage.rebuild import Files
from apps.storage.received import Received
from apps.storage.spool import Spool
from apps.storage.store import Away, store
from apps.storage.tables import Table
from apps.storage.upsert import DELETED, INSTANCES

log = logging.getLogger(__name__)

# Where a failpoint may stop the indexer, in order. At `directory_sync` it may also skip.
STEPS = (
    "index.begin",
    "index.linked",
    "index.directory_sync",
    "index.placed",
    "index.upserted",
    "index.committed",
    "index.retire",
    "index.retired",
)

STUDY_CHANGED = "study_changed"
INSTANCE_STORED = "instance_stored"  # of each batch: its instances
_QUARANTINED = Table(QuarantinedInstance)
_ATTEMPTS = 8
_CONTENTION = ("40001", "40P01", turns.NOT_AVAILABLE)  # PostgreSQL: serialization failure, deadlock, no lock in time

_WHILE = timedelta(seconds=5)
_MOST_TOLD = 10_000
_told: dict[str, float] = {}  # studies, and when this process has told of them

_Result = TypeVar("_Result")


def index_batch(received: Sequence[Received], spool: Spool | None) -> None:
    """`spool`: whose `ready/` holds them; none if they are in the archive already.

    Raises what the database and the disk raise; nothing is lost by then, and the batch can be given again.
    """
    failpoint("index.begin")
    names = [one.name for one in received]
    if spool:
        store().put(spool, names)
    failpoint("index.placed")
    readings = sorted(map(reading, received), key=lambda one: one.name)
    files = Files()
    batch = contended(lambda: _add(readings, files))
    redundant = _settled(batch.repeated, {}, files)
    failpoint("index.committed")
    lost = _lost(batch.again)
    mending = [one.arrived for one in batch.again if one.name in lost]
    store().remove([*redundant, *_dropped(batch.again, lost), *_settled(mending, lost, files)])
    if spool:
        placement.retire(spool, names)
    failpoint("index.retired")


def contended(work: Callable[[], _Result]) -> _Result:
    """Again when another writer was in the way."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return work()
        except (Raced, IntegrityError):
            pass
        except OperationalError as error:
            if turns.sqlstate(error) not in _CONTENTION:
                raise
        time.sleep(random.random() * 0.005 * 2**attempt)
    return work()


@dataclass(frozen=True, slots=True)
class _Again:
    """The data set of a file that the index names, come once more."""

    arrived: Reading
    name: str
    size: int  # of the whole file


def _add(readings: Sequence[Reading], files: Files) -> "_Batch":
    """Rows for what is new: patients are locked first, then studies, then series; the instances are new. What else
    there is in the batch is still to be settled, or looked at."""
    with transaction.atomic(), connection.cursor() as cursor:
        turns.take_part(cursor)
        batch = _sort_out(cursor, readings)
        announce(upsert.add(cursor, batch.fresh, files=files))
        _announce_instances({one.sop_instance_uid for one in batch.fresh})
        failpoint("index.upserted")
    return batch


def _settled(arrived: Sequence[Reading], lost: Mapping[str, str], files: Files) -> list[str]:
    """Of instances that the index holds, other files, or some that take the place of what is lost; places of files no
    row names. Each instance in a transaction of its own: that locks the instance, then its patient, and would wait in a
    circle with its like if it held another patient or instance by then."""
    by_uid: dict[str, list[Reading]] = {}
    for one in arrived:
        by_uid.setdefault(one.sop_instance_uid, []).append(one)
    return [place for _, some in sorted(by_uid.items()) for place in contended(partial(_settle, some, lost, files))]


def _settle(arrived: Sequence[Reading], lost: Mapping[str, str], files: Files) -> list[str]:
    with transaction.atomic(), connection.cursor() as cursor:
        turns.take_part(cursor)
        settled = versions.settle(cursor, arrived, files, lost)
        announce(settled.studies)
        _announce_instances(settled.instances)
        failpoint("index.settled")
    return settled.redundant


def _lost(again: Sequence[_Again]) -> dict[str, str]:
    """Of the files the index names, those that are not there, or not whole; what is wrong, by name. Raises Away."""
    wanted = {one.name: one.size for one in again}
    found = store().sizes(map(placement.place_of, wanted))
    return {
        name: fault for (name, size), kept in zip(wanted.items(), found, strict=True) if (fault := _fault(size, kept))
    }


def _fault(size: int, kept: int | OSError) -> str:
    if isinstance(kept, Away):
        raise kept
    if isinstance(kept, FileNotFoundError):
        return "The file is missing"
    if isinstance(kept, OSError):
        return f"The file cannot be read: {kept.strerror}"
    return "" if kept == size else f"The file has {kept} bytes of {size}"


def _dropped(again: Sequence[_Again], lost: Collection[str]) -> Iterator[str]:
    for one in again:
        if one.name not in lost:
            log.info("the same instance again: %s, file %s is not kept", one.arrived.sop_instance_uid, one.arrived.name)
            yield placement.place_of(one.arrived.name)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What an earlier run has indexed is in none of them."""

    fresh: list[Reading] = field(default_factory=list)  # instances the index does not hold
    repeated: list[Reading] = field(default_factory=list)  # other files of those it does
    again: list[_Again] = field(default_factory=list)  # files that say what an earlier one says


def _sort_out(cursor: CursorWrapper, readings: Sequence[Reading]) -> _Batch:
    names = [one.name for one in readings]
    uids = [one.sop_instance_uid for one in readings]
    rows = INSTANCES.select(
        cursor, ("sop_instance_uid", "name", "digest", "dataset_offset"), {"sop_instance_uid": uids}
    )
    held = {uid: (name, digest, offset) for uid, name, digest, offset in rows}
    decided = {
        name for table in (_QUARANTINED, DELETED) for (name,) in table.select(cursor, ("name",), {"name": names})
    }
    broken = _broken({name for name, _, _ in held.values()}) if held else frozenset()
    batch = _Batch()
    for one in readings:
        name, digest, offset = held.get(one.sop_instance_uid, ("", "", 0))
        if one.name in decided or name == one.name:
            continue
        if not name:
            batch.fresh.append(one)
            held[one.sop_instance_uid] = (one.name, one.received.digest, one.received.dataset_offset)
        elif digest == one.received.digest and name < one.name and name not in broken:
            batch.again.append(_Again(one, name, offset + one.received.size))
        else:
            batch.repeated.append(one)
    return batch


def _broken(names: Collection[str]) -> Collection[str]:
    """Of these files: another of the same data is welcome."""
    return frozenset(DamagedFile.objects.filter(name__in=names, is_open=True).values_list("name", flat=True))


def announce(studies: Collection[str]) -> None:
    """Tell the rooms above, if anything is made of it. A study that comes image by image is told of once in a while,
    where whatever is made of it waits longer than that."""
    reactions = outbox.reactions().get(STUDY_CHANGED)
    if not studies or not reactions:
        return
    now = time.monotonic()
    if all(reaction.delay >= 2 * _WHILE for reaction in reactions):
        studies = [uid for uid in studies if now - _told.get(uid, -math.inf) > _WHILE.total_seconds()]
    if not studies:
        return
    outbox.write_many(STUDY_CHANGED, [{"study_instance_uid": uid} for uid in sorted(studies)])
    transaction.on_commit(lambda: _remember(studies, now))


def _announce_instances(uids: Collection[str]) -> None:
    if uids and outbox.is_awaited(INSTANCE_STORED):
        outbox.write(INSTANCE_STORED, {"sop_instance_uid": sorted(uids)})


def _remember(studies: Collection[str], when: float) -> None:
    if len(_told) > _MOST_TOLD:
        _told.clear()
    _told.update(dict.fromkeys(studies, when))
