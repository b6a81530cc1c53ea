"""A stored data set in the transfer syntax that somebody takes: as it is, with other VRs, decoded only at last."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.storage.archive import OpenInstance
from dicom import pixels, reencode
from dicom.dimse import FileSlice
from dicom.windows import FileWindow

Encoded = FileSlice | Iterator[bytes]

_DECODE_SECONDS = 600
_CHUNK = 1 << 20


def can_encode(from_syntax: str, to_syntax: str) -> bool:
    return reencode.can_reencode(from_syntax, to_syntax) or pixels.can_decompress(from_syntax, to_syntax)


@contextmanager
def encoded(opened: OpenInstance, to_syntax: str) -> Iterator[Encoded]:
    """As long as the block lasts. Raises CannotReencode, before the first byte."""
    stored = opened.transfer_syntax_uid
    if stored == to_syntax:
        yield FileSlice(opened.fd, opened.dataset_offset, opened.size)
    elif reencode.can_reencode(stored, to_syntax):
        window = FileWindow(opened.fd, opened.dataset_offset, opened.size)
        yield reencode.reencode(window, from_syntax=stored, to_syntax=to_syntax)
    else:
        with _decompressed(opened, to_syntax) as data:
            yield data


@contextmanager
def _decompressed(opened: OpenInstance, to_syntax: str) -> Iterator[FileSlice]:
    with tempfile.TemporaryDirectory(prefix="pacs-decoded-") as directory:
        output = Path(directory) / "decoded"
        pixels.decompress(
            opened.fd,
            opened.dataset_offset,
            opened.transfer_syntax_uid,
            to_syntax,
            output,
            size=opened.size,
            timeout=_DECODE_SECONDS,
        )
        with output.open("rb") as file:
            yield FileSlice(file.fileno(), 0, output.stat().st_size)


def pieces(data: Encoded, *, first: int = _CHUNK) -> Iterator[bytes]:
    """For who writes to something else than an association; `first`: how much of a file comes first."""
    if not isinstance(data, FileSlice):
        yield from data
        return
    offset, end, most = data.offset, data.offset + data.size, first
    while offset < end and (chunk := os.pread(data.fd, min(most, end - offset), offset)):
        yield chunk
        offset += len(chunk)
        most = _CHUNK
