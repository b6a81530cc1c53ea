"""Files for the pages: studies of several kinds, and one whose every text is an attack."""

from pathlib import Path
from typing import Any

import pydicom
from pydicom.data import get_testdata_file

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
