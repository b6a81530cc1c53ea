"""What of a performed step's data set stands in columns, and the instances that its series refer to."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from apps.mpps.models import NAME, TEXT, UID, PerformedInstance, PerformedProcedureStep, PerformedStatus
from dicom import mpps
from dicom.dicomjson import Json
from dicom.jsonmodel import items, text
from dicom.values import clean_uid, name_groups, name_key, parse_date, parse_time

_BATCH: Final = 1000
# PS3.16 CID 9300 (DCM): Incorrect worklist entry selected.
INCORRECT_WORKLIST_ENTRY: Final = ("110514", "DCM")

TEXTS: Final[Mapping[str, int]] = {
    "performed_procedure_step_id": 0x00400253,
    "performed_procedure_step_description": 0x00400254,
    "performed_station_ae_title": 0x00400241,
    "performed_station_name": 0x00400242,
    "performed_location": 0x00400243,
    "performed_procedure_step_start_date": 0x00400244,
    "performed_procedure_step_start_time": 0x00400245,
    "performed_procedure_step_end_date": 0x00400250,
    "performed_procedure_step_end_time": 0x00400251,
    "modality": 0x00080060,
    "study_id": 0x00200010,
    "patient_id": 0x00100020,
    "issuer_of_patient_id": 0x00100021,
    "patient_birth_date": 0x00100030,
    "patient_sex": 0x00100040,
}


def of(data_set: Json) -> dict[str, Any]:
    """Columns of a performed step, but those of its instances."""
    columns: dict[str, Any] = {name: text(data_set, tag)[:TEXT] for name, tag in TEXTS.items()}
    name = text(data_set, 0x00100010)[:NAME]
    code, scheme, meaning = _reason(data_set)
    return {
        **columns,
        "status": text(data_set, mpps.STATUS) or str(PerformedStatus.IN_PROGRESS),
        "performed_procedure_step_start_date_value": parse_date(columns["performed_procedure_step_start_date"]),
        "performed_procedure_step_start_time_value": parse_time(columns["performed_procedure_step_start_time"]),
        "patient_name": name,
        "patient_name_key": name_key(name_groups(name)[0])[:NAME],
        "discontinuation_reason": meaning[:TEXT],
        "needs_reconciliation": is_given_back(text(data_set, mpps.STATUS), code, scheme),
    }


def is_given_back(status: str, code: str, scheme: str) -> bool:
    """Whether it says that it was never meant to be the scheduled step."""
    return status == PerformedStatus.DISCONTINUED and (code, scheme) == INCORRECT_WORKLIST_ENTRY


def _reason(data_set: Json) -> tuple[str, str, str]:
    for item in items(data_set, mpps.DISCONTINUATION_REASON):
        code = text(item, 0x00080100)
        return code, text(item, 0x00080102), text(item, 0x00080104) or code
    return "", "", ""


def write_instances(step: PerformedProcedureStep) -> None:
    """Rows for the instances that the step refers to now."""
    wanted = {uid: (series, sop_class) for series, sop_class, uid in _references(step.attributes)}
    known = set(step.instances.values_list("sop_instance_uid", flat=True))
    if gone := sorted(known - wanted.keys()):
        for at in range(0, len(gone), _BATCH // 2):
            step.instances.filter(sop_instance_uid__in=gone[at : at + _BATCH // 2]).delete()
    PerformedInstance.objects.bulk_create(
        (
            PerformedInstance(performed=step, series_instance_uid=series, sop_class_uid=sop_class, sop_instance_uid=uid)
            for uid, (series, sop_class) in wanted.items()
            if uid not in known
        ),
        batch_size=_BATCH,
    )
    if step.number_of_instances != len(wanted):
        step.number_of_instances = len(wanted)
        PerformedProcedureStep.objects.filter(pk=step.pk).update(number_of_instances=len(wanted))


def _references(data_set: Json) -> Iterator[tuple[str, str, str]]:
    """Series, SOP class and SOP instance of each reference."""
    for series in items(data_set, mpps.PERFORMED_SERIES):
        series_uid = clean_uid(text(series, mpps.SERIES_INSTANCE_UID))[:UID]
        for sequence in (mpps.REFERENCED_IMAGES, mpps.REFERENCED_OTHERS):
            for reference in items(series, sequence):
                uid = clean_uid(text(reference, mpps.SOP_INSTANCE_UID))[:UID]
                if uid:
                    yield series_uid, clean_uid(text(reference, mpps.SOP_CLASS_UID))[:UID], uid
