"""Storage Commitment Push Model, PS3.4 annex J: what is asked for and what is reported, as data sets of any length."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Final, NamedTuple

from dicom import status
from dicom.elements import EXPLICIT_BIG, IMPLICIT_LITTLE, ITEM
from dicom.encoding import ElementIn, encode_elements
from dicom.errors import InvalidDataSet
from dicom.values import clean_uid, is_uid
from dicom.walk import ELEMENT, ITEM_END, ITEM_START, SEQUENCE, Walker
from dicom.windows import BytesWindow

INSTANCE: Final = "1.2.840.10008.1.20.1.1"  # the well-known SOP Instance of the SOP Class, PS3.4 J.3.5
REQUEST: Final = 1  # Action Type ID, PS3.4 J.3.2
ALL_COMMITTED, SOME_FAILED = 1, 2  # Event Type IDs, PS3.4 J.3.3
COMMITTED: Final = 0

RETRIEVE_AE_TITLE: Final = 0x00080054
REFERENCED_SOP_CLASS_UID: Final = 0x00081150
REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155
TRANSACTION_UID: Final = 0x00081195
FAILURE_REASON: Final = 0x00081197
FAILED_SOP_SEQUENCE: Final = 0x00081198
REFERENCED_SOP_SEQUENCE: Final = 0x00081199

# PS3.3 C.14.1.1, in words for people.
REASONS: Final[Mapping[int, str]] = {
    status.PROCESSING_FAILURE: "Processing failure",
    status.NO_SUCH_INSTANCE: "No such object instance",
    status.RESOURCE_LIMITATION: "Resource limitation",
    status.SOP_CLASS_NOT_SUPPORTED: "Referenced SOP class not supported",
    status.CLASS_INSTANCE_CONFLICT: "Class / instance conflict",
    status.DUPLICATE_TRANSACTION_UID: "Duplicate transaction UID",
}


class TooManyReferences(InvalidDataSet):
    """More than are taken in one request."""


class Reference(NamedTuple):
    """One instance; `reason`: why it is not committed, COMMITTED if it is."""

    sop_class_uid: str
    sop_instance_uid: str
    reason: int = COMMITTED


@dataclass(slots=True)
class Commitment:
    """A request, or the report that answers it."""

    transaction_uid: str
    references: list[Reference] = field(default_factory=list)


def reason_text(reason: int) -> str:
    return REASONS.get(reason) or f"Reason {reason:04X}"


def read(raw: bytes, transfer_syntax_uid: str, *, most: int) -> Commitment:
    """Of an N-ACTION or N-EVENT-REPORT. Raises TooManyReferences; InvalidDataSet, with the offending element
    for what is missing or no UID."""
    walker = Walker(BytesWindow(raw), transfer_syntax_uid)
    read, sequence = Commitment(""), 0
    item: dict[int, str] = {}
    for kind, tag, _, offset, length, little in walker.tokens():
        if kind == SEQUENCE and walker.depth == 1:
            sequence = tag
        elif kind == ITEM_START and walker.depth == 2:
            item.clear()
        elif kind == ITEM_END and walker.depth == 1 and sequence in (REFERENCED_SOP_SEQUENCE, FAILED_SOP_SEQUENCE):
            if len(read.references) >= most:
                raise TooManyReferences(f"More than {most} references", offending_element=sequence)
            read.references.append(_reference(item, failed=sequence == FAILED_SOP_SEQUENCE))
        elif kind == ELEMENT and walker.depth == 0 and tag == TRANSACTION_UID:
            read.transaction_uid = clean_uid(walker.read(offset, length))
        elif kind == ELEMENT and walker.depth == 2:
            item[tag] = _text(tag, walker.read(offset, min(length, 80)), little)
    if not is_uid(read.transaction_uid):
        raise InvalidDataSet("No valid Transaction UID", offending_element=TRANSACTION_UID)
    if not read.references:
        raise InvalidDataSet("No reference to an instance", offending_element=REFERENCED_SOP_SEQUENCE)
    return read


def _text(tag: int, value: bytes, little: bool) -> str:
    if tag == FAILURE_REASON:
        return str(int.from_bytes(value[:2], "little" if little else "big"))
    return clean_uid(value)


def _reference(item: Mapping[int, str], *, failed: bool) -> Reference:
    for tag in (REFERENCED_SOP_CLASS_UID, REFERENCED_SOP_INSTANCE_UID):
        if not is_uid(item.get(tag, "")):
            raise InvalidDataSet("A reference without valid UIDs", offending_element=tag)
    reason = int(item.get(FAILURE_REASON) or 0) or status.PROCESSING_FAILURE if failed else COMMITTED
    return Reference(intern(item[REFERENCED_SOP_CLASS_UID]), item[REFERENCED_SOP_INSTANCE_UID], reason)


def request(transaction_uid: str, references: Iterable[Reference], transfer_syntax_uid: str) -> bytes:
    """The Action Information of an N-ACTION, PS3.4 Table J.3-1."""
    items = b"".join(_item(each, transfer_syntax_uid) for each in references)
    return _head(transaction_uid, "", transfer_syntax_uid) + _sequence(
        REFERENCED_SOP_SEQUENCE, items, transfer_syntax_uid
    )


def report(
    transaction_uid: str, references: Iterable[Reference], transfer_syntax_uid: str, *, retrieve_ae_title: str = ""
) -> tuple[int, bytes]:
    """The Event Type ID and Event Information of an N-EVENT-REPORT, PS3.4 Table J.3-2."""
    committed: list[bytes] = []
    failed: list[bytes] = []
    for each in references:
        (failed if each.reason else committed).append(_item(each, transfer_syntax_uid))
    encoded = _head(transaction_uid, retrieve_ae_title, transfer_syntax_uid)
    if failed:
        encoded += _sequence(FAILED_SOP_SEQUENCE, b"".join(failed), transfer_syntax_uid)
    if committed:
        encoded += _sequence(REFERENCED_SOP_SEQUENCE, b"".join(committed), transfer_syntax_uid)
    return SOME_FAILED if failed else ALL_COMMITTED, encoded


def _head(transaction_uid: str, retrieve_ae_title: str, transfer_syntax_uid: str) -> bytes:
    elements: list[ElementIn] = [(TRANSACTION_UID, "UI", transaction_uid.encode("ascii"))]
    if retrieve_ae_title:
        elements.insert(0, (RETRIEVE_AE_TITLE, "AE", retrieve_ae_title.encode("ascii")))
    return encode_elements(elements, transfer_syntax_uid)


def _item(reference: Reference, transfer_syntax_uid: str) -> bytes:
    elements: list[ElementIn] = [
        (REFERENCED_SOP_CLASS_UID, "UI", reference.sop_class_uid.encode("ascii")),
        (REFERENCED_SOP_INSTANCE_UID, "UI", reference.sop_instance_uid.encode("ascii")),
    ]
    if reference.reason:
        elements.append((FAILURE_REASON, "US", struct.pack("<H", reference.reason)))
    content = encode_elements(elements, transfer_syntax_uid)
    return struct.pack(f"{_order(transfer_syntax_uid)}HHI", ITEM >> 16, ITEM & 0xFFFF, len(content)) + content


def _sequence(tag: int, items: bytes, transfer_syntax_uid: str) -> bytes:
    order = _order(transfer_syntax_uid)
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    vr = b"" if transfer_syntax_uid == IMPLICIT_LITTLE else b"SQ\0\0"
    return head + vr + struct.pack(f"{order}I", len(items)) + items


def _order(transfer_syntax_uid: str) -> str:
    return ">" if transfer_syntax_uid == EXPLICIT_BIG else "<"
