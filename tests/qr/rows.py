"""Rows of the index as the indexer would write them, without files."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from apps.storage.models import Instance, Patient, Series, SeriesRequest, Study
from dicom.values import name_groups, name_key, parse_date, parse_number, parse_time

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_numbers = count(1)


def patient(patient_id: str = "P1", name: str = "Doe^Jane", **columns: Any) -> Patient:
    keys = [name_key(group) for group in name_groups(name)]
    birth_date = columns.pop("patient_birth_date", "19700101")
    return Patient.objects.create(
        patient_id=patient_id,
        patient_name=name,
        patient_name_key=keys[0],
        patient_name_ideographic_key=keys[1],
        patient_name_phonetic_key=keys[2],
        patient_birth_date=birth_date,
        patient_birth_date_value=parse_date(birth_date),
        **{"patient_sex": "F", **columns},
    )


def study(of: Patient, uid: str, *, series: tuple[str, ...] = ("CT",), images: int = 2, **columns: Any) -> Study:
    """With a series of each modality in `series`, each of `images` instances; UIDs are made from the study's."""
    now = datetime.now(UTC)
    values = {
        "study_date": "20240115",
        "study_time": "103000",
        "study_description": "Abdomen",
        "referring_physician_name": "Smith^Anna",
        **columns,
    }
    made = Study.objects.create(
        study_instance_uid=uid,
        patient=of,
        study_date_value=parse_date(values["study_date"]),
        study_time_value=parse_time(values["study_time"]),
        referring_physician_name_key=name_key(values["referring_physician_name"]),
        modalities_in_study="\\".join(sorted(set(series))),
        sop_classes_in_study="\\".join(sorted({_sop_class(modality) for modality in series})),
        number_of_study_related_series=len(series),
        number_of_study_related_instances=len(series) * images,
        received_at=now,
        changed_at=now,
        **values,
    )
    for number, modality in enumerate(series, start=1):
        add_series(made, f"{uid}.{number}", modality=modality, number=str(number), images=images)
    return made


def add_series(of: Study, uid: str, *, modality: str, number: str, images: int, **columns: Any) -> Series:
    made = Series.objects.create(
        series_instance_uid=uid,
        study=of,
        modality=modality,
        series_number=number,
        series_number_value=parse_number(number),
        series_description=f"Series {number}",
        sop_classes=_sop_class(modality),
        number_of_series_related_instances=images,
        changed_at=datetime.now(UTC),
        **columns,
    )
    for image in range(1, images + 1):
        add_instance(made, f"{uid}.{image}", number=str(image), sop_class_uid=_sop_class(modality))
    return made


def add_instance(of: Series, uid: str, *, number: str = "1", sop_class_uid: str = CT, **columns: Any) -> Instance:
    name = f"{next(_numbers):019d}-test"
    return Instance.objects.create(
        sop_instance_uid=uid,
        series=of,
        sop_class_uid=sop_class_uid,
        instance_number=number,
        instance_number_value=parse_number(number),
        **{
            "name": name,
            "path": name,
            "digest": "0" * 64,
            "size": 0,
            "transfer_syntax_uid": EXPLICIT_LITTLE,
            "dataset_offset": 0,
            "received_at": datetime.now(UTC),
            "rows": 512,
            "columns": 512,
            "bits_allocated": 16,
            "image_type": "ORIGINAL\\PRIMARY",
            **columns,
        },
    )


def request_attributes(of: Series, **keys: str) -> None:
    """One item of Request Attributes Sequence: keywords of `SeriesRequest`."""
    tags = {
        "requested_procedure_id": ("00401001", "SH"),
        "scheduled_procedure_step_id": ("00400009", "SH"),
        "accession_number": ("00080050", "SH"),
        "study_instance_uid": ("0020000D", "UI"),
        "scheduled_procedure_step_description": ("00400007", "LO"),
    }
    of.request_attributes_sequence.append(
        {tags[name][0]: {"vr": tags[name][1], "Value": [value]} for name, value in keys.items()}
    )
    of.save()
    columns = {name: value for name, value in keys.items() if name != "scheduled_procedure_step_description"}
    SeriesRequest.objects.create(series=of, **columns)


def _sop_class(modality: str) -> str:
    return SR if modality == "SR" else CT
