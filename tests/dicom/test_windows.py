"""The scan of what is large, or deflated: no more is read or inflated than it needs."""

import os
import zlib
from pathlib import Path

import pytest

from dicom.errors import InvalidDataSet
from dicom.header import BytesWindow, FileWindow, scan
from tests.dicom.data_sets import DEFLATED, EXPLICIT, IMPLICIT, Writer
from tests.dicom.scanning import (
    DATA_SETS,
    EXPLICIT_WRITER,
    NATIVE,
    PATIENT_NAME,
    PIXEL_DATA,
    after,
    before,
    both_found,
    read,
)


class Watched(BytesWindow):
    """Counts what is read."""

    def __init__(self, buffer: bytes) -> None:
        super().__init__(buffer)
        self.read: list[int] = []

    def pread(self, size: int, offset: int) -> bytes:
        found = super().pread(size, offset)
        self.read.append(len(found))
        return found


@pytest.mark.parametrize("syntax", NATIVE)
def test_a_header_of_many_megabytes_is_skipped_and_never_loaded(syntax: str) -> None:
    write = Writer(syntax)
    huge = write.element(0x00091010, "OB", bytes(20_000_000)) + write.element(0x00091011, "SQ", bytes(20_000_000))
    source = Watched(before(write) + huge + after(write) + write.element(PIXEL_DATA, "OW", bytes(1_000_000)))
    header = scan(source, transfer_syntax_uid=syntax)
    assert both_found(header)
    assert header.pixel_offset == source.size - 1_000_000 - (8 if syntax == IMPLICIT else 12)
    assert sum(source.read) < 400_000


def test_offsets_beyond_four_gigabytes_are_right(tmp_path: Path) -> None:
    write, path, huge = EXPLICIT_WRITER, tmp_path / "file", 0xFFFFFFF0
    head = before(write) + write.head(0x00091010, "OB", huge)
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + huge)
        file.write(after(write) + write.head(PIXEL_DATA, "OW", huge))
        file.truncate(file.tell() + huge)
    with path.open("rb") as opened:
        header = scan(FileWindow(opened.fileno(), 0, path.stat().st_size), transfer_syntax_uid=EXPLICIT)
    assert both_found(header)
    assert header.pixel_offset == len(head) + huge + len(after(write))


def test_a_data_set_of_many_small_elements_is_read_window_by_window() -> None:
    write = EXPLICIT_WRITER
    small = b"".join(write.element(0x00091000 + n % 0xF000, "LO", b"ABCD") for n in range(50_000))
    sequence = write.sequence(0x00091000, small, small, defined=False)
    source = Watched(before(write) + sequence + after(write))
    assert both_found(scan(source, transfer_syntax_uid=EXPLICIT))
    assert max(source.read) <= 1 << 16
    assert sum(source.read) < 1.2 * source.size


def test_a_file_shorter_than_it_was_said_to_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(before(EXPLICIT_WRITER) + EXPLICIT_WRITER.head(PATIENT_NAME, "PN", 50) + bytes(20))
    with path.open("rb") as opened, pytest.raises(InvalidDataSet) as caught:
        scan(FileWindow(opened.fileno(), 0, 10_000), transfer_syntax_uid=EXPLICIT)
    assert caught.value.offending_element == PATIENT_NAME


def deflate(data_set: bytes, bits: int = -zlib.MAX_WBITS) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data_set) + packer.flush()


@pytest.mark.parametrize("bits", [-zlib.MAX_WBITS, zlib.MAX_WBITS])
def test_a_deflated_data_set_is_inflated_up_to_its_pixels(bits: int) -> None:
    write = EXPLICIT_WRITER
    noise = os.urandom(300_000)
    sequence = write.sequence(0x00091010, write.element(0x00091011, "OB", noise) * 3, defined=False)
    data_set = before(write) + sequence + after(write) + write.element(PIXEL_DATA, "OW", bytes(5_000_000))
    header = read(deflate(data_set, bits), DEFLATED)
    assert both_found(header)
    assert header.pixel_offset is None
    assert header.warnings == ()
    assert header.actual_transfer_syntax_uid == DEFLATED


def test_a_deflated_data_set_that_is_cut_short_is_refused() -> None:
    write = EXPLICIT_WRITER
    packed = deflate(before(write) + write.element(0x00091010, "OB", os.urandom(100_000)) + after(write))
    for length in (50_000, len(packed) - 30):
        with pytest.raises(InvalidDataSet):
            read(packed[:length], DEFLATED)


def test_a_deflated_bomb_before_the_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom.windows.INFLATED_CAP", 2_000_000)
    write = EXPLICIT_WRITER
    packed = deflate(before(write) + write.element(0x00091010, "OB", bytes(50_000_000)) + after(write))
    with pytest.raises(InvalidDataSet, match="too large"):
        read(packed, DEFLATED)


def test_a_file_gives_what_memory_gives(tmp_path: Path) -> None:
    for original, data_set, syntax in DATA_SETS:
        path = tmp_path / "file"
        path.write_bytes(b"HEAD" + data_set + b"tail")
        with path.open("rb") as opened:
            window = FileWindow(opened.fileno(), 4, len(data_set))
            try:
                expected = read(data_set, syntax)
            except InvalidDataSet as error:
                with pytest.raises(InvalidDataSet, match=str(error).replace("(", r"\(").replace(")", r"\)")):
                    scan(window, transfer_syntax_uid=syntax)
            else:
                assert scan(window, transfer_syntax_uid=syntax) == expected, original.name
