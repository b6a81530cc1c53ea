"""WIRE 14 to 16: whose image it is, and whether it is the same again."""

import copy
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless

from dicom.part10 import read_meta
from tests.dicom.data_sets import Writer
from tests.storage.made import EXPLICIT, IMPLICIT
from tests.wire.calls import PATIENT_FIND, Answer, Archive, image

pytestmark = pytest.mark.live

BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
MR = "1.2.840.10008.5.1.4.1.1.4"
SUCCESS = Answer(0)


def keep(archive: Archive, whole: bytes, sop: str, *, syntax: str = EXPLICIT, calling: str = "WIRE") -> None:
    assert archive.store(whole, sop, syntax=syntax, calling=calling) == SUCCESS


# WIRE 14


@pytest.mark.parametrize(("number", "patient_id"), [(1, None), (2, ""), (3, "   "), (4, b"\0\0")])
def test_an_empty_patient_id_merges_nobody(archive: Archive, number: int, patient_id: str | bytes | None) -> None:
    studies = [f"3.14.{number}.{other}" for other in (1, 2)]
    name = f"Nobody^Known{number}"
    for study in studies:
        keep(archive, image(study, patient_id=patient_id, name=name, birth_date="19700101", sex="M"), f"{study}.1.1")
    found = archive.find("STUDY", PatientName=name, NumberOfPatientRelatedStudies="", PatientID="")
    assert sorted(answer.StudyInstanceUID for answer in found) == studies
    assert [answer.NumberOfPatientRelatedStudies for answer in found] == [1, 1]
    assert [answer.PatientID for answer in found] == ["", ""]


def test_two_images_of_a_study_without_patient_id_are_one_patients(archive: Archive) -> None:
    for number in (1, 2):
        sop = f"3.14.5.1.{number}"
        keep(archive, image("3.14.5", sop=sop, patient_id=None), sop)
    (answer,) = archive.find("STUDY", StudyInstanceUID="3.14.5", NumberOfPatientRelatedInstances="")
    assert answer.NumberOfPatientRelatedInstances == 2


def test_a_patient_id_without_issuer_gets_the_one_of_its_peer_and_no_other_is_touched(archive: Archive) -> None:
    for study, calling, issuer in (
        ("3.14.6.1", "HOSPITAL", None),
        ("3.14.6.2", "HOSPITAL", "OTHER"),
        ("3.14.6.3", "WIRE", None),
        ("3.14.6.4", "WIRE", "HOSP"),
    ):
        keep(archive, image(study, patient_id="SAME", issuer=issuer), f"{study}.1.1", calling=calling)
    found = archive.find("STUDY", PatientID="SAME", IssuerOfPatientID="", NumberOfPatientRelatedStudies="")
    said = {
        answer.StudyInstanceUID: (answer.IssuerOfPatientID, answer.NumberOfPatientRelatedStudies) for answer in found
    }
    assert said == {"3.14.6.1": ("HOSP", 2), "3.14.6.2": ("OTHER", 1), "3.14.6.3": ("", 1), "3.14.6.4": ("HOSP", 2)}


def test_the_same_id_with_another_name_birth_date_and_sex_is_stored_and_listed(archive: Archive) -> None:
    keep(
        archive, image("3.14.7.1", patient_id="TWICE", name="Doe^Jane", birth_date="19700101", sex="F"), "3.14.7.1.1.1"
    )
    keep(
        archive, image("3.14.7.2", patient_id="TWICE", name="Roe^Rick", birth_date="19800101", sex="M"), "3.14.7.2.1.1"
    )
    assert archive.found("StudyInstanceUID", "STUDY", PatientID="TWICE") == ["3.14.7.1", "3.14.7.2"]
    (patient,) = archive.find("PATIENT", PATIENT_FIND, PatientID="TWICE", PatientName="", PatientSex="")
    assert (patient.PatientName, patient.PatientSex) == ("Doe^Jane", "F")
    assert archive.conflicts("patient", "TWICE") == {"patient_name", "patient_birth_date", "patient_sex"}


def test_a_name_written_otherwise_is_no_conflict(archive: Archive) -> None:
    for number, name in enumerate(("Doe^Jane", "DOE^JANE^^", "doe^jane ")):
        study = f"3.14.8.{number}"
        keep(archive, image(study, patient_id="SPELT", name=name), f"{study}.1.1")
    assert archive.conflicts("patient", "SPELT") == set()


# WIRE 15


def test_a_study_of_two_patients_keeps_all_its_images_and_is_listed(archive: Archive) -> None:
    for number, patient in ((1, "FIRST"), (2, "SECOND")):
        sop = f"3.15.1.1.{number}"
        keep(archive, image("3.15.1", sop=sop, patient_id=patient), sop)
    assert archive.found("SOPInstanceUID", "IMAGE", StudyInstanceUID="3.15.1") == ["3.15.1.1.1", "3.15.1.1.2"]
    assert archive.found("PatientID", "STUDY", StudyInstanceUID="3.15.1") == ["FIRST"]
    assert archive.conflicts("study_of_two_patients", "3.15.1")
    assert len(archive.get("STUDY", StudyInstanceUID="3.15.1")) == 2


def test_a_series_of_two_studies_keeps_all_its_images_and_is_listed(archive: Archive) -> None:
    for number in (1, 2):
        sop = f"3.15.2.9.{number}"
        keep(archive, image(f"3.15.2.{number}", series="3.15.2.9", sop=sop, patient_id="P15"), sop)
    assert archive.found("SOPInstanceUID", "IMAGE", SeriesInstanceUID="3.15.2.9") == ["3.15.2.9.1", "3.15.2.9.2"]
    assert archive.found("StudyInstanceUID", "SERIES", SeriesInstanceUID="3.15.2.9") == ["3.15.2.1"]
    assert archive.conflicts("series_of_two_studies", "3.15.2.9")


def test_an_instance_of_two_series_is_kept_twice_shown_once_and_listed(archive: Archive) -> None:
    for number in (1, 2):
        keep(archive, image("3.15.3", series=f"3.15.3.{number}", sop="3.15.3.9"), "3.15.3.9")
    assert archive.found("SeriesInstanceUID", "IMAGE", SOPInstanceUID="3.15.3.9") == ["3.15.3.1"]
    assert archive.quarantined("3.15.3.9") == 1
    assert archive.conflicts("instance_of_two_series", "3.15.3.9")
    assert archive.files_with(b"3.15.3.9") == 2


# WIRE 16


def is_kept_once(archive: Archive, study: str, first: bytes, syntax: str = EXPLICIT) -> None:
    """And it is the first that is kept."""
    sop = f"{study}.1.1"
    (answer,) = archive.find("STUDY", StudyInstanceUID=study, NumberOfStudyRelatedInstances="")
    assert answer.NumberOfStudyRelatedInstances == 1
    assert archive.quarantined(sop) == 0
    assert archive.files_with(sop.encode()) == 1
    assert archive.get("STUDY", StudyInstanceUID=study, syntaxes=[syntax]) == {sop: (syntax, first)}


def test_the_same_data_set_again_is_a_success_and_kept_once(archive: Archive) -> None:
    whole = image("3.16.1")
    for _ in range(3):
        keep(archive, whole, "3.16.1.1.1")
    is_kept_once(archive, "3.16.1", whole)


@pytest.mark.parametrize(("number", "syntax"), [(2, IMPLICIT), (3, BIG_ENDIAN), (4, DEFLATED)])
def test_the_same_object_in_another_transfer_syntax_is_kept_once_and_logged(
    archive: Archive, number: int, syntax: str
) -> None:
    study = f"3.16.{number}"
    whole = image(study, pixels=bytes(range(8)))
    keep(archive, whole, f"{study}.1.1")
    again = image(study, pixels=bytes(range(8)), transfer_syntax_uid=syntax)
    keep(archive, again, f"{study}.1.1", syntax=syntax)
    is_kept_once(archive, study, whole)
    assert archive.says("same instance again", study)


@pytest.mark.parametrize(
    ("number", "before", "behind"),
    [
        (5, Writer().element(0x00080000, "UL", b"\x40\0\0\0"), b""),
        (6, b"", Writer().element(0xFFFCFFFC, "OB", bytes(128))),
    ],
    ids=["group length", "padding"],
)
def test_the_same_object_with_group_lengths_or_padding_is_kept_once(
    archive: Archive, number: int, before: bytes, behind: bytes
) -> None:
    study = f"3.16.{number}"
    whole = image(study)
    keep(archive, whole, f"{study}.1.1")
    keep(archive, before + whole + behind, f"{study}.1.1")
    is_kept_once(archive, study, whole)


def test_the_same_object_with_values_padded_otherwise_is_kept_once(archive: Archive) -> None:
    whole = image("3.16.7", name=b"Doe^Jo")
    keep(archive, whole, "3.16.7.1.1")
    keep(archive, image("3.16.7", name=b"Doe^Jo  "), "3.16.7.1.1")
    is_kept_once(archive, "3.16.7", whole)


def test_the_same_pixels_compressed_without_loss_are_kept_once_and_others_are_not(archive: Archive) -> None:
    ds = dcmread(str(get_testdata_file("MR_small.dcm")))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = "3.16.8", "3.16.8.1", "3.16.8.1.1"
    whole = data_set_of(ds)
    assert archive.store(whole, "3.16.8.1.1", sop_class=MR) == SUCCESS
    assert archive.store(rle_compressed(ds), "3.16.8.1.1", sop_class=MR, syntax=RLELossless) == SUCCESS
    assert archive.quarantined("3.16.8.1.1") == 0
    assert archive.get("STUDY", sop_class=MR, StudyInstanceUID="3.16.8") == {"3.16.8.1.1": (EXPLICIT, whole)}
    ds.PixelData = bytes([ds.PixelData[0] ^ 1]) + ds.PixelData[1:]
    assert archive.store(rle_compressed(ds), "3.16.8.1.1", sop_class=MR, syntax=RLELossless) == SUCCESS
    assert archive.quarantined("3.16.8.1.1") == 1


def rle_compressed(ds: Dataset) -> bytes:
    compressed = copy.deepcopy(ds)
    compressed.compress(RLELossless, generate_instance_uid=False)
    return data_set_of(compressed)


def data_set_of(ds: Dataset) -> bytes:
    """As pydicom writes it, without the file meta group."""
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()[read_meta(file.getvalue()).dataset_offset :]


@pytest.mark.parametrize(
    ("number", "changed"),
    [(11, {"pixels": b"\1" + bytes(7)}), (12, {"name": "Roe^John"}), (13, {"study_description": "one more element"})],
    ids=["pixels", "a value", "an element"],
)
def test_anything_else_is_another_version_which_is_quarantined(
    archive: Archive, number: int, changed: dict[str, object]
) -> None:
    study = f"3.16.{number}"
    sop = f"{study}.1.1"
    whole = image(study)
    keep(archive, whole, sop)
    keep(archive, image(study, **changed), sop)
    assert archive.quarantined(sop) == 1
    assert archive.files_with(sop.encode()) == 2
    assert archive.get("STUDY", StudyInstanceUID=study) == {sop: (EXPLICIT, whole)}


def test_the_newest_version_of_a_peer_that_may_correct_is_current_and_the_old_one_kept(archive: Archive) -> None:
    keep(archive, image("3.16.20"), "3.16.20.1.1")
    newer = image("3.16.20", name="Corrected^Name")
    keep(archive, newer, "3.16.20.1.1", calling="NEWEST")
    assert archive.found("PatientName", "STUDY", StudyInstanceUID="3.16.20") == ["Corrected^Name"]
    assert archive.get("STUDY", StudyInstanceUID="3.16.20") == {"3.16.20.1.1": (EXPLICIT, newer)}
    assert archive.quarantined("3.16.20.1.1") == 1


def test_a_deleted_study_matches_nothing_and_nothing_of_it_is_sent(archive: Archive) -> None:
    keep(archive, image("3.17.1"), "3.17.1.1.1")
    archive.node.shell(
        "from apps.accounts.principal import system; from apps.storage import archive;"
        "archive.delete(principal=system('test'), study_instance_uid='3.17.1')"
    )
    assert archive.find("STUDY", StudyInstanceUID="3.17.1") == []
    assert archive.get("STUDY", StudyInstanceUID="3.17.1") == {}
