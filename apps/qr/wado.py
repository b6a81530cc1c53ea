"""What WADO-RS sends (PS3.18 10.4): instances in the transfer syntax asked for, or their metadata; piece by piece."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from apps.qr.retrieve import Instances, Stored
from apps.storage import archive
from apps.storage.encoded import can_encode, encoded, pieces
from dicom import part10
from dicom.errors import DicomError
from dicom.metadata import Metadata
from dicom.sop_classes import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dicom.walk import Walker, window_of
from dicom.windows import FileWindow

AS_STORED: Final = "*"
# PS3.18 8.7.3.5.2: never on the web.
_NOT_ON_THE_WEB: Final = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN})


@dataclass(frozen=True, slots=True)
class File:
    """An instance on its way out: the transfer syntax it goes in, its bytes."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    content: Iterator[bytes]


def goes_in(stored: str, asked: str) -> str:
    """The transfer syntax an instance stored in `stored` is sent in when `asked` is asked for: a UID, `*`, or empty
    for the default; empty when it cannot be sent so."""
    if asked == AS_STORED:
        return EXPLICIT_VR_LITTLE_ENDIAN if stored in _NOT_ON_THE_WEB else stored
    wanted = asked or EXPLICIT_VR_LITTLE_ENDIAN
    if wanted in _NOT_ON_THE_WEB:
        return ""
    if can_encode(stored, wanted):
        return wanted
    return "" if asked else stored  # PS3.18 8.7.3.5.1: what has no codec stays as it is unless something else is asked


def files(found: Instances, asked: str) -> Iterator[File]:
    """Those that can be sent so, in their order. The content of each is read before the next is asked for."""
    for row in found:
        to_syntax = goes_in(row.transfer_syntax_uid, asked)
        if to_syntax:
            yield File(row.sop_instance_uid, to_syntax, _file(row, to_syntax))


def _file(row: Stored, to_syntax: str) -> Iterator[bytes]:
    """Raises Gone, CannotReencode, OSError, before the first byte."""
    with archive.open(row) as opened, encoded(opened, to_syntax) as data:
        meta = part10.meta_group(
            sop_class_uid=row.sop_class_uid,
            sop_instance_uid=row.sop_instance_uid,
            transfer_syntax_uid=to_syntax,
            provenance=None,
        )
        first = True
        for piece in pieces(data):
            yield meta + piece if first else piece
            first = False


def metadata(found: Instances, bulk_data: Callable[[Stored], str]) -> Iterator[bytes]:
    """A JSON array, an instance at a time; `bulk_data` is the path below which an instance's values are found."""
    encoder = Metadata()
    separator = b"["
    for row in found:
        yield separator + _metadata(encoder, row, bulk_data(row))
        separator = b","
    yield b"]" if separator == b"," else b"[]"


def _metadata(encoder: Metadata, row: Stored, bulk_data: str) -> bytes:
    with archive.open(row) as opened:
        window = FileWindow(opened.fd, opened.dataset_offset, opened.size)
        walker = Walker(window_of(window, opened.transfer_syntax_uid), opened.transfer_syntax_uid)
        source = part10.read_meta(opened.fd).provenance
        return encoder.encode(walker, bulk_data, default_character_set=source.character_set if source else "")


def multipart(parts: Iterable[tuple[str, Iterator[bytes]]], boundary: str) -> Iterator[bytes]:
    """RFC 2387: each with its Content-Type."""
    for content_type, content in parts:
        yield part_head(content_type, boundary)
        yield from content
    yield last_boundary(boundary)


def part_head(content_type: str, boundary: str) -> bytes:
    return f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()


def last_boundary(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode()


class NothingToSend(DicomError):
    """Status 406: the instances are there, none of them in this form."""

    http_status = 406
