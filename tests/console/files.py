"""Files for the pages: studies of several kinds, and one whose every text is an attack."""

from pathlib import Path
from typing import Any

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset

ULTRASOUND = Path(str(get_testdata_file("examples_ybr_color.dcm")))  # 30 frames of colour, 30 a second
REPORT = Path(str(get_testdata_file("test-SR.dcm")))
UNDECODABLE = Path(str(get_testdata_file("JPEG-lossy.dcm")))
MR = Path(str(get_testdata_file("MR_small.dcm")))
CT = Path(str(get_testdata_file("CT_small.dcm")))
ALERT = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(1)</script>"
RIGHT_TO_LEFT = "\u202eדוד"
LONG = "x" * 10_000


def write(path: Path, *, uid: str, number: int = 1, **values: Any) -> None:
    """A CT image: `uid` of its study; that of the series follows from it."""
    dataset = pydicom.dcmread(CT)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyInstanceUID = uid
    dataset.SeriesInstanceUID = f"{uid}.1"
    dataset.InstanceNumber = number
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    sop = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = sop
    dataset.save_as(path)


def two_series_each(folder: Path, *, studies: int) -> None:
    """Studies 1.2.3.1 and on, of Doe^John^1 and on, with one image in either series."""
    folder.mkdir()
    for number in range(1, studies + 1):
        for series in (1, 2):
            write(
                folder / f"{number}-{series}.dcm",
                uid=f"1.2.3.{number}",
                SeriesInstanceUID=f"1.2.3.{number}.{series}",
                SeriesNumber=str(series),
                SeriesDescription=f"Series {series}",
                PatientName=f"Doe^John^{number}",
                PatientID=f"P{number}",
                Modality="CT",
            )


def stack(folder: Path, uid: str, count: int) -> None:
    """Slices of 64 x 64, each a little brighter than the one before, with a rectangle of bone."""
    for number in range(1, count + 1):
        row = [20 * number - 1000 + 1024] * 64
        rows = [row[:40] + [2024] * 16 + row[56:] if 8 <= y < 24 else row for y in range(64)]
        pixels = b"".join(value.to_bytes(2, "little") for line in rows for value in line)
        write(
            folder / f"stack {number}.dcm",
            uid=uid,
            number=number,
            PatientName="Stack^Anna",
            PatientID="STACK",
            SeriesNumber=1,
            SeriesDescription="Slices",
            Rows=64,
            Columns=64,
            PixelData=pixels,
            RescaleSlope=1,
            RescaleIntercept=-1024,
            WindowCenter=0,
            WindowWidth=2000,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )


def document(path: Path, uid: str) -> None:
    """An encapsulated PDF, as a second series of a study."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{uid}.9.1", uid, f"{uid}.9"
    dataset.PatientName, dataset.PatientID, dataset.Modality, dataset.SeriesNumber = "Stack^Anna", "STACK", "DOC", 9
    dataset.DocumentTitle, dataset.MIMETypeOfEncapsulatedDocument = "Finding", "application/pdf"
    dataset.EncapsulatedDocument = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.save_as(path, enforce_file_format=True)


def hostile(path: Path, uid: str) -> None:
    """Script, HTML, another direction and no end in what pages show."""
    write(
        path,
        uid=uid,
        PatientName=f"{ALERT}^{SCRIPT}",
        PatientID=f'"><{SCRIPT}',
        AccessionNumber="'-alert(1)-'",
        StudyDescription=f"{RIGHT_TO_LEFT}{ALERT}",
        SeriesDescription=f"{SCRIPT}{ALERT}",
        ReferringPhysicianName=f"{SCRIPT}^{RIGHT_TO_LEFT}",
        PatientSex="<b>",
        PatientBirthDate="<i>1",
        StudyDate="{{7*7}}",
        StudyTime="<i>2",
        Modality="<u>",
        BodyPartExamined="<s>",
        PatientComments=f"{SCRIPT}{ALERT}{LONG}",
        ImageComments=f"{RIGHT_TO_LEFT}{LONG}",
    )
