"""What a modality reports of a step it performs."""

from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset

from dicom.datasets import data_set
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS

if TYPE_CHECKING:  # needs Django's settings
    from tests.qr.serving import Serving

STUDY = "1.2.3.4"


def scheduled(**attributes: Any) -> Dataset:
    """An item of Scheduled Step Attributes Sequence."""
    given = {
        "StudyInstanceUID": STUDY,
        "ReferencedStudySequence": [],
        "AccessionNumber": "A-S1",
        "RequestedProcedureID": "",
        "RequestedProcedureDescription": "",
        "ScheduledProcedureStepID": "S1",
        "ScheduledProcedureStepDescription": "",
        "ScheduledProtocolCodeSequence": [],
    }
    return data_set(**{**given, **attributes})


def begun(*items: Dataset, **attributes: Any) -> Dataset:
    """Attributes of an N-CREATE; those that are None are left out."""
    given = {
        "ScheduledStepAttributesSequence": list(items) or [scheduled()],
        "PatientName": "Doe^Jane",
        "PatientID": "17",
        "PatientBirthDate": "19800101",
        "PatientSex": "F",
        "ReferencedPatientSequence": [],
        "PerformedProcedureStepID": "P1",
        "PerformedStationAETitle": "CT1",
        "PerformedStationName": "",
        "PerformedLocation": "",
        "PerformedProcedureStepStartDate": "20261125",
        "PerformedProcedureStepStartTime": "101500",
        "PerformedProcedureStepStatus": "IN PROGRESS",
        "PerformedProcedureStepDescription": "",
        "PerformedProcedureTypeDescription": "",
        "ProcedureCodeSequence": [],
        "PerformedProcedureStepEndDate": "",
        "PerformedProcedureStepEndTime": "",
        "Modality": "CT",
        "StudyID": "",
        "PerformedProtocolCodeSequence": [],
        "PerformedSeriesSequence": [],
    }
    return data_set(**{name: value for name, value in {**given, **attributes}.items() if value is not None})


def series(*instances: str, **attributes: Any) -> Dataset:
    reference = [
        data_set(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=uid) for uid in instances
    ]
    given = {
        "PerformingPhysicianName": "",
        "ProtocolName": "HEAD",
        "OperatorsName": "",
        "SeriesInstanceUID": f"{STUDY}.1",
        "SeriesDescription": "",
        "RetrieveAETitle": "",
        "ReferencedImageSequence": reference,
        "ReferencedNonImageCompositeSOPInstanceSequence": [],
    }
    return data_set(**{name: value for name, value in {**given, **attributes}.items() if value is not None})


def ended(status: str = "COMPLETED", *instances: str, **attributes: Any) -> Dataset:
    """Attributes of the final N-SET."""
    given = {
        "PerformedProcedureStepStatus": status,
        "PerformedProcedureStepEndDate": "20261125",
        "PerformedProcedureStepEndTime": "103000",
        "PerformedSeriesSequence": [series(*instances)],
    }
    return data_set(**{name: value for name, value in {**given, **attributes}.items() if value is not None})


def wrong_entry() -> list[Dataset]:
    """PS3.16 CID 9300."""
    return [data_set(CodeValue="110514", CodingSchemeDesignator="DCM", CodeMeaning="Incorrect worklist entry selected")]


def create(serving: "Serving", uid: str, ds: Dataset | None = None, **options: Any) -> Dataset:
    """The command set of the response."""
    with serving.call(MPPS, **options) as assoc:
        status, _ = assoc.send_n_create(begun() if ds is None else ds, MPPS, uid)
    return status


def change(serving: "Serving", uid: str, ds: Dataset, **options: Any) -> Dataset:
    with serving.call(MPPS, **options) as assoc:
        status, _ = assoc.send_n_set(ds, MPPS, uid)
    return status
