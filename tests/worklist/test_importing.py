"""Worklist items of others, taken in: what is new, changed, known, in conflict."""

import json
from io import StringIO
from pathlib import Path

import pydicom
import pytest
from django.core.management import call_command
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from apps.worklist.models import ScheduledProcedureStep, StepStatus, WorklistPatient
from tests.qr.serving import identifier

pytestmark = pytest.mark.django_db


def item(*steps: str, **changes: object) -> Dataset:
    codes = Sequence([identifier(CodeValue="C1", CodingSchemeDesignator="99X", CodeMeaning="Schädel")])
    given = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": "Müller^Jürgen",
        "PatientID": "17",
        "AccessionNumber": "A1",
        "StudyInstanceUID": "1.2.3",
        "RequestedProcedureID": "RP1",
        "PatientTelephoneNumbers": "555",
        "PatientAddress": "",
        "RequestedProcedureCodeSequence": codes,
        **changes,
    }
    return identifier(**given, ScheduledProcedureStepSequence=Sequence(step(name) for name in steps))


def step(name: str) -> Dataset:
    return identifier(
        ScheduledProcedureStepID=name,
        Modality="CT",
        ScheduledStationAETitle=["CT1", "CT2"],
        ScheduledProcedureStepStartDate="20261125",
        ScheduledProcedureStepStartTime="0930",
        ScheduledProcedureStepStatus="ARRIVED",
        ScheduledProcedureStepEndDate="20261125",
    )


def written(path: Path, ds: Dataset) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    with pydicom.config.disable_value_validation():
        FileDataset(str(path), ds, preamble=bytes(128), file_meta=meta).save_as(path, enforce_file_format=True)
    return path


def run(*paths: Path) -> tuple[list[dict[str, object]], int]:
    """What the command says of each step, and its exit status."""
    output, status = StringIO(), 0
    try:
        call_command("import_worklist", *map(str, paths), "--json", stdout=output)
    except SystemExit as error:
        status = int(str(error.code))
    return [json.loads(line) for line in output.getvalue().splitlines()], status


def test_an_item_becomes_an_order_with_all_that_it_says(tmp_path: Path) -> None:
    lines, status = run(written(tmp_path / "a.wl", item("S1", "S2")))
    assert ([line["outcome"] for line in lines], status) == (["new", "new"], 0)
    first, second = ScheduledProcedureStep.objects.with_order().order_by("scheduled_procedure_step_id")
    assert first.requested_procedure == second.requested_procedure
    procedure = first.requested_procedure
    patient = procedure.imaging_service_request.patient
    assert (procedure.study_instance_uid, patient.patient_name) == ("1.2.3", "Müller^Jürgen")
    assert procedure.requested_procedure_code_sequence[0]["00080104"] == {"vr": "LO", "Value": ["Schädel"]}
    assert patient.other_attributes == {"00102154": {"vr": "SH", "Value": ["555"]}}
    assert first.scheduled_station_ae_title == "CT1\\CT2"
    assert first.other_attributes["00400004"] == {"vr": "DA", "Value": ["20261125"]}
    assert first.status == StepStatus.ARRIVED


def test_the_same_again_is_known_and_another_time_is_a_change(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wl", item("S1"))
    run(path)
    assert [line["outcome"] for line in run(path)[0]] == ["unchanged"]
    moved = item("S1")
    moved.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime = "1100"
    (line,), status = run(written(path, moved))
    assert (line["outcome"], line["changed"], status) == ("changed", ["scheduled_procedure_step_start_time"], 0)
    assert ScheduledProcedureStep.objects.get().scheduled_procedure_step_start_time == "110000"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"PatientName": "Roe^Richard"}, "patient_name"),
        ({"AccessionNumber": "A1", "StudyInstanceUID": "1.2.4"}, "study_instance_uid"),
        ({"PatientID": "18", "StudyInstanceUID": "1.2.4", "RequestedProcedureID": "RP2"}, "accession_number"),
        ({"PatientID": ""}, "patient_id"),
    ],
)
def test_what_stands_against_what_is_here_is_named_and_nothing_is_changed(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    run(written(tmp_path / "a.wl", item("S1")))
    before = list(WorklistPatient.objects.values()), list(ScheduledProcedureStep.objects.values())
    other = item("S1" if "PatientName" in changes else "S2", **changes)
    (line,), status = run(written(tmp_path / "b.wl", other))
    assert (line["outcome"], status) == ("conflict", 1)
    assert isinstance(line["errors"], dict) and list(line["errors"]) == [named]
    assert before == (list(WorklistPatient.objects.values()), list(ScheduledProcedureStep.objects.values()))


@pytest.mark.parametrize(("name", "value"), [("StartDate", "morgen"), ("StartTime", "mittags")])
def test_a_start_that_cannot_be_read_is_a_conflict_not_another_start(tmp_path: Path, name: str, value: str) -> None:
    wrong = item("S1")
    with pydicom.config.disable_value_validation():
        setattr(wrong.ScheduledProcedureStepSequence[0], f"ScheduledProcedureStep{name}", value)
    (line,), status = run(written(tmp_path / "a.wl", wrong))
    assert (line["outcome"], status) == ("conflict", 1)
    assert not ScheduledProcedureStep.objects.exists()


def test_other_values_of_wrong_form_are_kept_as_far_as_they_fit(tmp_path: Path) -> None:
    with pydicom.config.disable_value_validation():
        written(tmp_path / "a.wl", item("S1", PatientSex="unknown", MedicalAlerts="x" * 10_000))
    assert run(tmp_path)[1] == 0
    patient = WorklistPatient.objects.get()
    assert patient.patient_sex == "unknown"
    assert patient.medical_alerts == "x" * 256


def test_what_is_no_worklist_item_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "lockfile").touch()
    (tmp_path / "notes.txt").write_text("no DICOM at all")
    written(tmp_path / "image.dcm", identifier(PatientID="17", PatientName="Doe^Jane"))
    written(tmp_path / "item.wl", item("S1"))
    lines, status = run(tmp_path)
    assert [line["outcome"] for line in lines] == ["unreadable", "new", "unreadable"]
    assert status == 1
