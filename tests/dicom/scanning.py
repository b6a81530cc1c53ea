"""A scan of data sets written by hand, and what each of them holds."""

from typing import Any

from dicom.header import BytesWindow, Header, scan
from tests.dicom.data_sets import BIG_ENDIAN, EXPLICIT, IMPLICIT, Writer, data_sets

SOP_INSTANCE_UID = 0x00080018
PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
STUDY_INSTANCE_UID = 0x0020000D
ROWS = 0x00280010
PIXEL_DATA = 0x7FE00010
EXPLICIT_WRITER = Writer(EXPLICIT)
NATIVE = [IMPLICIT, EXPLICIT, BIG_ENDIAN]
DATA_SETS = list(data_sets())


def read(data_set: bytes, transfer_syntax_uid: str = EXPLICIT, **options: Any) -> Header:
    return scan(BytesWindow(data_set), transfer_syntax_uid=transfer_syntax_uid, **options)


def before(write: Writer) -> bytes:
    return write.element(SOP_INSTANCE_UID, "UI", b"1.2.3\0")


def after(write: Writer) -> bytes:
    return write.element(STUDY_INSTANCE_UID, "UI", b"1.2.4\0")


def both_found(header: Header) -> bool:
    return (header.uid(SOP_INSTANCE_UID), header.uid(STUDY_INSTANCE_UID)) == ("1.2.3", "1.2.4")
