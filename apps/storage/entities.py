"""Patients, studies and series while the index changes them: loaded under lock, merged, written back in bulk."""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

from apps.storage import columns
from apps.storage.columns import Attribute, canonical_json
from apps.storage.merge import Merged
from apps.storage.models import TEXT, UID, Patient, Series, SeriesRequest, Study
from apps.storage.reading import Identity, Reading
from apps.storage.tables import Row, Table, adapt, moment_of

PATIENTS = Table(Patient)
STUDIES = Table(Study)
SERIES = Table(Series)
REQUESTS = Table(SeriesRequest)

# The row above is decided like any other attribute: by the earliest instance that names one.
STUDY_ATTRIBUTES = (Attribute("patient", 0), *columns.STUDY)
SERIES_ATTRIBUTES = (Attribute("study", 0), *columns.SERIES)
PARENT = 0

_MODALITY = next(i for i, attribute in enumerate(SERIES_ATTRIBUTES) if attribute.name == "modality")
_REQUESTED = next(i for i, attribute in enumerate(SERIES_ATTRIBUTES) if attribute.name == "request_attributes_sequence")
# (0040,1001), (0040,0009), (0008,0050), (0020,000D)
_REQUEST_KEYS = ("00401001", "00400009", "00080050", "0020000D")
_REQUEST_COLUMNS = ("requested_procedure_id", "scheduled_procedure_step_id", "accession_number", "study_instance_uid")


class Raced(Exception):
    """Somebody else made a row we were about to make: begin again."""


def next_revision(revision: int) -> int:
    """Higher than any this row, or one of the same UID before the index was rebuilt, has had."""
    return max(revision + 1, time.time_ns() // 1000)


@dataclass(slots=True, eq=False)
class PatientRow:
    identity: Identity
    key: int | None = None
    merged: Merged = field(default_factory=lambda: Merged(columns.PATIENT))

    def offer(self, reading: Reading) -> None:
        self.merged.offer(reading.patient, reading.name)


@dataclass(slots=True, eq=False)
class StudyRow:
    uid: str
    key: int | None = None
    merged: Merged = field(default_factory=lambda: Merged(STUDY_ATTRIBUTES))
    patient: PatientRow | None = None
    series: int = 0
    instances: int = 0
    modalities: str = ""
    sop_classes: str = ""
    revision: int = 0
    received_at: datetime | None = None
    changed_at: datetime | None = None
    derive: bool = False  # modalities and SOP classes may have changed

    @property
    def identity(self) -> Identity:
        value = self.merged.values[PARENT]
        identity: Identity = value[1] if len(value) > 1 else Identity("", "", self.uid)
        return identity

    def offer(self, reading: Reading) -> None:
        self.merged.offer(((reading.identity.text, reading.identity), *reading.study), reading.name)


@dataclass(slots=True, eq=False)
class SeriesRow:
    uid: str
    key: int | None = None
    merged: Merged = field(default_factory=lambda: Merged(SERIES_ATTRIBUTES))
    study: StudyRow | None = None
    instances: int = 0
    sop_classes: set[str] = field(default_factory=set)
    differs: bool = False  # modality or SOP classes
    revision: int = 0
    changed_at: datetime | None = None

    @property
    def study_instance_uid(self) -> str:
        return str(self.merged.values[PARENT][0])

    @property
    def modality(self) -> str:
        return str(self.merged.values[_MODALITY][0])

    def offer(self, reading: Reading) -> None:
        self.merged.offer(((reading.study_instance_uid,), *reading.series), reading.name)


def _names(attributes: Iterable[Attribute]) -> tuple[str, ...]:
    return tuple(attribute.name for attribute in attributes)


def _columns(attributes: Iterable[Attribute]) -> tuple[str, ...]:
    return tuple(column for attribute in attributes for column in attribute.columns)


def _flat(values: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [adapt(part) for value in values for part in value]


def _joined(values: Iterable[str]) -> str:
    return "\\".join(sorted(set(filter(None, values))))


_IDENTITY = Identity._fields
_PATIENT_TEXTS = _names(columns.PATIENT)
_STUDY_TEXTS = _names(columns.STUDY)
_SERIES_TEXTS = _names(columns.SERIES)
_STUDY_COUNTS = (
    "number_of_study_related_series",
    "number_of_study_related_instances",
    "modalities_in_study",
    "sop_classes_in_study",
    "revision",
    "received_at",
    "changed_at",
)
_SERIES_COUNTS = ("number_of_series_related_instances", "sop_classes", "revision", "changed_at")


class Rows:
    """The rows one transaction changes; locked from top to bottom, each level sorted by key."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self.cursor = cursor
        self.patients: dict[Identity, PatientRow] = {}
        self.studies: dict[str, StudyRow] = {}
        self.series: dict[str, SeriesRow] = {}

    def all(self) -> Iterator[PatientRow | StudyRow | SeriesRow]:
        yield from self.patients.values()
        yield from self.studies.values()
        yield from self.series.values()

    def drop(self, row: PatientRow | StudyRow | SeriesRow) -> None:
        """It will not be saved."""
        if isinstance(row, PatientRow):
            self.patients.pop(row.identity)
        elif isinstance(row, StudyRow):
            self.studies.pop(row.uid)
        else:
            self.series.pop(row.uid)

    def load_patients(self, identities: Collection[Identity]) -> None:
        if not identities:
            return
        where = dict(zip(_IDENTITY, zip(*identities, strict=True), strict=True))
        fields = ("id", "sources", *_IDENTITY, *_PATIENT_TEXTS)
        for key, sources, *texts in PATIENTS.select(self.cursor, fields, where, lock=True):
            identity = Identity(*texts[: len(_IDENTITY)])
            if identity in identities:
                row = self.patients[identity] = PatientRow(identity, key)
                row.merged.load(texts[len(_IDENTITY) :], json.loads(sources))

    def load_studies(self, uids: Collection[str]) -> None:
        fields = ("study_instance_uid", "id", "patient", *_STUDY_COUNTS, "sources", *_STUDY_TEXTS)
        patients = {row.key: row.identity for row in self.patients.values()}
        found = STUDIES.select(self.cursor, fields, {"study_instance_uid": uids}, lock=True)
        patients |= self._identities({row[2] for row in found} - patients.keys())
        for uid, key, patient, series, instances, modalities, classes, revision, first, last, sources, *texts in found:
            row = StudyRow(uid, key, series=series, instances=instances, modalities=modalities, sop_classes=classes)
            row.revision, row.received_at, row.changed_at = revision, moment_of(first), moment_of(last)
            identity = patients[patient]
            row.merged.load((identity.text, *texts), json.loads(sources))
            row.merged.values[PARENT] = (identity.text, identity)
            row.patient = self.patients.get(identity) or PatientRow(identity, patient)
            self.studies[uid] = row

    def _identities(self, keys: Collection[int]) -> dict[int | None, Identity]:
        found = PATIENTS.select(self.cursor, ("id", *_IDENTITY), {"id": keys})
        return {key: Identity(*identity) for key, *identity in found}

    def load_series(self, uids: Collection[str]) -> None:
        fields = ("series_instance_uid", "id", "study", *_SERIES_COUNTS, "sources", *_SERIES_TEXTS)
        studies = {row.key: uid for uid, row in self.studies.items()}
        found = SERIES.select(self.cursor, fields, {"series_instance_uid": uids}, lock=True)
        elsewhere = {row[2] for row in found} - studies.keys()
        if elsewhere:  # a series that has come in another study before
            studies |= dict(STUDIES.select(self.cursor, ("id", "study_instance_uid"), {"id": elsewhere}))
            self.load_studies([studies[key] for key in elsewhere])
        for uid, key, study, instances, classes, revision, last, sources, *texts in found:
            row = SeriesRow(uid, key, instances=instances, sop_classes=set(filter(None, classes.split("\\"))))
            row.revision, row.changed_at = revision, moment_of(last)
            row.merged.load((studies[study], *_canonical(texts)), json.loads(sources))
            row.study = self.studies[studies[study]]
            self.series[uid] = row

    def save_patients(self) -> None:
        new = sorted((row for row in self.patients.values() if row.key is None), key=lambda row: row.identity)
        self._update_values(PATIENTS, self.patients.values())
        if not new:
            return
        fields = (*_IDENTITY, *_columns(columns.PATIENT), "sources")
        self._insert(
            PATIENTS, fields, [(*row.identity, *_flat(row.merged.values), _sources(row.merged)) for row in new]
        )
        where = dict(zip(_IDENTITY, zip(*(row.identity for row in new), strict=True), strict=True))
        for *identity, key in PATIENTS.select(self.cursor, (*_IDENTITY, "id"), where):
            if (row := self.patients.get(Identity(*identity))) is not None:
                row.key = key

    def save_studies_and_series(self) -> None:
        """New studies first, since series point to them; what studies derive from their series last."""
        studies = sorted(self.studies.values(), key=lambda row: row.uid)
        series = sorted(self.series.values(), key=lambda row: row.uid)
        self._insert_studies([row for row in studies if row.key is None])
        self._update_values(SERIES, series)
        SERIES.update(
            self.cursor, _SERIES_COUNTS, [(*_series_counts(row), row.key) for row in series if row.key is not None]
        )
        self._insert_series([row for row in series if row.key is None])
        self._save_requests([row for row in series if _REQUESTED in row.merged.changed])
        self._update_values(STUDIES, studies)
        self._derive([row for row in studies if row.derive])
        STUDIES.update(self.cursor, _STUDY_COUNTS, [(*_study_counts(row), row.key) for row in studies])

    def _insert_studies(self, new: Sequence[StudyRow]) -> None:
        if not new:
            return
        fields = ("study_instance_uid", "patient", *_columns(columns.STUDY), "sources", *_STUDY_COUNTS)
        self._insert(
            STUDIES,
            fields,
            [
                (row.uid, _key(row.patient), *_flat(row.merged.values[1:]), _sources(row.merged), *_study_counts(row))
                for row in new
            ],
        )
        where = {"study_instance_uid": [row.uid for row in new]}
        for uid, key in STUDIES.select(self.cursor, ("study_instance_uid", "id"), where):
            self.studies[uid].key = key
        for row in new:
            row.merged.changed.clear()

    def _insert_series(self, new: Sequence[SeriesRow]) -> None:
        if not new:
            return
        fields = ("series_instance_uid", "study", *_columns(columns.SERIES), "sources", *_SERIES_COUNTS)
        self._insert(
            SERIES,
            fields,
            [
                (row.uid, _key(row.study), *_flat(row.merged.values[1:]), _sources(row.merged), *_series_counts(row))
                for row in new
            ],
        )
        where = {"series_instance_uid": [row.uid for row in new]}
        for uid, key in SERIES.select(self.cursor, ("series_instance_uid", "id"), where):
            self.series[uid].key = key

    def _insert(self, table: Table, fields: Sequence[str], rows: Sequence[Row]) -> None:
        if table.insert(self.cursor, fields, rows) != len(rows):
            raise Raced

    def _update_values(self, table: Table, rows: Iterable[PatientRow | StudyRow | SeriesRow]) -> None:
        for row in rows:
            if row.key is not None and row.merged.changed:
                table.update_one(self.cursor, _changes(row), row.key)

    def _save_requests(self, rows: Sequence[SeriesRow]) -> None:
        REQUESTS.delete(self.cursor, "series", [row.key for row in rows])
        keys = {(row.key, *item) for row in rows for item in _requests(row)}
        REQUESTS.insert(self.cursor, ("series", *_REQUEST_COLUMNS), sorted(keys))

    def _derive(self, rows: Sequence[StudyRow]) -> None:
        """Modalities in Study, SOP Classes in Study (PS3.4 C.6.2.1.2)."""
        modalities: dict[int, set[str]] = {}
        classes: dict[int, set[str]] = {}
        where = {"study": [row.key for row in rows]}
        for study, modality, sop_classes in SERIES.select(self.cursor, ("study", "modality", "sop_classes"), where):
            modalities.setdefault(study, set()).add(modality)
            classes.setdefault(study, set()).update(sop_classes.split("\\"))
        for row in rows:
            row.modalities = _joined(modalities.get(_key(row), ()))[:TEXT]
            row.sop_classes = _joined(classes.get(_key(row), ()))


def _key(row: PatientRow | StudyRow | SeriesRow | None) -> int:
    if row is None or row.key is None:
        raise AssertionError("the row above is saved first")
    return row.key


def _sources(merged: Merged) -> str:
    return json.dumps(merged.packed_sources())


def _canonical(texts: Sequence[str]) -> list[str]:
    """PostgreSQL writes JSON in its own way."""
    position = _REQUESTED - 1
    text = texts[position]
    return [*texts[:position], text if text == "[]" else canonical_json(json.loads(text)), *texts[position + 1 :]]


def _changes(row: PatientRow | StudyRow | SeriesRow) -> dict[str, Any]:
    changes: dict[str, Any] = {"sources": _sources(row.merged)}
    for index in row.merged.changed:
        attribute = row.merged.attributes[index]
        if attribute.tag:
            changes |= dict(zip(attribute.columns, row.merged.values[index], strict=True))
    if isinstance(row, StudyRow):
        changes["patient"] = _key(row.patient)
    elif isinstance(row, SeriesRow):
        changes["study"] = _key(row.study)
    return changes


def _study_counts(row: StudyRow) -> Row:
    first, last = adapt(row.received_at), adapt(row.changed_at)
    return row.series, row.instances, row.modalities, row.sop_classes, row.revision, first, last


def _series_counts(row: SeriesRow) -> Row:
    return row.instances, _joined(row.sop_classes), row.revision, adapt(row.changed_at)


def _requests(row: SeriesRow) -> set[tuple[str, ...]]:
    """The matching keys of each item of Request Attributes Sequence."""
    items = json.loads(row.merged.values[_REQUESTED][0])
    lengths = (TEXT, TEXT, TEXT, UID)
    return {
        tuple(_first_value(item, key)[:length] for key, length in zip(_REQUEST_KEYS, lengths, strict=True))
        for item in items
    }


def _first_value(item: dict[str, Any], key: str) -> str:
    values = item.get(key, {}).get("Value") or [""]
    return str(values[0] if values[0] is not None else "")
