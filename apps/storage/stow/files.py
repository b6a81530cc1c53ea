"""Parts that are DICOM files: the meta group is read from their first bytes, the rest goes to disk as it arrives."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from apps.storage import intake
from apps.storage.stow.outcome import Outcome, Sending
from dicom import part10
from dicom.errors import InvalidDataSet
from dicom.multipart import Part
from dicom.part10 import Meta
from dicom.sop_classes import is_deflated
from dicom.values import clean_uid
from dicom.walk import ELEMENT, Walker
from dicom.windows import BytesWindow, InflatedWindow, Readable

_HEAD: Final = 1 << 17  # bytes of a part in which its meta group and the UIDs of its data set are looked for


def stored(part: Part, sending: Sending) -> Outcome:
    """Raises InvalidDataSet for what is no DICOM file; what reading the part raises flies."""
    head, pieces = _begun(part)
    meta = part10.read_meta(head, lenient=True)
    sop_class_uid, sop_instance_uid = _named(head, meta)
    return sending.receive(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        fragments=_data_set(pieces, meta.dataset_offset),
    )


def _begun(part: Part) -> tuple[bytes, Iterator[memoryview]]:
    """Its first bytes, and all of it."""
    pieces = iter(part)
    first = next(pieces, memoryview(b""))
    if len(first) < _HEAD:
        gathered = bytearray(first)
        for piece in pieces:
            gathered += piece
            if len(gathered) >= _HEAD:
                break
        first = memoryview(gathered)
    return bytes(first[:_HEAD]), chain((first,), pieces)


def _data_set(pieces: Iterator[memoryview], offset: int) -> Iterator[list[memoryview]]:
    yield [next(pieces)[offset:]]
    for piece in pieces:
        yield [piece]


def _named(head: bytes, meta: Meta) -> tuple[str, str]:
    """SOP class and instance by the data set, which is what is stored; by the meta group where they are not at its
    beginning."""
    window: Readable = BytesWindow(memoryview(head)[meta.dataset_offset :])
    found = {intake.SOP_CLASS_UID: meta.sop_class_uid, intake.SOP_INSTANCE_UID: meta.sop_instance_uid}
    try:
        if is_deflated(meta.transfer_syntax_uid):
            window = InflatedWindow(window)
        walker = Walker(window, meta.transfer_syntax_uid)
        for kind, tag, _, offset, length, _ in walker.tokens():
            if tag > intake.SOP_INSTANCE_UID or walker.depth:
                break
            if kind == ELEMENT and tag in found:
                found[tag] = clean_uid(walker.read(offset, length))
    except InvalidDataSet:
        pass  # the intake says where
    return found[intake.SOP_CLASS_UID], found[intake.SOP_INSTANCE_UID]
