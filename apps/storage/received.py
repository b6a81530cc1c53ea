"""A data set that has been made durable, with all that the index needs to know of it."""

import marshal
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from dicom import header, part10
from dicom.errors import InvalidDataSet
from dicom.header import Header
from dicom.part10 import Provenance
from dicom.windows import Readable

_provenance = attrgetter(*(field.name for field in fields(Provenance)))
_own = attrgetter(
    "name", "digest", "size", "sop_class_uid", "sop_instance_uid", "transfer_syntax_uid", "dataset_offset"
)


@dataclass(frozen=True, slots=True)
class Received:
    name: str
    digest: str  # BLAKE3 of the data set as received, hexadecimal
    size: int  # of the data set
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int  # in the file
    header: Header
    provenance: Provenance

    @property
    def pixel_offset(self) -> int | None:
        """Of the pixel data element in the file."""
        offset = self.header.pixel_offset
        return None if offset is None else self.dataset_offset + offset


def dump(several: Iterable[Received]) -> bytes:
    """For `load`, in another process of the same node and version."""
    return marshal.dumps([(_own(one), one.header.dump(), _provenance(one.provenance)) for one in several])


def load(dump: bytes) -> list[Received]:
    """From a socket that only our own processes may open."""
    return [
        Received(*(*own, Header.load(header), Provenance(*provenance)))
        for own, header, provenance in marshal.loads(dump)
    ]


def read(path: Path) -> Received:
    """What a file of ours says about itself. Raises InvalidDataSet, OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_open(fd, path.name)
    finally:
        os.close(fd)


def read_open(fd: int, name: str) -> Received:
    size = os.fstat(fd).st_size
    return read_from(lambda offset: header.FileWindow(fd, offset, size - offset), name)


def read_from(source: Callable[[int], Readable], name: str) -> Received:
    """`source`: the file from an offset on."""
    meta = part10.read_meta(source(0))
    if meta.provenance is None or not meta.digest:
        raise InvalidDataSet("Not a file of this archive")
    data_set = source(meta.dataset_offset)
    return Received(
        name=name,
        digest=meta.digest,
        size=data_set.size,
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        dataset_offset=meta.dataset_offset,
        header=scan(data_set, meta.transfer_syntax_uid, meta.provenance),
        provenance=meta.provenance,
    )


def scan(data_set: header.Readable, transfer_syntax_uid: str, provenance: Provenance) -> Header:
    return header.scan(
        data_set, transfer_syntax_uid=transfer_syntax_uid, default_character_set=provenance.character_set
    )
