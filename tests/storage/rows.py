"""All that the image index says, by natural keys: equal for equal archives, whatever the database numbered its rows."""

from typing import Any

from apps.storage import reindex
from apps.storage.models import (
    Conflict,
    DeletedInstance,
    Instance,
    Patient,
    QuarantinedInstance,
    Series,
    SeriesRequest,
    Study,
)

_NOT_COMPARED = {"id", "patient_id_key", "revision"}


def rows() -> dict[str, Any]:
    return {
        "patients": _plain(Patient.objects.all()),
        "studies": _plain(Study.objects.all(), patient=_patient_of),
        "series": _plain(Series.objects.select_related("study"), study=lambda row: row.study.study_instance_uid),
        "requests": _plain(SeriesRequest.objects.all(), series=lambda row: row.series.series_instance_uid),
        "instances": _plain(Instance.objects.all(), series=lambda row: row.series.series_instance_uid),
        "quarantined": _plain(QuarantinedInstance.objects.all()),
        "deleted": _plain(DeletedInstance.objects.all()),
        "conflicts": _plain(Conflict.objects.all()),
    }


def _patient_of(row: Study) -> tuple[str, str, str]:
    patient = row.patient
    return patient.patient_id, patient.issuer_of_patient_id, patient.sole_study_instance_uid


def _plain(queryset: Any, **links: Any) -> list[dict[str, Any]]:
    found = []
    for row in queryset:
        plain = {
            field.name: getattr(row, field.attname)
            for field in row._meta.concrete_fields
            if field.name not in _NOT_COMPARED and field.name not in links
        }
        found.append(plain | {name: link(row) for name, link in links.items()})
    return sorted(found, key=repr)


def difference(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What differs, readable in a test report."""
    lines = []
    for table in one:
        left = [row for row in one[table] if row not in other[table]]
        right = [row for row in other[table] if row not in one[table]]
        if len(left) == len(right):
            for a, b in zip(left, right, strict=True):
                lines += [f"{table} {key}: {a[key]!r} -> {b[key]!r}" for key in a if a[key] != b[key]]
        else:
            lines += [f"{table} - {row}" for row in left] + [f"{table} + {row}" for row in right]
    return lines


def reindexed_difference() -> list[str]:
    """What `reindex` makes other than it was."""
    before = rows()
    reindex.clear()
    assert not reindex.reindex(lambda done: None).failed
    return difference(before, rows())
