"""What can be sent: instances of the archive, and files that lie anywhere."""

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from apps.storage import archive
from apps.storage.archive import OpenInstance, Stored
from dicom import header, part10
from dicom.cursor import WINDOW
from dicom.errors import InvalidDataSet
from dicom.header import Header
from dicom.values import is_uid
from dicom.windows import BytesWindow, FileWindow, Readable

_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_UIDS = frozenset((_SOP_CLASS_UID, _SOP_INSTANCE_UID))


class Source(Protocol):
    """One instance to send."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str: ...

    def open(self) -> AbstractContextManager[OpenInstance]:
        """Raises DicomError or OSError."""
        ...


class Sendable(Stored, Protocol):
    @property
    def sop_class_uid(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Archived:
    """An instance of ours, as its row says."""

    row: Sendable

    @property
    def sop_class_uid(self) -> str:
        return self.row.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        return self.row.sop_instance_uid

    @property
    def transfer_syntax_uid(self) -> str:
        return self.row.transfer_syntax_uid

    def open(self) -> AbstractContextManager[OpenInstance]:
        return archive.open(self.row)


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A DICOM file of anybody's, or what is left of one."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """UIDs as the data set says, as a receiver will. Raises InvalidDataSet, OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would keep us waiting for who writes into it
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise InvalidDataSet("No file, but a device, a pipe or a socket")
            size = os.fstat(fd).st_size
            small = memoryview(os.pread(fd, size, 0)) if size <= WINDOW else None
            meta = part10.read_meta(fd if small is None else small, lenient=True)
            if meta.is_dicomdir:
                raise InvalidDataSet("A DICOMDIR, not an instance")
            offset = meta.dataset_offset
            window = FileWindow(fd, offset, size - offset) if small is None else BytesWindow(small[offset:])
            found = _identified(window, meta.transfer_syntax_uid)
        finally:
            os.close(fd)
        sop_class_uid = found.uid(_SOP_CLASS_UID) or meta.sop_class_uid
        sop_instance_uid = found.uid(_SOP_INSTANCE_UID) or meta.sop_instance_uid
        for uid, tag in ((sop_class_uid, _SOP_CLASS_UID), (sop_instance_uid, _SOP_INSTANCE_UID)):
            if not is_uid(uid):
                raise InvalidDataSet("No valid SOP class or instance UID", offending_element=tag)
        return cls(path, sop_class_uid, sop_instance_uid, found.actual_transfer_syntax_uid, offset)

    @contextmanager
    def open(self) -> Iterator[OpenInstance]:
        """Raises InvalidDataSet also for what ends before its time: half an image is not sent."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size - self.dataset_offset
            window = FileWindow(fd, self.dataset_offset, size)
            header.scan(window, transfer_syntax_uid=self.transfer_syntax_uid, wanted=())
            yield OpenInstance(fd, self.dataset_offset, size, self.transfer_syntax_uid, None)
        finally:
            os.close(fd)


def _identified(window: Readable, transfer_syntax_uid: str) -> Header:
    """The UIDs stand near the beginning, unless the elements are out of order."""
    found = header.scan(window, transfer_syntax_uid=transfer_syntax_uid, wanted=_UIDS, until=_SOP_INSTANCE_UID)
    if len(found.elements) == len(_UIDS):
        return found
    return header.scan(window, transfer_syntax_uid=transfer_syntax_uid, wanted=_UIDS)
