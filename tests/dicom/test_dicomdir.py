"""The directory of a medium: what no record can be made of is refused by itself."""

import io
import struct
from contextlib import closing

import pytest

from dicom.dicomdir import Directory
from dicom.errors import InvalidDataSet
from dicom.part10 import meta_group
from tests.storage.made import CT, EXPLICIT, data_set


def file(data: bytes) -> io.BytesIO:
    meta = meta_group(sop_class_uid=CT, sop_instance_uid="1.2.3.1.1.1", transfer_syntax_uid=EXPLICIT, provenance=None)
    return io.BytesIO(meta + data)


def nested(levels: int) -> bytes:
    begin = struct.pack("<HH2sHIHHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return begin * levels + end * levels


def test_a_data_set_that_is_nested_too_deep_is_refused_by_itself() -> None:
    with closing(Directory()) as directory:
        with pytest.raises(InvalidDataSet, match="No directory record can be made of it"):
            directory.add(file(data_set(pixels=None) + nested(20_000)))
        directory.add(file(data_set()))
