"""Several files of one SOP Instance UID: which is current, which are quarantined, which are the same thing again.

Decided as if they were looked at in order of reception (and of human decisions), whatever order they come in.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal

from django.db.backends.utils import CursorWrapper

from apps.network.models import DuplicatePolicy
from apps.storage import compare, conflicts, placement, records, upsert
from apps.storage.conflicts import SERIES_OF_INSTANCE, Subject
from apps.storage.models import ConflictKind, DamagedFile, Instance, QuarantinedInstance, QuarantineState, StoredFile
from apps.storage.reading import Reading
from apps.storage.rebuild import Files, rebuild
from apps.storage.spool import moment, received_ns

log = logging.getLogger(__name__)

NO_FAULTS: Final[Mapping[str, str]] = MappingProxyType({})
FOUND_BY: Final = "the same data set, sent again"
OTHER_DATA = "Another version was received first"
REPLACED = {
    "policy": "A newer version came from a peer whose versions are made current",
    "decision": "An administrator made another version current",
}


@dataclass(frozen=True, slots=True)
class Version:
    """`at`: its reception, or the decision that put it back. `forced` by what to take the place of the current one."""

    name: str
    at: int
    forced: Literal["", "policy", "decision"]
    digest: str
    is_discarded: bool = False


@dataclass(slots=True)
class Choice:
    current: Version
    quarantined: dict[Version, str] = field(default_factory=dict)  # and the reason
    redundant: list[Version] = field(default_factory=list)
    replaced: dict[str, Version] = field(default_factory=dict)  # by name of the current version of that time, by which


def choose(versions: Iterable[Version], same: Callable[[Version, Version], bool]) -> Choice:
    """What was discarded since counts for what it was: without it another would seem to have been current, and to have
    been replaced by a decision that nobody took on it. It is not current again."""
    in_order = sorted(versions, key=lambda version: (version.at, version.name))
    choice = _choose(in_order, same)
    if choice.current.is_discarded:
        choice = _choose([version for version in in_order if not version.is_discarded], same)
    choice.quarantined = {version: reason for version, reason in choice.quarantined.items() if not version.is_discarded}
    return choice


def _choose(in_order: Sequence[Version], same: Callable[[Version, Version], bool]) -> Choice:
    def is_kept(version: Version, kept: Version) -> bool:
        return not (version.is_discarded or kept.is_discarded) and same(version, kept)

    choice = Choice(in_order[0])
    for version in in_order[1:]:
        if is_kept(version, choice.current):
            choice.redundant.append(version)
        elif version.forced:
            choice.quarantined[choice.current] = REPLACED[version.forced]
            choice.replaced[choice.current.name] = version
            choice.current = version
        elif any(is_kept(version, kept) for kept in choice.quarantined):
            choice.redundant.append(version)
        else:
            choice.quarantined[version] = OTHER_DATA
    return choice


@dataclass(slots=True)
class Settled:
    """`instances`: those that have another version now; `redundant`: places of files no row names any longer."""

    studies: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    redundant: list[str] = field(default_factory=list)


def settle(
    cursor: CursorWrapper, arrived: Sequence[Reading], files: Files, faults: Mapping[str, str] = NO_FAULTS
) -> Settled:
    """Files of a SOP Instance UID the index holds already; `faults`: of its files, just found, by name."""
    return _Instance(cursor, arrived[0].sop_instance_uid, files, faults).settle(arrived)


def promote(cursor: CursorWrapper, uids: Collection[str], files: Files) -> set[str]:
    """Of instances whose current version is gone, make the next one current; the studies that changed."""
    studies: set[str] = set()
    for uid in sorted(uids):
        studies |= _Instance(cursor, uid, files).settle(()).studies
    return studies


def accept(cursor: CursorWrapper, row: QuarantinedInstance, *, at: int, files: Files) -> set[str]:
    """Make a quarantined version current, as a human has decided; the studies that changed."""
    return _Instance(cursor, row.sop_instance_uid, files).accept(row, at=at)


class _Instance:
    """One SOP Instance UID in the middle of being settled."""

    def __init__(self, cursor: CursorWrapper, uid: str, files: Files, faults: Mapping[str, str] = NO_FAULTS) -> None:
        self.cursor = cursor
        self.files = files
        self.faults = faults
        self.uid = uid
        self.current = Instance.objects.select_for_update().filter(sop_instance_uid=uid).first()
        beside = list(QuarantinedInstance.objects.select_for_update().filter(sop_instance_uid=uid))
        discarded = [row for row in beside if row.state == QuarantineState.DISCARDED]
        self.kept = {row.name: row for row in beside if row not in discarded}
        rows: list[StoredFile] = [*([self.current] if self.current else []), *self.kept.values()]
        there = [*rows, *(row for row in discarded if row.purged_at is None)]
        self.readings = {one.name: one for one in files.of(row.path for row in there)}
        self.known = [self._known(row) for row in rows]
        self.discarded = [(replace(self._known(row), is_discarded=True), row.resolved_at) for row in discarded]
        self.heirs: dict[str, upsert.Decided] = {}  # by name, the place in the order that a broken file left

    def _known(self, row: StoredFile) -> Version:
        if row.decided_ns is not None:
            return Version(row.name, row.decided_ns, "decision" if row.decided_current else "", row.digest)
        return Version(row.name, received_ns(row.name), _forced(self._policy(row)), row.digest)

    def _policy(self, row: StoredFile) -> str:
        """Of the peer it came from. Where its file is gone, an index made by an older version may not know."""
        if reading := self.readings.get(row.name):
            return reading.received.provenance.policy
        return getattr(row, "duplicate_policy", None) or DuplicatePolicy.KEEP_FIRST

    def settle(self, arrived: Sequence[Reading]) -> Settled:
        """Rows as they must be with these files, or, if there are none, with one that was current gone."""
        self.readings |= {one.name: one for one in arrived}
        arrivals = [_arrival(one) for one in arrived]
        settled = Settled()
        if not self.known and not arrivals:
            return settled
        arrivals = self._mended(arrivals, settled)
        choice = choose([*self._discarded_beside([*self.known, *arrivals]), *self.known, *arrivals], self._same)
        for version in choice.redundant:
            self._drop(version)
            settled.redundant.append(placement.place_of(version.name))
        for version, reason in choice.quarantined.items():
            self._quarantine(version, reason, choice.replaced.get(version.name))
        if self.current is None or choice.current.name != self.current.name:
            settled.studies = self._make_current(choice.current)
            settled.instances = {self.uid}
        self._list_series([choice.current, *choice.quarantined])
        return settled

    def _discarded_beside(self, versions: Iterable[Version]) -> Iterator[Version]:
        """Those that one of these was there with: what was discarded before the first of them came is of the past."""
        first = moment(min(received_ns(version.name) for version in versions))
        return (version for version, resolved_at in self.discarded if resolved_at and resolved_at > first)

    def _mended(self, arrivals: list[Version], settled: Settled) -> list[Version]:
        """A current file that was found missing or damaged gives its place to the same data set, come again."""
        broken = next((version for version in self.known if self.current and version.name == self.current.name), None)
        heir = next((version for version in arrivals if broken and version.digest == broken.digest), None)
        if broken is None or heir is None or not self._is_broken(broken):
            return arrivals
        log.warning("%s came again: file %s takes the place of %s, which is broken", self.uid, heir.name, broken.name)
        self._note_mended(broken, moment(received_ns(heir.name)))
        self.known.remove(broken)
        self.heirs[heir.name] = upsert.Decided(broken.at, bool(broken.forced))
        settled.redundant.append(placement.place_of(broken.name))
        return [replace(one, at=broken.at, forced=broken.forced) if one is heir else one for one in arrivals]

    def _is_broken(self, version: Version) -> bool:
        return version.name in self.faults or DamagedFile.objects.filter(name=version.name, is_open=True).exists()

    def _note_mended(self, version: Version, when: datetime) -> None:
        """For an administrator: that it was broken, also where nobody had noticed before."""
        told: dict[str, Any] = {"is_open": False, "last_seen": when}
        if fault := self.faults.get(version.name):
            told |= {"fault": fault[:200], "found_by": FOUND_BY}
        new = {"path": placement.place_of(version.name), "sop_instance_uid": self.uid, "first_seen": when}
        DamagedFile.objects.update_or_create(name=version.name, defaults=told, create_defaults={**told, **new})

    def accept(self, row: QuarantinedInstance, *, at: int) -> set[str]:
        self.readings |= {one.name: one for one in self.files.of([row.path])}
        if row.name not in self.readings:
            return set()  # purged since
        row.decided_ns, row.decided_current = at, True
        self.kept[row.name] = row
        others = [version for version in self.known if version.name != row.name]
        self.known = [*others, Version(row.name, at, "decision", row.digest)]
        return self.settle(()).studies

    def _same(self, one: Version, other: Version) -> bool:
        """WIRE 16: the same digest, or the same object in another transfer syntax."""
        if one.digest == other.digest:
            return True
        first, second = self.readings.get(one.name), self.readings.get(other.name)
        return bool(first and second and compare.is_same_object(first.received, second.received))

    def _drop(self, version: Version) -> None:
        log.info("the same instance again: %s, file %s is not kept", self.uid, version.name)
        if row := self.kept.pop(version.name, None):
            row.delete()

    def _quarantine(self, version: Version, reason: str, replaced_by: Version | None) -> None:
        row = self.kept.get(version.name)
        if row is None:
            log.warning("another version of an instance is quarantined: %s, file %s", self.uid, version.name)
            row = self._quarantined(version)
        if reading := self.readings.get(version.name):  # else what is known stays, or stays unknown
            row.duplicate_policy = reading.received.provenance.policy
        if replaced_by and replaced_by.forced == "decision":
            self._note_decision(row, replaced_by.at)
        elif row.state == QuarantineState.REPLACED:
            row.state, row.resolved_at, row.resolved_by = QuarantineState.OPEN, None, ""
        row.reason = reason
        row.save()

    def _note_decision(self, row: QuarantinedInstance, at: int) -> None:
        if (row.state, row.resolved_at) != (QuarantineState.REPLACED, moment(at)):
            row.state, row.resolved_at = QuarantineState.REPLACED, moment(at)
            row.resolved_by = records.who_decided(at)[:150]

    def _quarantined(self, version: Version) -> QuarantinedInstance:
        if self.current and version.name == self.current.name:
            return QuarantinedInstance(
                **stored_file(self.current),
                sop_instance_uid=self.uid,
                sop_class_uid=self.current.sop_class_uid,
                **self._own_uids(self.current),
            )
        return beside(self.readings[version.name])

    def _own_uids(self, row: Instance) -> dict[str, str]:
        """As its file says; if that cannot be read, as the index says."""
        if reading := self.readings.get(row.name):
            return {
                "study_instance_uid": reading.study_instance_uid,
                "series_instance_uid": reading.series_instance_uid,
            }
        series = row.series
        return {
            "study_instance_uid": series.study.study_instance_uid,
            "series_instance_uid": series.series_instance_uid,
        }

    def _make_current(self, version: Version) -> set[str]:
        """In place of the one that was; its series, study and patient are made anew."""
        studies: set[str] = set()
        if self.current:
            series = self.current.series.series_instance_uid
            self.current.delete()
            studies |= rebuild(self.cursor, [series], files=self.files).studies.keys()
        row = self.kept.pop(version.name, None)
        if row is not None:
            row.delete()
        decided = upsert.Decided(row.decided_ns, row.decided_current) if row else self.heirs.get(version.name)
        return studies | upsert.add(self.cursor, [self.readings[version.name]], files=self.files, decided=decided)

    def _list_series(self, versions: Iterable[Version]) -> None:
        """A SOP Instance UID in two series (WIRE 15)."""
        names: dict[str, str] = {}
        for version in versions:
            if reading := self.readings.get(version.name):
                uid = reading.series_instance_uid
                names[uid] = min(version.name, names.get(uid, version.name))
        subject = Subject(ConflictKind.INSTANCE_OF_TWO_SERIES, self.uid)
        conflicts.replace({(subject, SERIES_OF_INSTANCE.name): names}, {subject})


def _arrival(reading: Reading) -> Version:
    received = reading.received
    return Version(reading.name, received_ns(reading.name), _forced(received.provenance.policy), received.digest)


def _forced(policy: str) -> Literal["", "policy"]:
    return "policy" if policy == DuplicatePolicy.MAKE_CURRENT else ""


def stored_file(row: StoredFile) -> dict[str, Any]:
    """What a row and another row of the same file have in common."""
    return {field.name: getattr(row, field.name) for field in StoredFile._meta.fields}


def beside(reading: Reading) -> QuarantinedInstance:
    """A row, not yet saved, for a file kept beside the current version."""
    received = reading.received
    return QuarantinedInstance(
        name=reading.name,
        path=placement.place_of(reading.name),
        digest=received.digest,
        size=received.size,
        transfer_syntax_uid=received.header.actual_transfer_syntax_uid,
        dataset_offset=received.dataset_offset,
        pixel_offset=received.pixel_offset,
        received_at=moment(received_ns(reading.name)),
        calling_ae_title=received.provenance.calling_ae_title[:16],
        called_ae_title=received.provenance.called_ae_title[:16],
        peer=received.provenance.peer[:64],
        sop_instance_uid=reading.sop_instance_uid,
        sop_class_uid=received.sop_class_uid,
        study_instance_uid=reading.study_instance_uid,
        series_instance_uid=reading.series_instance_uid,
        duplicate_policy=received.provenance.policy,
        reason=OTHER_DATA,
    )
