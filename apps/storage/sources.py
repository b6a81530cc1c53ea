"""What can be sent: instances of the archive, and files that lie anywhere."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from apps.storage import archive
from apps.storage.archive import OpenInstance, Stored
from dicom import header, part10
from dicom.errors import InvalidDataSet
from dicom.values import is_uid

_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018


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
        fd = os.open(path, os.O_RDONLY)
        try:
            meta = part10.read_meta(fd, lenient=True)
            if meta.is_dicomdir:
                raise InvalidDataSet("A DICOMDIR, not an instance")
            window = header.FileWindow(fd, meta.dataset_offset, os.fstat(fd).st_size - meta.dataset_offset)
            wanted = frozenset((_SOP_CLASS_UID, _SOP_INSTANCE_UID))
            found = header.scan(window, transfer_syntax_uid=meta.transfer_syntax_uid, wanted=wanted)
        finally:
            os.close(fd)
        sop_class_uid = found.uid(_SOP_CLASS_UID) or meta.sop_class_uid
        sop_instance_uid = found.uid(_SOP_INSTANCE_UID) or meta.sop_instance_uid
        for uid, tag in ((sop_class_uid, _SOP_CLASS_UID), (sop_instance_uid, _SOP_INSTANCE_UID)):
            if not is_uid(uid):
                raise InvalidDataSet("No valid SOP class or instance UID", offending_element=tag)
        return cls(path, sop_class_uid, sop_instance_uid, found.actual_transfer_syntax_uid, meta.dataset_offset)

    @contextmanager
    def open(self) -> Iterator[OpenInstance]:
        fd = os.open(self.path, os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size - self.dataset_offset
            yield OpenInstance(fd, self.dataset_offset, size, self.transfer_syntax_uid, None)
        finally:
            os.close(fd)
