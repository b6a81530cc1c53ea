"""Parts that are DICOM files: the meta group is read from their first bytes, the rest goes to disk as it arrives."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain
from threading import BoundedSemaphore
from typing import Final

from apps.storage import intake
from apps.storage.stow.outcome import Outcome, Sending
from dicom import part10, status
from dicom.errors import InvalidDataSet
from dicom.multipart import Part
from dicom.part10 import Meta
from dicom.sop_classes import is_deflated
from dicom.values import clean_uid
from dicom.walk import ELEMENT, Walker
from dicom.windows import BytesWindow, InflatedWindow, Readable

SMALL: Final = 1 << 20
_HEAD: Final = 1 << 17  # bytes of a part in which its meta group and the UIDs of its data set are looked for
_TOGETHER: Final = 4  # parts of all requests of this process that are written beside; each is in memory
_beside: Final = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="stow")
_places: Final = BoundedSemaphore(_TOGETHER)


def stored(part: Part, sending: Sending) -> "Outcome | Future[Outcome]":
    """What reading the part raises flies.

    What is small is written beside: the disk takes several at once, and meanwhile the next part arrives.
    """
    pieces = iter(part)
    beginning = _beginning(pieces)
    if len(beginning) > SMALL or not _places.acquire(blocking=False):
        return _received(beginning, pieces, sending)
    future = _beside.submit(copy_context().run, _received, beginning, iter(()), sending)
    future.add_done_callback(lambda _: _places.release())
    return future


def _beginning(pieces: Iterator[memoryview]) -> memoryview:
    """All of what is small; of what is larger so much that it can be told."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) > SMALL:
            break
    return memoryview(gathered)


def _received(beginning: memoryview, rest: Iterator[memoryview], sending: Sending) -> Outcome:
    try:
        head = bytes(beginning[:_HEAD])
        meta = part10.read_meta(head, lenient=True)
        sop_class_uid, sop_instance_uid = _named(head, meta)
    except InvalidDataSet as error:
        return Outcome(status.STORE_CANNOT_UNDERSTAND, str(error))
    return sending.receive(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        fragments=([piece] for piece in chain((beginning[meta.dataset_offset :],), rest)),
    )


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
