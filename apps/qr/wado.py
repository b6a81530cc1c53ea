"""What WADO-RS sends (PS3.18 10.4): instances in the transfer syntax asked for, or their metadata; piece by piece."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeVar

from apps.qr.in_part import InPart
from apps.qr.retrieve import Instances, Stored
from apps.storage import archive
from apps.storage.archive import Damaged, Gone
from apps.storage.encoded import can_encode, encoded, pieces
from apps.storage.store import Away
from dicom import part10
from dicom.dimse import FileSlice
from dicom.errors import DicomError, InvalidDataSet
from dicom.metadata import Metadata
from dicom.sop_classes import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dicom.walk import Walker, window_of
from dicom.windows import FileWindow

T = TypeVar("T")

log = logging.getLogger(__name__)

AS_STORED: Final = "*"
_FIRST: Final = 4096  # bytes of an instance that are copied behind the heads of part and file
_EXPECTED: Final = 16  # files
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
    """Those that can be sent so, in their order; what cannot be read is left out, and logged. The content of each is
    read before the next is asked for. Raises Gone or CannotReencode when that is all."""
    failed: DicomError | None = None
    sent = False
    for row in found:
        for to_syntax in _ways(row.transfer_syntax_uid, asked):
            try:
                content = begun(_file(row, to_syntax))
            except Away:  # not even the others
                raise
            except DicomError as error:
                failed = error
            except OSError as error:
                failed = Gone("The file of this instance cannot be read")
                failed.__cause__ = error
            else:
                sent = True
                yield File(row.sop_instance_uid, to_syntax, content)
                break
            log.error("%s cannot be sent in %s: %s", row.sop_instance_uid, to_syntax, failed)
    if failed and not sent:
        raise failed


def _ways(stored: str, asked: str) -> Iterator[str]:
    """Transfer syntaxes, the best first: by default what cannot be decoded goes as it is (PS3.18 8.7.3.5.1)."""
    to_syntax = goes_in(stored, asked)
    if to_syntax:
        yield to_syntax
    if not asked and to_syntax != stored and stored not in _NOT_ON_THE_WEB:
        yield stored


def begun(content: Iterator[T]) -> Iterator[T]:
    """With its first piece read: what fails does so now."""
    return chain([next(content)], content)


def _file(row: Stored, to_syntax: str) -> Iterator[bytes]:
    """Raises Gone, CannotReencode, OSError, before the first byte."""
    with archive.open(row) as opened, encoded(opened, to_syntax) as data:
        meta = _meta(row, to_syntax)
        first = True
        for piece in pieces(data, first=_FIRST):
            yield meta + piece if first else piece
            first = False


def _meta(row: Stored, to_syntax: str) -> bytes:
    return part10.meta_group(
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        transfer_syntax_uid=to_syntax,
        provenance=None,
    )


class StoredFile(InPart):
    """An instance in the transfer syntax it is stored in, as a file."""

    def __init__(self, row: Stored) -> None:
        """Raises Gone, OSError."""
        with ExitStack() as stack:
            self._opened = stack.enter_context(archive.open(row))
            self._meta = _meta(row, self._opened.transfer_syntax_uid)
            self._keep_open(stack, len(self._meta) + self._opened.size)

    def _read(self, start: int, stop: int) -> Iterator[bytes]:
        head = len(self._meta)
        if start < head:
            yield self._meta[start:stop]
        first, last = max(0, start - head), max(0, stop - head)
        yield from pieces(FileSlice(self._opened.fd, self._opened.dataset_offset + first, last - first))


class Documents:
    """The metadata of instances as a JSON array, an instance at a time; `bulk_data` is the path below which an
    instance's values are found. What cannot be read is left out, counted and logged; when that is all, Gone or Damaged
    is raised before the first piece."""

    def __init__(self, found: Iterable[Stored], bulk_data: Callable[[Stored], str]) -> None:
        self.left_out = 0
        self._found, self._bulk_data = found, bulk_data

    def __iter__(self) -> Iterator[bytes]:
        separator = b"["
        for document in self.each():
            yield separator + document
            separator = b","
        yield b"]"

    def each(self) -> Iterator[bytes]:
        """Without the array around them."""
        encoder = Metadata()
        made = False
        failed = Gone("The files are gone")
        for row in _expected(self._found):
            try:
                document = _metadata(encoder, row, self._bulk_data(row))
            except Away:
                raise
            except (DicomError, OSError) as error:
                failed = Damaged(error) if isinstance(error, InvalidDataSet) else failed
                log.error("%s has no metadata: %s", row.sop_instance_uid, error)
                self.left_out += 1
            else:
                made = True
                yield document
        if not made:
            raise failed


def _expected(found: Iterable[Stored]) -> Iterator[Stored]:
    """The disk is told of some of them before their turn comes."""
    waiting: deque[Stored] = deque()
    for row in found:
        archive.expect(row)
        waiting.append(row)
        if len(waiting) > _EXPECTED:
            yield waiting.popleft()
    yield from waiting


def _metadata(encoder: Metadata, row: Stored, bulk_data: str) -> bytes:
    with archive.open(row) as opened:
        window = FileWindow(opened.fd, opened.dataset_offset, opened.size)
        syntax = opened.transfer_syntax_uid
        walker = Walker(window_of(window, syntax), syntax, ahead=archive.header_size(row))
        return encoder.encode(walker, bulk_data, default_character_set=lambda: _character_set(opened))


def _character_set(opened: archive.OpenInstance) -> str:
    """Of data sets that name none, as the rules of the peer had it when they came."""
    source = part10.read_meta(opened.fd).provenance
    return source.character_set if source else ""


def multipart(parts: Iterable[tuple[str, Iterator[bytes]]], boundary: str) -> Iterator[bytes]:
    """RFC 2387: each with its Content-Type."""
    for content_type, content in parts:
        yield part_head(content_type, boundary) + next(content, b"")
        yield from content
    yield last_boundary(boundary)


def part_head(content_type: str, boundary: str, location: str = "") -> bytes:
    head = f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Location: {location}\r\n\r\n".encode() if location else f"{head}\r\n".encode()


def last_boundary(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode()


class NothingToSend(DicomError):
    """Status 406: the instances are there, none of them in this form."""

    http_status = 406
