"""Instances that come as metadata with their bulk data in parts of their own (PS3.18 10.5.1, 8.7.3)."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import orjson
from django.conf import settings

from apps.storage.incoming import CannotWrite, our_disk
from apps.storage.intake import SOP_CLASS_UID, SOP_INSTANCE_UID, Refused, space
from apps.storage.space import Reservation
from apps.storage.stow.outcome import Outcome, Sending
from dicom import status
from dicom.assembling import Assembled, BulkData, assemble, uid_of
from dicom.errors import DicomError, InvalidDataSet
from dicom.jpeg import Frame, read_frame
from dicom.media import JSON_OFFERS
from dicom.multipart import ContentType, Part
from dicom.sop_classes import is_encapsulated

_LONGEST_METADATA: Final = 8 << 20  # bytes of a request
_CHUNK: Final = 1 << 20
_PIXEL_DATA: Final = "7FE00010"
# PS3.18 Table 8.7.3-5: the default of each.
_SYNTAXES: Final[Mapping[str, str]] = {
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/x-dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jxl": "1.2.840.10008.1.2.4.110",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mpeg2": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
}


class InvalidMetadata(DicomError):
    """The metadata of a request cannot be read."""


class TooMuchMetadata(DicomError):
    http_status = 413


@dataclass(frozen=True, slots=True)
class Stretch:
    """Of the file in which a request's bulk data is gathered."""

    offset: int
    size: int


@dataclass(slots=True)
class _Location:
    media: ContentType
    stretches: list[Stretch] = field(default_factory=list)
    used: bool = False
    lost: str = ""  # why not all of it is here


class Described:
    """What has come of a request, until all of it has: metadata in memory, bulk data in a file without a name."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._data_sets: list[Any] = []
        self._metadata = 0
        self._locations: dict[str, _Location] = {}
        self._reservation = Reservation(space())
        self._fd, self._end = -1, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reservation.close()
        if self._fd >= 0:
            os.close(self._fd)

    def take(self, part: Part, media: ContentType) -> None:
        """Raises InvalidMetadata, TooMuchMetadata, Refused; what reading the part raises flies."""
        if media.type in JSON_OFFERS:
            self._take_metadata(part)
            return
        where = part.headers.get("content-location", "")
        if not where:
            raise Refused(status.STORE_CANNOT_UNDERSTAND, f"A part of type {media.type[:40]} without Content-Location")
        location = self._locations.setdefault(where, _Location(media))
        try:
            location.stretches.append(self._gathered(part))
        except CannotWrite as error:
            location.lost = str(error)
            raise Refused(status.STORE_OUT_OF_RESOURCES, str(error)) from error

    def _take_metadata(self, part: Part) -> None:
        text = bytearray()
        for piece in part:
            text += piece
            if self._metadata + len(text) > _LONGEST_METADATA:
                raise TooMuchMetadata(
                    f"More than {_LONGEST_METADATA >> 20} MiB of metadata; send fewer instances at once"
                )
        self._metadata += len(text)
        try:
            data_sets = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidMetadata("The metadata is no JSON") from error
        self._data_sets += data_sets if isinstance(data_sets, list) else [data_sets]

    def _gathered(self, part: Part) -> Stretch:
        begin = self._end
        for piece in part:
            with our_disk:
                if self._fd < 0:
                    self._fd = _nameless()
                self._reservation.use(len(piece))
                done = 0
                while done < len(piece):
                    done += os.pwrite(self._fd, piece[done:], self._end + done)
            self._end += len(piece)
        return Stretch(begin, self._end - begin)

    def outcomes(self) -> Iterator[Outcome]:
        for data_set in self._data_sets:
            yield self._stored(data_set)
        for location in self._locations.values():
            if not location.used:
                yield Outcome(status.STORE_CANNOT_UNDERSTAND, "No metadata refers to this part")

    def _stored(self, data_set: Any) -> Outcome:
        names = {
            "sop_class_uid": uid_of(data_set, SOP_CLASS_UID),
            "sop_instance_uid": uid_of(data_set, SOP_INSTANCE_UID),
        }
        try:
            made = assemble(self._completed(data_set), self._bulk_data)
        except InvalidDataSet as error:
            return Outcome(status.STORE_CANNOT_UNDERSTAND, str(error), **names)
        except Refused as refused:
            return Outcome(refused.status, str(refused), **names)
        return self._sending.receive(
            **names, transfer_syntax_uid=made.transfer_syntax_uid, fragments=self._fragments(made)
        )

    def _bulk_data(self, uri: str) -> BulkData | None:
        """Raises Refused."""
        location = self._locations.get(uri)
        if location is None:
            return None
        location.used = True
        if location.lost:  # half an image is none
            raise Refused(status.STORE_OUT_OF_RESOURCES, location.lost)
        return BulkData(location.stretches, self._transfer_syntax(location))

    def _transfer_syntax(self, location: _Location) -> str:
        """Empty where the bytes are the value itself."""
        media = location.media
        said = media.parameters.get("transfer-syntax", "")
        if media.type not in _SYNTAXES:
            return said if is_encapsulated(said) else ""
        # Who does not say so rarely means the default.
        frame = None if said else self._frame(location)
        return frame.transfer_syntax_uid if frame else said or _SYNTAXES[media.type]

    def _frame(self, location: _Location) -> Frame | None:
        if location.media.type != "image/jpeg" or not location.stretches or not location.stretches[0].size:
            return None
        first = location.stretches[0]
        return read_frame(os.pread(self._fd, min(_CHUNK, first.size), first.offset))

    def _completed(self, data_set: Any) -> Any:
        """With what the sender of a JPEG may leave out (PS3.18 10.5.2)."""
        pixels = data_set.get(_PIXEL_DATA) if isinstance(data_set, dict) else None
        uri = pixels.get("BulkDataURI") if isinstance(pixels, dict) else None
        location = self._locations.get(uri) if isinstance(uri, str) else None
        frame = self._frame(location) if location else None
        return frame.described() | data_set if frame else data_set

    def _fragments(self, made: Assembled) -> Iterator[list[memoryview]]:
        for piece in made.pieces:
            if isinstance(piece, bytes):
                yield [memoryview(piece)]
                continue
            assert isinstance(piece, Stretch)
            for offset in range(piece.offset, piece.offset + piece.size, _CHUNK):
                size = min(_CHUNK, piece.offset + piece.size - offset)
                with our_disk:
                    data = os.pread(self._fd, size, offset)
                yield [memoryview(data)]


def _nameless() -> int:
    settings.SPOOL.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.SPOOL) as file:
        return os.dup(file.fileno())
