"""Data sets of pydicom, as the association engine carries them: for small programs, whole in memory.

The servers do without (`dicom.encoding`, `dicom.header`): importing pydicom costs every process 35 MB.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread, read_dataset
from pydicom.filewriter import write_dataset

from dicom import part10
from dicom.errors import InvalidValue
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, is_big_endian, is_implicit

SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)  # what to propose for them: PS3.5 10.1


def data_set(**values: Any) -> Dataset:
    """`data_set(PatientName="", ScheduledProcedureStepSequence=[data_set(Modality="CT")])`

    Raises InvalidValue for what is no keyword.
    """
    ds = Dataset()
    for keyword, value in values.items():
        if tag_for_keyword(keyword) is None:
            raise InvalidValue(f"{keyword} is no keyword of an element")
        setattr(ds, keyword, value)
    return ds


def encode(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    """The data set alone, in a transfer syntax that is not deflated."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = is_implicit(transfer_syntax_uid)
    buffer.is_little_endian = not is_big_endian(transfer_syntax_uid)
    write_dataset(buffer, ds)
    return bytes(buffer.getvalue())


def decode(raw: bytes | None, transfer_syntax_uid: str) -> Dataset:
    """The reverse, texts decoded; no data set at all is an empty one."""
    implicit, little = is_implicit(transfer_syntax_uid), not is_big_endian(transfer_syntax_uid)
    ds = read_dataset(BytesIO(raw or b""), implicit, little)
    ds.decode()
    return ds


def read_file(path: Path) -> Dataset:
    ds = dcmread(path)
    ds.decode()
    return ds


def write_file(path: Path, ds: Dataset, *, sop_class_uid: str, sop_instance_uid: str) -> None:
    """A DICOM file (PS3.10) in Explicit VR Little Endian and UTF-8, whole or not at all."""
    ds.SpecificCharacterSet = "ISO_IR 192"
    part10.write_file(
        path,
        [[encode(ds, EXPLICIT_VR_LITTLE_ENDIAN)]],
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
    )
