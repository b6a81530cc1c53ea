"""Disagreement, listed: which values there are, and which file said each first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from apps.storage import columns
from apps.storage.columns import Attribute
from apps.storage.entities import SERIES_ATTRIBUTES, STUDY_ATTRIBUTES, PatientRow, SeriesRow, StudyRow
from apps.storage.merge import combine
from apps.storage.models import Conflict, ConflictKind
from apps.storage.spool import moment, received_ns

_LIMIT = 20  # values kept of one disagreement: the earliest
SERIES_OF_INSTANCE = Attribute("series", 0)
_ATTRIBUTES = {
    attribute.name: attribute
    for attribute in (*columns.PATIENT, *STUDY_ATTRIBUTES, *SERIES_ATTRIBUTES, SERIES_OF_INSTANCE)
}


@dataclass(frozen=True, slots=True)
class Subject:
    kind: ConflictKind
    key: str


Disputes = dict[tuple[Subject, str], dict[str, str]]  # subject and attribute -> text -> earliest file that says so


def patient(row: PatientRow) -> Subject:
    return Subject(ConflictKind.PATIENT, row.identity.text or row.identity.sole_study_instance_uid)


def disputes(rows: Iterable[PatientRow | StudyRow | SeriesRow]) -> Disputes:
    found: Disputes = {}
    for row in rows:
        for index, texts in row.merged.disputed.items():
            attribute = row.merged.attributes[index]
            found[_subject(row, attribute), attribute.name] = texts
    return found


def _subject(row: PatientRow | StudyRow | SeriesRow, attribute: Attribute) -> Subject:
    if isinstance(row, PatientRow):
        return patient(row)
    if isinstance(row, StudyRow):
        kind = ConflictKind.STUDY if attribute.tag else ConflictKind.STUDY_OF_TWO_PATIENTS
        return Subject(kind, row.uid)
    kind = ConflictKind.SERIES if attribute.tag else ConflictKind.SERIES_OF_TWO_STUDIES
    return Subject(kind, row.uid)


def add(found: Disputes) -> None:
    """What is known already stays."""
    if found:
        _write(found, _known({subject for subject, _ in found}), keep=True)


def replace(found: Disputes, subjects: set[Subject]) -> None:
    """All there is to say about these subjects."""
    known = _known(subjects)
    for key in known.keys() - found.keys():
        _settle(known.pop(key), [])
    _write(found, known, keep=False)


def dismiss(subject: Subject, attribute: str, values: Iterable[str], *, at: datetime, by: str) -> None:
    """Nothing is to be done about these values; another one opens the conflict again."""
    row = Conflict.objects.filter(kind=subject.kind, key=subject.key, attribute=attribute).first()
    row = row or Conflict(kind=subject.kind, key=subject.key, attribute=attribute)
    row.dismissed_values = sorted({*row.dismissed_values, *values})
    row.dismissed_at = at
    row.dismissed_by = by[:150]
    _settle(row, [(text, file) for text, file in row.values])


def _known(subjects: set[Subject]) -> dict[tuple[Subject, str], Conflict]:
    rows = Conflict.objects.filter(key__in={subject.key for subject in subjects})
    known = {(Subject(ConflictKind(row.kind), row.key), row.attribute): row for row in rows}
    return {key: row for key, row in known.items() if key[0] in subjects}


def _write(found: Disputes, known: Mapping[tuple[Subject, str], Conflict], *, keep: bool) -> None:
    for (subject, name), texts in sorted(found.items(), key=lambda item: (item[0][0].kind, item[0][0].key, item[0][1])):
        row = known.get((subject, name)) or Conflict(kind=subject.kind, key=subject.key, attribute=name)
        before = [(str(text), str(file)) for text, file in row.values]
        values = combine(_ATTRIBUTES[name], [*texts.items(), *(before if keep else [])], _LIMIT)
        if values != before:
            _settle(row, values)


def _settle(row: Conflict, values: Sequence[tuple[str, str]]) -> None:
    """What is no disagreement is not listed; what a human has dismissed is remembered, should it come again."""
    if len(values) < 2 and row.dismissed_at is None:
        if row.pk:
            row.delete()
        return
    row.values = values if len(values) > 1 else []
    moments = [moment(received_ns(file)) for _, file in row.values[1:]]
    moments = moments or [row.dismissed_at or timezone.now()]
    row.first_seen, row.last_seen = moments[0], moments[-1]
    row.is_open = not {text for text, _ in row.values} <= set(row.dismissed_values)
    row.save()
