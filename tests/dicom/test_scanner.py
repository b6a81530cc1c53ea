"""The fast scan of data sets encoded as WIRE 9 lists: it steps over what it need not know."""

from struct import pack

import pytest

from dicom.errors import InvalidDataSet
from tests.dicom.data_sets import BIG_ENDIAN, EXPLICIT, IMPLICIT, JPEG_LOSSLESS, UNDEFINED, Writer, file
from tests.dicom.scanning import (
    EXPLICIT_WRITER,
    NATIVE,
    PATIENT_ID,
    PATIENT_NAME,
    PIXEL_DATA,
    ROWS,
    SOP_INSTANCE_UID,
    after,
    before,
    both_found,
    read,
)

PRIVATE_SEQUENCE = 0x00291010


@pytest.mark.parametrize("syntax", NATIVE)
def test_group_lengths_are_stepped_over(syntax: str) -> None:
    write = Writer(syntax)
    length = write.element(0x00080000, "UL", pack(f"{write.order}I", 14))
    header = read(length + before(write) + write.element(0x00200000, "UL", bytes(4)) + after(write), syntax)
    assert both_found(header)
    assert header.warnings == ()


@pytest.mark.parametrize("syntax", NATIVE)
def test_odd_lengths_are_taken_as_they_are(syntax: str) -> None:
    write = Writer(syntax)
    odd = write.element(SOP_INSTANCE_UID, "UI", b"1.2.3") + write.element(PATIENT_ID, "LO", b"A")
    header = read(odd + after(write), syntax)
    assert both_found(header)
    assert header.text(PATIENT_ID) == "A"


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_command_and_file_meta_elements_inside_the_data_set_are_stepped_over_with_a_warning(syntax: str) -> None:
    write = Writer(syntax)
    command = Writer(IMPLICIT).element(0x00000000, "UL", bytes([4, 0, 0, 0]))
    meta = EXPLICIT_WRITER.element(0x00020000, "UL", bytes([26, 0, 0, 0]))
    meta += EXPLICIT_WRITER.element(0x00020001, "OB", b"\0\1")
    meta += EXPLICIT_WRITER.element(0x00020010, "UI", b"1.2.840.10008.1.2\0")
    header = read(command + meta + before(write) + after(write), syntax)
    assert both_found(header)
    assert header.warnings == ("Group 0000 in the data set", "Group 0002 in the data set")
    assert header.implicit == (syntax == IMPLICIT)


def test_a_whole_file_sent_as_a_data_set_is_read_with_a_warning() -> None:
    raw = file("CT_small.dcm").read_bytes()
    header = read(raw, EXPLICIT)
    assert header.text(PATIENT_ID) == "1CT1"
    assert "File preamble in the data set" in header.warnings
    assert header.pixel_offset == raw.rindex(b"\xe0\x7f\x10\x00OW")


@pytest.mark.parametrize("syntax", NATIVE)
def test_trailing_padding_is_no_fault(syntax: str) -> None:
    write = Writer(syntax)
    padding = write.element(0xFFFCFFFC, "OB", bytes(64))
    assert read(before(write) + after(write) + padding, syntax).warnings == ()
    pixels = write.element(PIXEL_DATA, "OW", bytes(8))
    header = read(before(write) + after(write) + pixels + padding, syntax)
    assert both_found(header)
    assert header.pixel_offset == len(before(write) + after(write))
    assert header.warnings == ()


@pytest.mark.parametrize("zeros", [1, 3, 8, 500])
def test_zeros_behind_the_last_element_are_a_warning(zeros: int) -> None:
    header = read(before(EXPLICIT_WRITER) + after(EXPLICIT_WRITER) + bytes(zeros))
    assert both_found(header)
    assert header.warnings == ("Zeros behind the last element",)


@pytest.mark.parametrize("inside", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("defined", [True, False])
def test_an_unknown_element_of_undefined_length_holds_implicit_elements_or_what_it_really_holds(
    inside: str, defined: bool
) -> None:
    inner = Writer(inside)
    deep = inner.sequence(0x00081140, inner.element(SOP_INSTANCE_UID, "UI", b"9.9\0"), defined=defined)
    unknown = EXPLICIT_WRITER.head(PRIVATE_SEQUENCE, "UN", UNDEFINED)
    unknown += inner.item(deep, defined=defined) + inner.delimiter(0xE0DD)
    pixels = EXPLICIT_WRITER.element(PIXEL_DATA, "OW", bytes(4))
    header = read(before(EXPLICIT_WRITER) + after(EXPLICIT_WRITER) + unknown + pixels)
    assert both_found(header)
    assert header.pixel_offset is not None
    assert header.warnings == ()


def test_an_unknown_element_inside_an_explicit_sequence_ends_where_its_own_delimiter_is() -> None:
    implicit, write = Writer(IMPLICIT), EXPLICIT_WRITER
    unknown = write.head(0x00091010, "UN", UNDEFINED)
    unknown += implicit.item(implicit.element(0x00091011, "LO", b"AB"), defined=False) + implicit.delimiter(0xE0DD)
    item = unknown + write.element(0x00100030, "DA", b"20010101")
    sequence = write.sequence(0x00081140, item, item, defined=False)
    header = read(before(write) + sequence + after(write))
    assert both_found(header)


def test_implicit_little_endian_inside_an_unknown_element_of_a_big_endian_data_set_is_stepped_over() -> None:
    write, inner = Writer(BIG_ENDIAN), Writer(IMPLICIT)
    unknown = write.head(PRIVATE_SEQUENCE, "UN", UNDEFINED) + inner.item(inner.element(0x00291011, "LO", b"AB"))
    rows = write.element(0x00310010, "LO", b"AB")
    header = read(before(write) + after(write) + unknown + inner.delimiter(0xE0DD) + rows, BIG_ENDIAN)
    assert both_found(header)


@pytest.mark.parametrize(
    "unknown",
    [
        pack("<HH2sHI", 0x0009, 0x1001, b"ZZ", 0, 6) + b"future",
        pack("<HH2sHI", 0x0009, 0x1001, b"ZZ", 0, 0),
        pack("<HH2sH", 0x0009, 0x1001, b"ZZ", 6) + b"past  ",
        pack("<HH2sH", 0x0009, 0x1001, b"ZZ", 0),
        pack("<HH2sH", 0x0009, 0x1001, b"??", 6) + b"past  ",
        pack("<HH2sH", 0x0009, 0x1001, b"  ", 4) + b"past",
        pack("<HHI", 0x0009, 0x1001, 6) + b"VRless",
        pack("<HHI", 0x0009, 0x1001, 0),
        pack("<HH2sH", 0x0009, 0x1001, b"UN", 4) + b"16bt",
        pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0x20, 4) + b"junk",
    ],
    ids=["long", "long-empty", "short", "short-empty", "marks", "blank", "implicit", "implicit-empty", "UN-16", "rsvd"],
)
@pytest.mark.parametrize("nested", [False, True])
def test_unknown_vr_codes_are_stepped_over(unknown: bytes, nested: bool) -> None:
    write = EXPLICIT_WRITER
    if nested:
        content = unknown + write.element(0x00100030, "DA", b"20010101")
        unknown = write.sequence(0x00091000, content, defined=False)
    header = read(before(write) + unknown + after(write))
    assert both_found(header)


@pytest.mark.parametrize("vr", ["ZZ", "??"])
def test_an_unknown_vr_in_the_first_element_is_no_reason_to_doubt_the_encoding(vr: str) -> None:
    first = EXPLICIT_WRITER.element(0x00080001, vr, b"AB")
    header = read(first + before(EXPLICIT_WRITER) + after(EXPLICIT_WRITER))
    assert both_found(header)
    assert not header.implicit


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("defined", [True, False])
def test_private_sequences_are_stepped_over(syntax: str, defined: bool) -> None:
    write = Writer(syntax)
    inside = after(write).replace(b"1.2.4", b"6.6.6") + write.element(PIXEL_DATA, "OW", bytes(20))
    sequence = write.sequence(0x00091010, inside, b"", inside, defined=defined)
    header = read(before(write) + sequence + after(write), syntax)
    assert both_found(header)
    assert header.pixel_offset is None


def test_an_item_whose_length_looks_like_a_vr_is_an_item() -> None:
    write = EXPLICIT_WRITER
    length = int.from_bytes(b"US", "little")
    value = write.element(0x00091011, "UN", bytes(length - 12))
    sequence = write.head(0x00091010, "SQ", UNDEFINED) + write.item(value) + write.delimiter(0xE0DD)
    assert both_found(read(before(write) + sequence + after(write)))


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("vr", ["SQ", "UN"])
def test_sequences_nested_ten_thousand_deep_are_survived(syntax: str, vr: str) -> None:
    write = Writer(syntax)
    inner = Writer(IMPLICIT) if vr == "UN" else write
    opening = write.head(0x00091010, vr, UNDEFINED) + pack(f"{inner.order}HHI", 0xFFFE, 0xE000, UNDEFINED)
    again = inner.head(0x00091010, vr, UNDEFINED) + pack(f"{inner.order}HHI", 0xFFFE, 0xE000, UNDEFINED)
    closing = inner.delimiter(0xE00D) + inner.delimiter(0xE0DD)
    deep = opening + again * 9_999 + closing * 10_000
    assert both_found(read(before(write) + deep + after(write), syntax))
    with pytest.raises(InvalidDataSet) as caught:
        read(before(write) + opening + again * 9_999 + closing * 9_999, syntax)
    assert caught.value.offending_element == 0x00091010


@pytest.mark.parametrize(("declared", "real"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (EXPLICIT, BIG_ENDIAN)])
def test_an_encoding_that_contradicts_the_context_is_found_out(declared: str, real: str) -> None:
    write = Writer(real)
    rows = write.element(ROWS, "US", pack(f"{write.order}H", 512))
    header = read(before(write) + after(write) + rows, declared)
    assert both_found(header)
    assert header.integer(ROWS) == 512
    assert header.transfer_syntax_uid == declared
    assert header.actual_transfer_syntax_uid == real
    assert "against the transfer syntax" in header.warnings[0]


@pytest.mark.parametrize("syntax", [*NATIVE, JPEG_LOSSLESS])
def test_an_encoding_that_is_as_declared_is_left_alone(syntax: str) -> None:
    header = read(before(Writer(syntax)), syntax)
    assert header.actual_transfer_syntax_uid == syntax
    assert header.warnings == ()


def test_one_explicit_element_in_an_implicit_data_set_is_read() -> None:
    write = Writer(IMPLICIT)
    name = EXPLICIT_WRITER.element(PATIENT_NAME, "PN", b"Doe^J ")
    header = read(before(write) + name + after(write), IMPLICIT)
    assert both_found(header)
    assert header.text(PATIENT_NAME) == "Doe^J"


@pytest.mark.parametrize("syntax", NATIVE)
def test_elements_behind_the_pixel_data_are_read(syntax: str) -> None:
    write = Writer(syntax)
    pixels = write.element(PIXEL_DATA, "OW", bytes(100_000))
    header = read(before(write) + pixels + after(write), syntax)
    assert both_found(header)
    assert header.warnings == ("Elements out of order at (0020,000D)",)


def test_rubbish_behind_the_pixel_data_is_a_warning() -> None:
    write = EXPLICIT_WRITER
    header = read(before(write) + write.element(PIXEL_DATA, "OW", bytes(10)) + b"\xff" * 50)
    assert header.warnings == ("What follows the pixel data cannot be read",)


@pytest.mark.parametrize("syntax", NATIVE)
def test_elements_out_of_order_are_read_with_a_warning(syntax: str) -> None:
    write = Writer(syntax)
    header = read(after(write) + before(write) + write.element(PATIENT_ID, "LO", b"AB"), syntax)
    assert both_found(header)
    assert header.text(PATIENT_ID) == "AB"
    assert header.warnings == ("Elements out of order at (0008,0018)",)


@pytest.mark.parametrize("fragments", [[b""], [b"", bytes(100_000)], [b"", b"\xfe\xff\xdd\xe0\0\0\0\0", bytes(10)]])
def test_encapsulated_pixel_data_is_found_with_and_without_something_behind_it(fragments: list[bytes]) -> None:
    write = EXPLICIT_WRITER
    pixels = write.sequence(PIXEL_DATA, *fragments, defined=True, vr="OB")
    pixels = write.head(PIXEL_DATA, "OB", UNDEFINED) + pixels[12:] + write.delimiter(0xE0DD)
    for behind in (b"", write.element(0xFFFCFFFC, "OB", bytes(6)), b"\0"):
        header = read(before(write) + after(write) + pixels + behind, JPEG_LOSSLESS)
        assert both_found(header)
        assert header.pixel_offset == len(before(write) + after(write))
        assert header.warnings == (("Zeros behind the last element",) if behind == b"\0" else ())
    assert "Encapsulated pixel data" in read(before(write) + pixels, EXPLICIT).warnings[0]


@pytest.mark.parametrize(("tag", "vr"), [(0x7FE00008, "OF"), (0x7FE00009, "OD"), (PIXEL_DATA, "OB")])
def test_float_and_double_float_pixel_data_end_the_header_too(tag: int, vr: str) -> None:
    header = read(before(EXPLICIT_WRITER) + EXPLICIT_WRITER.element(tag, vr, bytes(16)))
    assert header.pixel_offset == len(before(EXPLICIT_WRITER))
