"""Where frames are, and that nothing else is read to find out."""

import struct

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended

from dicom.elements import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicom.encoding import ElementIn, encode_elements
from dicom.errors import CannotReencode
from dicom.frames import Encapsulated, NoPixels, NoSuchFrame, locate, opened
from dicom.reencode import reencode
from dicom.windows import BytesWindow, Readable

JPEG = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA = 0x7FE00008, 0x7FE00009, 0x7FE00010
DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


class Counting:
    """A window that counts what is read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)
        self.reads: list[int] = []

    def pread(self, size: int, offset: int, /) -> bytes:
        self.reads.append(size)
        return self.data[offset : offset + size]


class Sparse:
    """A window on a huge data set of which a few pieces are there, zeros between."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self.size, self.pieces, self.read = size, pieces, 0

    def pread(self, size: int, offset: int, /) -> bytes:
        size = max(0, min(size, self.size - offset))
        self.read += size
        found = bytearray(size)
        for at, piece in self.pieces.items():
            start, stop = max(at, offset), min(at + len(piece), offset + size)
            if start < stop:
                found[start - offset : stop - offset] = piece[start - at : stop - at]
        return bytes(found)


def header(
    *, rows: int = 2, columns: int = 3, frames: str | None = "1", bits: int = 8, samples: int = 1, **more: str
) -> list[ElementIn]:
    elements: list[ElementIn] = [
        (0x00080018, "UI", b"1.2.3\0"),
        (0x00280002, "US", struct.pack("<H", samples)),
        (0x00280004, "CS", more.get("photometric", "MONOCHROME2").encode()),
        (0x00280010, "US", struct.pack("<H", rows)),
        (0x00280011, "US", struct.pack("<H", columns)),
        (0x00280100, "US", struct.pack("<H", bits)),
        (0x00280101, "US", struct.pack("<H", bits)),
    ]
    if frames is not None:
        elements.insert(3, (0x00280008, "IS", frames.encode()))
    return elements


def native(pixels: bytes, *, vr: str = "OB", tag: int = PIXEL_DATA, **described: object) -> bytes:
    return encode_elements([*header(**described), (tag, vr, pixels)], EXPLICIT_LITTLE)  # type: ignore[arg-type]


def encapsulated(value: bytes, *, tables: tuple[ElementIn, ...] = (), **described: object) -> bytes:
    begin = encode_elements([*header(**described), *tables], EXPLICIT_LITTLE)  # type: ignore[arg-type]
    return begin + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + value + DELIMITER


def items(*fragments: bytes) -> bytes:
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(fragment)) + fragment for fragment in fragments)


def table(*offsets: int) -> bytes:
    return struct.pack(f"<{len(offsets)}I", *offsets)


def frame(window: Readable, syntax: str, index: int) -> bytes:
    view = opened(window, syntax)
    return b"".join(locate(view, syntax).pieces(view, index))


def packed(bits: list[bool], size: int) -> bytes:
    """The first is the lowest of the first byte (PS3.5 8.1.1)."""
    return int("".join("01"[bit] for bit in reversed(bits)), 2).to_bytes(size, "little")


def frames(data: bytes, syntax: str, count: int) -> list[bytes]:
    return [frame(BytesWindow(data), syntax, index) for index in range(count)]


# Native


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
@pytest.mark.parametrize(("vr", "bits"), [("OB", 8), ("OW", 16), ("OW", 8)])
def test_native_frames_are_where_they_are_computed_to_be(syntax: str, vr: str, bits: int) -> None:
    own = [bytes(range(start, start + 6 * bits // 8)) for start in (0, 50, 100, 150, 200)]
    whole = b"".join(own)
    data = native(whole + b"\0" * (len(whole) % 2), vr=vr, frames="5", bits=bits)
    sent = b"".join(reencode(BytesWindow(data), from_syntax=EXPLICIT_LITTLE, to_syntax=syntax))
    assert frames(sent, syntax, 5) == own


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_frames_of_an_odd_number_of_bytes_follow_each_other_without_padding(syntax: str) -> None:
    own = [bytes([number]) * 15 for number in (1, 2, 3)]
    data = native(b"".join(own) + b"\0", vr="OW", rows=3, columns=5, frames="3")
    sent = b"".join(reencode(BytesWindow(data), from_syntax=EXPLICIT_LITTLE, to_syntax=syntax))
    assert frames(sent, syntax, 3) == own


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG])
@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (3, 5), (1, 1), (4, 4), (100, 111)])
def test_single_bits_go_on_from_frame_to_frame_and_each_begins_with_its_own(
    syntax: str, rows: int, columns: int
) -> None:
    size, count = rows * columns, 5
    bits = [(7 * n * n + n // 3) % 5 < 2 for n in range(size * count)]
    data = native(
        packed(bits, (size * count + 15) // 16 * 2), vr="OW", rows=rows, columns=columns, bits=1, frames=str(count)
    )
    sent = b"".join(reencode(BytesWindow(data), from_syntax=EXPLICIT_LITTLE, to_syntax=syntax))
    for index, found in enumerate(frames(sent, syntax, count)):
        own = bits[index * size : (index + 1) * size]
        assert found == packed(own, (size + 7) // 8)


def test_an_overlap_of_chunks_loses_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom.frames.CHUNK", 8)
    bits = 37 * 41
    number = int("10110111000101" * 400, 2) & ((1 << 3 * bits) - 1)
    data = native(number.to_bytes((3 * bits + 15) // 16 * 2, "little"), rows=37, columns=41, bits=1, frames="3")
    for index, found in enumerate(frames(data, EXPLICIT_LITTLE, 3)):
        assert int.from_bytes(found, "little") == number >> index * bits & ((1 << bits) - 1)


@pytest.mark.parametrize(("tag", "vr", "size"), [(FLOAT_PIXEL_DATA, "OF", 4), (DOUBLE_FLOAT_PIXEL_DATA, "OD", 8)])
def test_pixels_of_floating_point_are_pixels(tag: int, vr: str, size: int) -> None:
    own = [struct.pack(f"<6{'f' if size == 4 else 'd'}", *range(n, n + 6)) for n in (1, 2)]
    for bits in (0, 8 * size):
        data = native(b"".join(own), tag=tag, vr=vr, frames="2", bits=bits)
        for syntax in (EXPLICIT_LITTLE, EXPLICIT_BIG):
            sent = b"".join(reencode(BytesWindow(data), from_syntax=EXPLICIT_LITTLE, to_syntax=syntax))
            assert frames(sent, syntax, 2) == own


def test_native_colour_with_half_the_chrominance_takes_two_thirds() -> None:
    own = [bytes([n]) * 2 * 4 * 2 for n in (1, 2)]
    data = native(b"".join(own), rows=2, columns=4, samples=3, frames="2", photometric="YBR_FULL_422")
    assert frames(data, EXPLICIT_LITTLE, 2) == own


def test_a_frame_of_a_native_image_costs_one_read() -> None:
    window = Counting(native(bytes(100_000), rows=100, columns=100, frames="10"))
    found = locate(window, EXPLICIT_LITTLE)
    window.reads.clear()
    assert len(b"".join(found.pieces(window, 7))) == 10_000
    assert window.reads == [10_000]


# Encapsulated

J2K = [b"\xff\x4f\xff\x51" + bytes([n]) * 20 for n in range(6)]


@pytest.mark.parametrize("has_bot", [True, False])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_of_one_fragment_or_more_are_told_apart(has_bot: bool, fragments: int) -> None:
    data = encapsulated(encapsulate(J2K, fragments_per_frame=fragments, has_bot=has_bot), frames="6")
    assert frames(data, JPEG_2000, 6) == J2K


def test_an_extended_offset_table_is_used() -> None:
    value, offsets, lengths = encapsulate_extended(J2K)
    tables: list[ElementIn] = [(0x7FE00001, "OV", offsets), (0x7FE00002, "OV", lengths)]
    total: ElementIn = (0x7FE00003, "UV", struct.pack("<Q", 1))
    for described in (tables, [*tables, total]):
        window = Counting(encapsulated(value, tables=tuple(described), frames="6"))
        found = locate(window, JPEG_2000)
        assert isinstance(found, Encapsulated)
        window.reads.clear()
        assert b"".join(found.pieces(window, 4)) == J2K[4]
        assert len(window.reads) <= 3


@pytest.mark.parametrize("frames_said", ["1", None, "0", " 1 ", "+1"])
def test_all_fragments_of_a_single_image_are_its_frame(frames_said: str | None) -> None:
    for bot in (b"", table(0)):
        data = encapsulated(items(bot, b"ab", b"cd", b"", b"ef"), frames=frames_said)
        assert frames(data, RLE, 1) == [b"abcdef"]


@pytest.mark.parametrize(
    "bot",
    [
        table(0, 28, 56),
        table(0, 32, 64, 96, 128, 1 << 31),
        table(0, 32, 32, 96, 128, 160),
        table(32, 64, 96, 128, 160, 192),
        table(0, 32, 31, 96, 128, 160),
        table(0, 33, 64, 96, 128, 160),
        table(0, 36, 64, 96, 128, 160),
        table(0, 64, 96, 128, 160, 192),
        table(0, 4, 8, 12, 16, 20),
        table(*range(0, 32 * 7, 32)),
        table(0, 1, 2, 3, 4, 0xFFFFFFFF),
        b"\xff" * 24,
        b"\1" * 24,
        b"\0" * 23 + b"\1",
    ],
)
def test_an_offset_table_that_lies_is_not_believed(bot: bytes) -> None:
    assert frames(encapsulated(items(bot, *J2K), frames="6"), JPEG_2000, 6) == J2K
    offsets = struct.pack(f"<{len(bot) // 4}Q", *struct.unpack(f"<{len(bot) // 4}I", bot))
    tables: tuple[ElementIn, ...] = ((0x7FE00001, "OV", offsets), (0x7FE00002, "OV", offsets))
    assert frames(encapsulated(items(b"", *J2K), tables=tables, frames="6"), JPEG_2000, 6) == J2K


def test_with_an_offset_table_no_pixel_of_another_frame_is_read() -> None:
    """2,000 frames of 250 KB."""
    size, count = 250_000, 2000
    offsets = [n * (size + 8) for n in range(count)]
    begin = encapsulated(items(table(*offsets)), frames=str(count))[:-8]
    item = struct.pack("<HHI", 0xFFFE, 0xE000, size)
    pieces = {0: begin, **{len(begin) + at: item for at in offsets}}
    end = len(begin) + count * (size + 8)
    window = Sparse(end + 8, pieces | {end: DELIMITER})
    found = locate(window, JPEG_2000)
    before = window.read
    assert before < 200_000
    assert found.weight == count
    assert len(b"".join(found.pieces(window, 1499))) == size
    assert window.read - before < size + 100


def test_a_walk_reads_the_heads_of_fragments_only() -> None:
    size, count = 250_000, 300
    begin = encapsulated(items(b""), frames=str(count))[:-8]
    item = struct.pack("<HHI", 0xFFFE, 0xE000, size)
    end = len(begin) + count * (size + 8)
    pieces = {0: begin, **{len(begin) + n * (size + 8): item for n in range(count)}, end: DELIMITER}
    window = Sparse(end + 8, pieces)
    assert locate(window, JPEG_2000).weight == count
    assert window.read < 100_000


def test_a_million_fragments_are_walked_in_bounded_memory() -> None:
    count = 1_000_000
    data = encapsulated(items(b"") + items(b"ab") * count, frames=str(count))
    window = BytesWindow(data)
    found = locate(window, RLE)
    assert found.weight == count
    assert b"".join(found.pieces(window, count - 1)) == b"ab"


def test_more_fragments_than_any_image_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom.frames._MOST_FRAGMENTS", 3)
    with pytest.raises(CannotReencode, match="too many"):
        locate(BytesWindow(encapsulated(items(b"", *J2K), frames="6")), JPEG_2000)
    monkeypatch.setattr("dicom.frames._MOST_OF_A_FRAME", 3)
    with pytest.raises(CannotReencode, match="too many"):
        frame(BytesWindow(encapsulated(items(b"", *J2K))), JPEG_2000, 0)


# What is no image, or lies


@pytest.mark.parametrize("said", ["-1", str(1 << 31), "abc", "1.5", "1\\2", "٣", "9" * 5000])
def test_a_number_of_frames_that_is_none_is_an_error(said: str) -> None:
    for data, syntax in (
        (native(bytes(6), frames=said), EXPLICIT_LITTLE),
        (encapsulated(items(b"", b"ab"), frames=said), RLE),
    ):
        with pytest.raises(CannotReencode, match="number of frames"):
            locate(BytesWindow(data), syntax)


@pytest.mark.parametrize("index", [-1, 6, 1 << 40])
def test_a_frame_that_nobody_claims_is_not_found(index: int) -> None:
    for data, syntax in (
        (native(bytes(36), frames="6"), EXPLICIT_LITTLE),
        (encapsulated(items(b"", *J2K), frames="6"), JPEG_2000),
    ):
        with pytest.raises(NoSuchFrame):
            frame(BytesWindow(data), syntax, index)


def test_frames_that_are_claimed_and_are_not_there_cost_nothing() -> None:
    most = str((1 << 31) - 1)
    for data, syntax in (
        (native(bytes(12), frames=most), EXPLICIT_LITTLE),
        (encapsulated(items(b"", *J2K[:2]), frames=most), JPEG_2000),
        (native(b"ten bytes!", rows=65535, columns=65535, bits=16), EXPLICIT_LITTLE),
    ):
        with pytest.raises(CannotReencode, match="header says"):
            frame(BytesWindow(data), syntax, 2 if most.encode() in data else 0)
    assert frames(native(bytes(12), frames=most), EXPLICIT_LITTLE, 2) == [bytes(6)] * 2
    assert frames(encapsulated(items(b"", *J2K[:2]), frames=most), JPEG_2000, 2) == J2K[:2]


def test_fragments_that_nothing_tells_apart_are_an_error() -> None:
    with pytest.raises(CannotReencode, match="begins"):
        locate(BytesWindow(encapsulated(items(b"", b"ab", b"cd", b"ef"), frames="2")), RLE)
    with pytest.raises(CannotReencode, match="begins"):
        locate(BytesWindow(encapsulated(items(b"", b"no", *J2K[:2]), frames="2")), JPEG_2000)


def test_what_has_no_pixels_has_no_frames() -> None:
    with pytest.raises(NoPixels):
        locate(BytesWindow(encode_elements([(0x00080018, "UI", b"1.2.3\0")], EXPLICIT_LITTLE)), EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (native(bytes(6)), RLE),
        (encapsulated(items(b"", b"ab")), EXPLICIT_LITTLE),
        (native(bytes(6), rows=0), EXPLICIT_LITTLE),
        (native(bytes(6), bits=0), EXPLICIT_LITTLE),
        (encapsulated(b""), RLE),
        (encapsulated(items(b"")), RLE),
        (encapsulated(items(b"") + b"\xfe\xff\x00\xe0\xff\xff\xff\x7f"), RLE),
        (encapsulated(items(b"") + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"), RLE),
        (encapsulated(b"\xfe\xff\x00\xe0\xff\xff\xff\x7f"), RLE),
        (encapsulated(items(b"", b"ab"))[:-8], RLE),
        (encapsulated(items(b"", b"ab"), frames="2")[:-9], RLE),
        (native(bytes(6))[:-3], EXPLICIT_LITTLE),
        (b"garbage", EXPLICIT_LITTLE),
        (b"garbage", DEFLATED_LITTLE),
    ],
)
def test_a_damaged_data_set_is_an_honest_error(data: bytes, syntax: str) -> None:
    with pytest.raises(CannotReencode):
        frame(BytesWindow(data), syntax, 0)
