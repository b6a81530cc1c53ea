"""Instances new to the index into rows: merged into their series, study and patient, written in bulk."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.backends.utils import CursorWrapper

from apps.storage import columns, conflicts, placement
from apps.storage.entities import PatientRow, Raced, Rows, SeriesRow, StudyRow, next_revision
from apps.storage.models import DeletedInstance, Instance
from apps.storage.reading import Reading, read_attributes
from apps.storage.rebuild import Files, rebuild
from apps.storage.spool import moment, received_ns
from apps.storage.tables import Row, Table, adapt, moment_of

INSTANCES = Table(Instance)
DELETED = Table(DeletedInstance)
_FIELDS = (
    "name",
    "path",
    "digest",
    "size",
    "transfer_syntax_uid",
    "storage_format",
    "dataset_offset",
    "pixel_offset",
    "received_at",
    "decided_ns",
    "decided_current",
    "calling_ae_title",
    "called_ae_title",
    "peer",
    "sop_instance_uid",
    "series",
    "sop_class_uid",
    *(column for attribute in columns.INSTANCE for column in attribute.columns),
    "revision",
)


class Decided(NamedTuple):
    """Not the reception but a human's decision at that time put instances where they are."""

    ns: int | None
    current: bool


def add(
    cursor: CursorWrapper, readings: Sequence[Reading], *, files: Files, decided: Decided | None = None
) -> set[str]:
    """Rows for instances of which the index holds no version; the studies that changed. Raises Raced."""
    if not readings:
        return set()
    addition = _Addition(cursor, readings, decided or Decided(None, False))
    addition.merge()
    addition.count_deletions()
    addition.save()
    if addition.moved:
        return set(rebuild(cursor, addition.moved, files=files).studies)
    return set(addition.rows.studies)


class _Addition:
    def __init__(self, cursor: CursorWrapper, readings: Sequence[Reading], decided: Decided) -> None:
        self.cursor = cursor
        self.readings = sorted(readings, key=lambda one: one.name)
        self.decided = decided
        self.moved: set[str] = set()  # series merging cannot follow: they, or their studies, belong elsewhere now
        self.rows = Rows(cursor)
        self.rows.load_patients({one.identity for one in readings})
        self.rows.load_studies({one.study_instance_uid for one in readings})
        self.rows.load_series({one.series_instance_uid for one in readings})

    def merge(self) -> None:
        own: dict[StudyRow, list[Reading]] = {}  # what counts for a study: instances that name it as theirs
        for uid, group in _groups(self.readings, lambda one: one.series_instance_uid).items():
            series = self._merge_series(uid, group)
            study = self._study_of(series, group)
            own.setdefault(study, []).extend(one for one in group if one.study_instance_uid == study.uid)
        for study, group in own.items():
            group.sort(key=lambda one: one.name)
            for one in _distinct(group, lambda one: (one.identity, id(one.study))):
                study.offer(one)
            self._merge_patient(study, group)

    def _merge_series(self, uid: str, group: Sequence[Reading]) -> SeriesRow:
        row = self.rows.series.setdefault(uid, SeriesRow(uid))
        modality, classes = row.modality, len(row.sop_classes)
        for one in _distinct(group, lambda one: (one.study_instance_uid, id(one.series))):
            row.offer(one)
        row.sop_classes.update(one.received.sop_class_uid for one in group)
        row.differs = row.modality != modality or len(row.sop_classes) != classes
        row.instances += len(group)
        row.revision = next_revision(row.revision)
        row.changed_at = max(filter(None, (row.changed_at, self._last_change(group))))
        return row

    def _study_of(self, series: SeriesRow, group: Sequence[Reading]) -> StudyRow:
        uid = series.study_instance_uid
        if series.study is None:
            series.study = self.rows.studies.setdefault(uid, StudyRow(uid))
            series.study.series += 1
        elif series.study.uid != uid:
            self.moved.add(series.uid)
        row = series.study
        row.derive = row.derive or series.differs
        row.instances += len(group)
        row.revision = next_revision(row.revision)
        row.received_at = min(filter(None, (row.received_at, moment(received_ns(group[0].name)))))
        row.changed_at = max(filter(None, (row.changed_at, self._last_change(group))))
        return row

    def _merge_patient(self, study: StudyRow, group: Sequence[Reading]) -> None:
        if study.patient is None:
            study.patient = self.rows.patients.setdefault(study.identity, PatientRow(study.identity))
        elif study.patient.identity != study.identity:
            self.moved |= {one.series_instance_uid for one in group}
            return
        said = [one for one in group if one.identity == study.identity]
        for one in _distinct(said, lambda one: id(one.patient)):
            study.patient.offer(one)

    def _last_change(self, group: Sequence[Reading]) -> datetime:
        return moment(max(received_ns(group[-1].name), self.decided.ns or 0))

    def count_deletions(self) -> None:
        """As changes of a series or study made new: its file may come late, when what was with it is deleted."""
        self._count_deletions("series_instance_uid", self.rows.series)
        self._count_deletions("study_instance_uid", self.rows.studies)

    def _count_deletions(self, field: str, rows: Mapping[str, SeriesRow | StudyRow]) -> None:
        new = [uid for uid, row in rows.items() if row.key is None]
        for uid, last in DELETED.latest(self.cursor, field, "deleted_at", {field: new, "was_current": [True]}):
            row = rows[uid]
            row.changed_at = max(filter(None, (row.changed_at, moment_of(last))))

    def save(self) -> None:
        self.rows.save_patients()
        self.rows.save_studies_and_series()
        rows = [self._instance(one) for one in sorted(self.readings, key=lambda one: one.sop_instance_uid)]
        if INSTANCES.insert(self.cursor, _FIELDS, rows) != len(rows):
            raise Raced
        conflicts.add(conflicts.disputes(self.rows.all()))

    def _instance(self, one: Reading) -> Row:
        received = one.received
        values = read_attributes(columns.INSTANCE, received.header)
        return (
            one.name,
            placement.place_of(one.name),
            received.digest,
            received.size,
            received.header.actual_transfer_syntax_uid,
            0,
            received.dataset_offset,
            received.pixel_offset,
            adapt(moment(received_ns(one.name))),
            *self.decided,
            received.provenance.calling_ae_title[:16],
            received.provenance.called_ae_title[:16],
            received.provenance.peer[:64],
            one.sop_instance_uid,
            self.rows.series[one.series_instance_uid].key,
            received.sop_class_uid,
            *(part for value in values for part in value),
            1,
        )


def _groups(readings: Iterable[Reading], key: Callable[[Reading], str]) -> dict[str, list[Reading]]:
    groups: dict[str, list[Reading]] = {}
    for one in readings:
        groups.setdefault(key(one), []).append(one)
    return groups


def _distinct(readings: Iterable[Reading], key: Callable[[Reading], Hashable]) -> Iterator[Reading]:
    """The earliest of those that say the same: images of a series mostly do."""
    seen = set()
    for one in readings:
        if (what := key(one)) not in seen:
            seen.add(what)
            yield one
