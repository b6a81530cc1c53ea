"""Data sets made for tests, taken in and indexed as the product does it."""

from collections.abc import Iterable, Iterator
from typing import Any

from apps.storage import intake
from apps.storage.indexer import Indexer
from apps.storage.received import Received
from apps.storage.spool import spool
from dicom.encoding import encode_elements
from dicom.part10 import Provenance

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"

VRS = {
    0x00080005: "CS",
    0x00080016: "UI",
    0x00080018: "UI",
    0x00080020: "DA",
    0x00080030: "TM",
    0x00080050: "SH",
    0x00080060: "CS",
    0x00080090: "PN",
    0x00081030: "LO",
    0x0008103E: "LO",
    0x00100010: "PN",
    0x00100020: "LO",
    0x00100021: "LO",
    0x00100030: "DA",
    0x00100040: "CS",
    0x0020000D: "UI",
    0x0020000E: "UI",
    0x00200011: "IS",
    0x00200013: "IS",
    0x00280010: "US",
    0x00280011: "US",
    0x00280100: "US",
    0x7FE00010: "OW",
}
NAMES = {
    "character_set": 0x00080005,
    "sop_class": 0x00080016,
    "sop": 0x00080018,
    "study_date": 0x00080020,
    "study_time": 0x00080030,
    "accession": 0x00080050,
    "modality": 0x00080060,
    "referring": 0x00080090,
    "study_description": 0x00081030,
    "series_description": 0x0008103E,
    "name": 0x00100010,
    "patient_id": 0x00100020,
    "issuer": 0x00100021,
    "birth_date": 0x00100030,
    "sex": 0x00100040,
    "study": 0x0020000D,
    "series": 0x0020000E,
    "series_number": 0x00200011,
    "number": 0x00200013,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "bits": 0x00280100,
    "pixels": 0x7FE00010,
}


def data_set(*, transfer_syntax_uid: str = EXPLICIT, **values: Any) -> bytes:
    """A CT image, but for what is given by the names above; None leaves an element out."""
    whole: dict[str, Any] = {
        "sop_class": CT,
        "sop": "1.2.3.1.1.1",
        "study": "1.2.3",
        "series": "1.2.3.1",
        "modality": "CT",
        "name": "Doe^John",
        "patient_id": "P1",
        "number": "1",
        "rows": 2,
        "columns": 2,
        "bits": 16,
        "pixels": bytes(8),
    }
    elements = {NAMES[name]: value for name, value in (whole | values).items() if value is not None}
    return encode_elements(
        [(tag, VRS[tag], _encoded(VRS[tag], value)) for tag, value in sorted(elements.items())], transfer_syntax_uid
    )


def _encoded(vr: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.to_bytes(2, "little") if vr == "US" else str(value).encode()


def provenance(**values: Any) -> Provenance:
    return Provenance(**{"received_ns": 0, "calling_ae_title": "MODALITY", "peer": "modality", **values})


def fragments(data: bytes, size: int = 1 << 16) -> Iterator[list[memoryview]]:
    view = memoryview(data)
    for start in range(0, len(view), size):
        yield [view[start : start + size]]


def receive(
    data: bytes | None = None,
    *,
    transfer_syntax_uid: str = EXPLICIT,
    source: Provenance | None = None,
    pieces: Iterable[list[memoryview]] | None = None,
    **values: Any,
) -> Received:
    data = data_set(transfer_syntax_uid=transfer_syntax_uid, **values) if data is None else data
    received = intake.receive(
        provenance=source or provenance(),
        sop_class_uid=values.get("sop_class", CT),
        sop_instance_uid=values.get("sop", "1.2.3.1.1.1"),
        transfer_syntax_uid=transfer_syntax_uid,
        fragments=fragments(data) if pieces is None else pieces,
    )
    intake.announce(received)
    intake.hand_over()
    return received


def index() -> None:
    intake.hand_over()
    with Indexer(spool()) as indexer:
        indexer.catch_up()
