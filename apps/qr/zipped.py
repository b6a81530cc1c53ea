"""Instances as one zip, made while it is sent."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from apps.qr.wado import File


class _Pipe(io.RawIOBase):
    """What a ZipFile writes to: it cannot seek, and gives away what it has."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zipped(files: Iterator[File]) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            info = zipfile.ZipInfo(f"{file.sop_instance_uid}.dcm")
            with archive.open(info, "w", force_zip64=True) as entry:
                for piece in file.content:
                    entry.write(piece)
                    yield pipe.taken()
    yield pipe.taken()
