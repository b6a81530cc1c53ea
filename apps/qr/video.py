"""The stream of a stored video as it is (PS3.5 8.2.7, 8.2.8): what browsers play, when it is in an MP4 container."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from apps.qr.in_part import InPart
from apps.qr.retrieve import Stored
from apps.storage import archive
from dicom.errors import DicomError
from dicom.frames import Encapsulated, locate, read_fragments
from dicom.windows import FileWindow

MP4: Final = "video/mp4"
_BEGINNING: Final = slice(4, 8)  # of the container (ISO 14496-12 4.3)


class NotMp4(DicomError):
    """Status 406: the stream is in another container, or in none."""

    http_status = 406


class Video(InPart):
    def __init__(self, row: Stored) -> None:
        """Raises NotMp4, NoPixels, CannotReencode, Gone, OSError."""
        with ExitStack() as stack:
            opened = stack.enter_context(archive.open(row))
            self._window = FileWindow(opened.fd, opened.dataset_offset, opened.size)
            where = locate(self._window, opened.transfer_syntax_uid)
            self._fragments = where.all_fragments(self._window) if isinstance(where, Encapsulated) else []
            size = sum(length for _, length in self._fragments)
            if b"".join(self._read(0, min(size, 8)))[_BEGINNING] != b"ftyp":
                raise NotMp4("The video is stored in another container than MP4; the instance can be retrieved")
            self._keep_open(stack, size)

    def _read(self, start: int, stop: int) -> Iterator[bytes]:
        begin = 0
        for offset, length in self._fragments:
            first, last = max(start, begin), min(stop, begin + length)
            if first < last:
                yield from read_fragments(self._window, [(offset + first - begin, last - first)])
            begin += length
