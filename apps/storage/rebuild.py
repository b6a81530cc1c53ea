"""Rows made anew from the files of what they hold: for the rare changes that merging cannot follow.

When an instance leaves (deletion, another version made current), or an earlier received one moves a series or a study,
the rows concerned are computed from nothing, as if their instances came one after the other.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from django.db import models
from django.db.backends.utils import CursorWrapper
from django.db.models import Max, Min, QuerySet

from apps.storage import conflicts
from apps.storage.conflicts import Subject
from apps.storage.entities import PatientRow, Raced, Rows, SeriesRow, StudyRow, next_revision
from apps.storage.merge import Merged
from apps.storage.models import Conflict, ConflictKind, DeletedInstance, Instance, Patient, Series, Study
from apps.storage.reading import Identity, Reading, reading
from apps.storage.received import Received
from apps.storage.spool import moment
from apps.storage.store import Away, store

log = logging.getLogger(__name__)

_STUDY_KINDS = (ConflictKind.STUDY, ConflictKind.STUDY_OF_TWO_PATIENTS)
_SERIES_KINDS = (ConflictKind.SERIES, ConflictKind.SERIES_OF_TWO_STUDIES)
_ROUNDS = 10

_Result = TypeVar("_Result")


class NotRead(Exception):
    """Files that somebody wants who holds others up meanwhile."""

    def __init__(self, places: Sequence[str]) -> None:
        super().__init__(f"{len(places)} files")
        self.places = places


class Files:
    """Readings of archived files, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, Reading | None] = {}
        self.only_known = False  # what has not been read is NotRead

    def of(self, places: Iterable[str]) -> list[Reading]:
        """In order of reception. A file that cannot be read says nothing. Raises Away, NotRead."""
        places = list(places)
        if unknown := [place for place in places if place not in self._known]:
            if self.only_known:
                raise NotRead(unknown)
            self._read(unknown)
        return sorted(filter(None, map(self._known.get, places)), key=lambda one: one.name)

    def of_series(self, keys: Collection[int]) -> list[Reading]:
        return self.of(Instance.objects.filter(series__in=keys).values_list("path", flat=True).iterator())

    def _read(self, places: Sequence[str]) -> None:
        for place, found in zip(places, store().read_many(places), strict=True):
            if isinstance(found, Received):
                self._known[place] = reading(found)
            elif isinstance(found, Away):
                raise found
            else:
                log.error("an archived file cannot be read: %s: %s", place, found)
                self._known[place] = None


def with_files(work: Callable[[Files], _Result]) -> _Result:
    """`work`, a transaction that others wait for: rolled back when it comes to a file that has not been read, and done
    again when that has been."""
    files = Files()
    for _ in range(_ROUNDS):
        files.only_known = True
        try:
            return work(files)
        except NotRead as lacking:
            files.only_known = False
            files.of(lacking.places)
    return work(files)  # more comes all the time


def rebuild(cursor: CursorWrapper, series: Collection[str], studies: Collection[str] = (), *, files: Files) -> Rows:
    """Make these series anew, and these studies, and the studies and patients that hold or held them; those left empty
    go."""
    work = _Rebuild(cursor, files)
    work.lock(series, studies)
    work.make_series()
    work.make_studies()
    work.make_patients()
    work.save()
    return work.rows


class _Rebuild:
    def __init__(self, cursor: CursorWrapper, files: Files) -> None:
        self.rows = Rows(cursor)
        self.files = files
        self.empty: list[PatientRow | StudyRow | SeriesRow] = []
        self.subjects: set[Subject] = set()  # whose conflicts are known completely
        self.moved = False  # a series to another study

    def lock(self, uids: Collection[str], named: Collection[str]) -> None:
        """All rows that may be concerned, from top to bottom, as everybody locks them."""
        series = Series.objects.filter(series_instance_uid__in=uids)
        studies = {*named, *series.values_list("study__study_instance_uid", flat=True)}
        studies |= {one.study_instance_uid for one in self.files.of_series(series.values_list("pk", flat=True))}
        held = Series.objects.filter(study__study_instance_uid__in=studies).values_list("pk", flat=True)
        identities = {one.identity for one in self.files.of_series({*held, *series.values_list("pk", flat=True)})}
        identities |= {
            Identity(*identity)
            for identity in Study.objects.filter(study_instance_uid__in=studies).values_list(
                *(f"patient__{name}" for name in Identity._fields)
            )
        }
        identities |= {Identity("", "", uid) for uid in studies}
        self.rows.load_patients(identities)
        self.rows.load_studies(studies)
        self.rows.load_series(uids)

    def make_series(self) -> None:
        for row in self.rows.series.values():
            self.subjects |= {Subject(kind, row.uid) for kind in _SERIES_KINDS}
            held = Instance.objects.filter(series=row.key)
            row.instances = held.count()
            if not row.instances:
                self._forget(row)
                continue
            self._make(row, self.files.of_series([_known(row.key)]))
            before, row.study = row.study, self._study(row.study_instance_uid)
            self.moved = self.moved or before is not row.study
            row.sop_classes = set(held.values_list("sop_class_uid", flat=True).distinct())
            row.revision = next_revision(row.revision)
            row.changed_at = _last_change(held, series_instance_uid=row.uid)

    def _study(self, uid: str) -> StudyRow:
        return self.rows.studies.setdefault(uid, StudyRow(uid))

    def make_studies(self) -> None:
        for row in list(self.rows.studies.values()):
            self.subjects |= {Subject(kind, row.uid) for kind in _STUDY_KINDS}
            series = self._series_of(row)
            row.series = len(series)
            if not series:
                self._forget(row)
                continue
            held = Instance.objects.filter(series__in=series)
            row.instances = held.count()
            self._make(row, [one for one in self.files.of_series(series) if one.study_instance_uid == row.uid])
            row.patient = self.rows.patients.setdefault(row.identity, PatientRow(row.identity))
            row.derive = True
            row.revision = next_revision(row.revision)
            row.received_at = held.aggregate(first=Min("received_at"))["first"]
            row.changed_at = _last_change(held, study_instance_uid=row.uid)

    def _series_of(self, study: StudyRow) -> set[int]:
        """As it will be when all is saved."""
        stays = set(Series.objects.filter(study=study.key).values_list("pk", flat=True)) if study.key else set()
        for row in self.rows.series.values():
            key = _known(row.key)
            if row.instances and row.study is study:
                stays.add(key)
            else:
                stays.discard(key)
        return stays

    def make_patients(self) -> None:
        for row in list(self.rows.patients.values()):
            studies = self._studies_of(row)
            if not studies:
                self.subjects.add(conflicts.patient(row))
                self._forget(row)
            elif row.key is None or self._is_stale(row, studies):
                self.subjects.add(conflicts.patient(row))
                self._make(row, self._said_of(row, studies))
            else:
                for one in self._said_of(row, studies & self.rows.studies.keys()):
                    row.merged.offer(one.patient, one.name)

    def _studies_of(self, patient: PatientRow) -> set[str]:
        held = Study.objects.filter(patient=patient.key) if patient.key else Study.objects.none()
        stays = set(held.values_list("study_instance_uid", flat=True))
        for row in self.rows.studies.values():
            if row.series and row.patient is patient:
                stays.add(row.uid)
            else:
                stays.discard(row.uid)
        return stays

    def _is_stale(self, patient: PatientRow, studies: Collection[str]) -> bool:
        """Something it shows comes from a file that does not count for it any longer."""
        if self.moved:
            return True
        subject = conflicts.patient(patient)
        names = set(filter(None, patient.merged.sources))
        for values in Conflict.objects.filter(kind=subject.kind, key=subject.key).values_list("values", flat=True):
            names |= {name for _, name in values}
        held = Instance.objects.filter(name__in=names, series__study__study_instance_uid__in=studies)
        return held.count() < len(names)

    def _said_of(self, patient: PatientRow, studies: Collection[str]) -> list[Reading]:
        """By instances that name this patient, and the study they are in, as their own."""
        said: list[Reading] = []
        for uid in studies:
            row = self.rows.studies.get(uid)
            series = self._series_of(row) if row else _keys_of_series(uid)
            said += [one for one in self.files.of_series(series) if one.study_instance_uid == uid]
        return [one for one in said if one.identity == patient.identity]

    def _make(self, row: PatientRow | StudyRow | SeriesRow, said: Sequence[Reading]) -> None:
        """From nothing; if not one file can be read, what the row shows is better than nothing."""
        if not said:
            return
        row.merged = Merged(row.merged.attributes)
        row.merged.changed = set(range(len(row.merged.attributes)))
        for one in said:
            row.offer(one)

    def _forget(self, row: PatientRow | StudyRow | SeriesRow) -> None:
        self.empty.append(row)

    def save(self) -> None:
        for row in self.empty:
            self.rows.drop(row)
        self._delete(Series, SeriesRow)  # before studies derive anything from their series
        self.rows.save_patients()
        self.rows.save_studies_and_series()
        self._delete(Study, StudyRow)
        self._delete(Patient, PatientRow)
        found = conflicts.disputes(self.rows.all())
        conflicts.replace({key: texts for key, texts in found.items() if key[0] in self.subjects}, self.subjects)
        conflicts.add({key: texts for key, texts in found.items() if key[0] not in self.subjects})

    def _delete(self, model: type[models.Model], kind: type) -> None:
        keys = [row.key for row in self.empty if isinstance(row, kind) and row.key is not None]
        model._default_manager.filter(pk__in=keys).delete()


def _keys_of_series(study_instance_uid: str) -> set[int]:
    return set(Series.objects.filter(study__study_instance_uid=study_instance_uid).values_list("pk", flat=True))


def _last_change(held: QuerySet[Instance], **uid: str) -> datetime:
    """Function of files and decisions alone, so that a rebuilt index says the same."""
    deleted = DeletedInstance.objects.filter(was_current=True, **uid)
    last = held.aggregate(received=Max("received_at"), decided=Max("decided_ns"))
    moments: list[datetime | None] = [last["received"], moment(last["decided"]) if last["decided"] else None]
    moments.append(deleted.aggregate(at=Max("deleted_at"))["at"])
    return max(filter(None, moments))


def _known(key: int | None) -> int:
    if key is None:
        raise Raced  # somebody else has just removed it
    return key
