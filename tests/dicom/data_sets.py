"""Data sets written by hand, as real and hostile peers write them; pydicom's test files."""

from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pydicom

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"

UNDEFINED = 0xFFFFFFFF
LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])


class Writer:
    """Elements in one encoding."""

    def __init__(self, transfer_syntax_uid: str = EXPLICIT) -> None:
        self.implicit = transfer_syntax_uid == IMPLICIT
        self.order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"

    def head(self, tag: int, vr: str, length: int) -> bytes:
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit:
            return pack(f"{self.order}HHI", group, element, length)
        if vr in LONG:
            return pack(f"{self.order}HH2sHI", group, element, vr.encode(), 0, length)
        return pack(f"{self.order}HH2sH", group, element, vr.encode(), length)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        return self.head(tag, vr, len(value)) + value

    def item(self, content: bytes, *, defined: bool = True) -> bytes:
        if defined:
            return pack(f"{self.order}HHI", 0xFFFE, 0xE000, len(content)) + content
        return pack(f"{self.order}HHI", 0xFFFE, 0xE000, UNDEFINED) + content + self.delimiter(0xE00D)

    def delimiter(self, element: int) -> bytes:
        return pack(f"{self.order}HHI", 0xFFFE, element, 0)

    def sequence(self, tag: int, *items: bytes, defined: bool = True, vr: str = "SQ") -> bytes:
        content = b"".join(self.item(item, defined=defined) for item in items)
        if defined:
            return self.head(tag, vr, len(content)) + content
        return self.head(tag, vr, UNDEFINED) + content + self.delimiter(0xE0DD)


def files() -> list[Path]:
    """All that pydicom ships: 205, some of them broken, some no DICOM at all."""
    data = Path(pydicom.__file__).parent / "data"
    return sorted(path for path in data.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))


def file(name: str) -> Path:
    return next(path for path in files() if path.name == name)


def data_sets() -> Iterator[tuple[Path, bytes, str]]:
    """File, data set and transfer syntax of those that a plain reader of PS3.10 can open."""
    for path in files():
        raw = path.read_bytes()
        if raw[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
            continue
        start = 144 + int.from_bytes(raw[140:144], "little")
        syntax = raw[:start].partition(b"\x02\x00\x10\x00UI")[2]
        uid = syntax[2 : 2 + int.from_bytes(syntax[:2], "little")].strip(b"\0 ").decode("ascii")
        if uid:
            yield path, raw[start:], uid
