"""DICOMDIR, the directory of a medium (PS3.3 annex F, PS3.10 8), of instances whose headers are given."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.fileset import FileSet

from dicom.errors import InvalidDataSet

# Elements that a directory record must have (type 1), and images need not: what stands there when they are empty.
_NEEDED: Final[Mapping[str, Any]] = {
    "StudyTime": "000000",
    "StudyID": "0",
    "SeriesNumber": 0,
    "InstanceNumber": 0,
}
_DATES: Final = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
# What pydicom raises for data sets that are not as they should be.
_UNREADABLE: Final = (
    *(InvalidDicomError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError),
    *(EOFError, OverflowError, RecursionError, struct.error),
)
_NO_DATE: Final = "19000101"


class Directory:
    """Headers are added; at last it is written, and says which File ID each instance has."""

    def __init__(self) -> None:
        self._set = FileSet()

    def close(self) -> None:
        self._set._stage["t"].cleanup()  # where it keeps what was added: it has no way of its own to let go of it

    def add(self, file: BinaryIO) -> None:
        """A Part 10 file, read as far as its pixels. Raises InvalidDataSet where no record can be made of it."""
        try:
            ds = dcmread(file, stop_before_pixels=True)
            dates = (ds.get(keyword) for keyword in _DATES)
            # Without an ID, each study is somebody else's.
            found = {"PatientID": ds.StudyInstanceUID, "StudyDate": next(filter(None, dates), _NO_DATE)}
            for keyword, value in {**found, **_NEEDED}.items():
                if ds.get(keyword) in (None, ""):
                    setattr(ds, keyword, value)
            self._set.add(_plain(ds))
        except _UNREADABLE as error:
            raise InvalidDataSet(f"No directory record can be made of it: {error}") from error

    def write(self, folder: Path) -> Mapping[str, str]:
        """`DICOMDIR` below it, beside the headers; SOP Instance UID -> File ID with slashes."""
        self._set.write(folder)
        return {str(each.SOPInstanceUID): Path(each.path).relative_to(folder).as_posix() for each in self._set}


def _plain(ds: Dataset) -> Dataset:
    """Without private elements of our own in the file meta information."""
    for keyword in ("PrivateInformation", "PrivateInformationCreatorUID"):
        if keyword in ds.file_meta:
            delattr(ds.file_meta, keyword)
    return ds
