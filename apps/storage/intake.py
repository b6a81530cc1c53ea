"""The only way in: stream, digest, scan, check, make durable; only then is anybody told Success."""

import logging
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from apps.failpoints import failpoint
from apps.storage import notices
from apps.storage.incoming import CannotWrite, Incoming, our_disk
from apps.storage.received import Received, scan
from apps.storage.space import Space
from apps.storage.spool import received_ns, spool
from dicom import part10, status
from dicom.errors import DicomError, InvalidDataSet
from dicom.header import Header
from dicom.part10 import Provenance
from dicom.sop_classes import NOT_WITHOUT_PATIENT, is_storage
from dicom.values import is_uid
from dicom.windows import Readable

log = logging.getLogger(__name__)

# Where a failpoint may stop a receive, in order. At `sync` and `directory_sync` it may also skip.
STEPS = (
    "intake.directory_sync",
    "intake.opened",
    "intake.fragment",
    "intake.written",
    "intake.checked",
    "intake.sync",
    "intake.durable",
    "intake.rename",
    "intake.noticed",
)

AFFECTED_SOP_CLASS_UID = 0x00000002
AFFECTED_SOP_INSTANCE_UID = 0x00001000
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
_IDENTIFYING = {
    SOP_CLASS_UID: "SOP Class UID",
    SOP_INSTANCE_UID: "SOP Instance UID",
    STUDY_INSTANCE_UID: "Study Instance UID",
    SERIES_INSTANCE_UID: "Series Instance UID",
}


class Refused(DicomError):
    """Not stored. `status` is that of a C-STORE response (PS3.4 Table B.2-1)."""

    def __init__(self, status: int, comment: str, offending_elements: tuple[int, ...] = ()) -> None:
        super().__init__(comment)
        self.status = status
        self.offending_elements = offending_elements


def receive(
    *,
    provenance: Provenance,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    fragments: Iterable[list[memoryview]],
    study_instance_uid: str | None = None,
) -> Received:
    """Store one data set durably; when its sender has been told, `announce` it. Raises Refused; what `fragments` raises
    flies, and leaves nothing behind.

    `provenance`: all but the receive time. `study_instance_uid`: the only study it may belong to, if that was said.
    """
    _check_command(sop_class_uid, sop_instance_uid)
    try:
        with our_disk:
            here = spool()
        with Incoming(here, space()) as file:
            provenance = provenance.at(received_ns(file.name))
            meta = part10.meta_group(
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
                provenance=provenance,
            )
            digest, size = file.take(meta, fragments)
            header = _scan(file.data_set(), transfer_syntax_uid, provenance)
            _check(header, sop_class_uid, sop_instance_uid, study_instance_uid)
            failpoint("intake.checked")
            file.seal(digest, part10.digest_slot(meta))
    except CannotWrite as error:
        raise Refused(status.STORE_OUT_OF_RESOURCES, str(error)) from error
    stored = Received(
        name=file.name,
        digest=digest,
        size=size,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        dataset_offset=len(meta),
        header=header,
        provenance=provenance,
    )
    if header.warnings:
        log.warning("%s is stored as it is: %s", sop_instance_uid, "; ".join(header.warnings))
    return stored


def announce(stored: Received) -> None:
    """Its sender was told: on to the indexer with it, and make ready for the next."""
    here = spool()
    here.announce(stored)
    failpoint("intake.noticed")
    here.restock()


def hand_over() -> None:
    """What this process has received goes on to the indexer now."""
    spool().hand_over()


def space() -> Space:
    """Of this node's spool."""
    return _space(spool().root, settings.MINIMUM_FREE)


@lru_cache
def _space(root: Path, minimum_free: int) -> Space:
    return Space(root, minimum_free)


def _check_command(sop_class_uid: str, sop_instance_uid: str) -> None:
    """PS3.7 9.1.1.1: what the request says it brings, before a byte of it is written."""
    if not is_uid(sop_instance_uid):
        comment = "Affected SOP Instance UID is malformed"
        raise Refused(status.STORE_CANNOT_UNDERSTAND, comment, (AFFECTED_SOP_INSTANCE_UID,))
    if not is_uid(sop_class_uid):
        raise Refused(status.STORE_CANNOT_UNDERSTAND, "Affected SOP Class UID is malformed", (AFFECTED_SOP_CLASS_UID,))
    if sop_class_uid in NOT_WITHOUT_PATIENT or not is_storage(sop_class_uid):
        raise Refused(status.SOP_CLASS_NOT_SUPPORTED, "SOP class not supported", (AFFECTED_SOP_CLASS_UID,))


def _scan(data_set: Readable, transfer_syntax_uid: str, provenance: Provenance) -> Header:
    try:
        with our_disk:
            return scan(data_set, transfer_syntax_uid, provenance)
    except InvalidDataSet as error:
        offending = () if error.offending_element is None else (error.offending_element,)
        raise Refused(status.STORE_CANNOT_UNDERSTAND, str(error), offending) from error


def _check(header: Header, sop_class_uid: str, sop_instance_uid: str, study_instance_uid: str | None) -> None:
    found = {tag: header.uid(tag) for tag in _IDENTIFYING}
    for tag, name in _IDENTIFYING.items():
        if not is_uid(found[tag]):
            wrong = "malformed" if found[tag] else "missing"
            raise Refused(status.STORE_CANNOT_UNDERSTAND, f"{name} is {wrong}", (tag,))
    expected = {SOP_CLASS_UID: sop_class_uid, SOP_INSTANCE_UID: sop_instance_uid}
    if study_instance_uid is not None:
        expected[STUDY_INSTANCE_UID] = study_instance_uid
    for tag, value in expected.items():
        if found[tag] != value:
            comment = f"{_IDENTIFYING[tag]} differs from the request"
            raise Refused(status.STORE_DATA_SET_MISMATCH, comment, (tag,))


def wait_indexed(names: Sequence[str], timeout: float = 5.0) -> bool:
    """Wait until these have left `ready/`: indexed, or put aside. False when time is up."""
    here = spool()
    here.hand_over()
    left = here.still_waiting(reversed(names))
    if not left:
        return True
    notices.hurry(here.root)
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while left:
        if not here.is_waiting(left[-1]):
            left.pop()
        elif time.monotonic() >= deadline:
            return False
        else:
            time.sleep(pause)
            pause = min(pause * 2, 0.005)
    return True
