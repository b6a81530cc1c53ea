"""The fast scan against pydicom, against what WIRE 9 lists, and against noise."""

import base64
import json
import marshal
import os
import warnings
import zlib
from pathlib import Path
from struct import pack
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue

from apps.storage import models
from dicom import cursor
from dicom.errors import InvalidDataSet
from dicom.header import INDEXED, BytesWindow, FileWindow, Header, scan
from dicom.part10 import read_meta
from tests.dicom.data_sets import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_LOSSLESS,
    UNDEFINED,
    Writer,
    data_sets,
    file,
    files,
)

SOP_INSTANCE_UID = 0x00080018
PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
STUDY_INSTANCE_UID = 0x0020000D
ROWS = 0x00280010
REQUEST_ATTRIBUTES_SEQUENCE = 0x00400275
PIXEL_DATA = 0x7FE00010
PRIVATE_SEQUENCE = 0x00291010

EXPLICIT_WRITER = Writer(EXPLICIT)
NATIVE = [IMPLICIT, EXPLICIT, BIG_ENDIAN]
DATA_SETS = list(data_sets())


def read(data_set: bytes, transfer_syntax_uid: str = EXPLICIT, **options: Any) -> Header:
    return scan(BytesWindow(data_set), transfer_syntax_uid=transfer_syntax_uid, **options)


def before(write: Writer) -> bytes:
    return write.element(SOP_INSTANCE_UID, "UI", b"1.2.3\0")


def after(write: Writer) -> bytes:
    return write.element(STUDY_INSTANCE_UID, "UI", b"1.2.4\0")


def both_found(header: Header) -> bool:
    return (header.uid(SOP_INSTANCE_UID), header.uid(STUDY_INSTANCE_UID)) == ("1.2.3", "1.2.4")


class Watched(BytesWindow):
    """Counts what is read."""

    def __init__(self, buffer: bytes) -> None:
        super().__init__(buffer)
        self.read: list[int] = []

    def pread(self, size: int, offset: int) -> bytes:
        found = super().pread(size, offset)
        self.read.append(len(found))
        return found


# Against pydicom


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return "\\".join(str(one).strip() for one in value) if isinstance(value, MultiValue) else str(value).strip()


def read_by_pydicom(path: Path) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path, force=True)
        for tag in INDEXED:
            ds.get(tag)
    return ds


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_every_file_of_pydicom_gives_the_values_pydicom_reads_or_is_refused(path: Path) -> None:
    raw = path.read_bytes()
    try:
        meta = read_meta(raw, lenient=True)
        header = read(raw[meta.dataset_offset :], meta.transfer_syntax_uid)
    except InvalidDataSet:
        assert path.suffix != ".dcm" or path.name in {"MR_truncated.dcm", "rtplan_truncated.dcm", "no_meta.dcm"}
        return
    ds = read_by_pydicom(path)
    for tag in INDEXED:
        element = ds.get(tag)
        assert (element is None) == (tag not in header.elements)
        if element is None:
            continue
        if element.VR == "SQ":
            assert header.sequence(tag) == json.loads(json.dumps([item.to_json_dict() for item in element.value]))
        else:
            assert header.text(tag).rstrip("=") == as_text(element.value)


@pytest.mark.parametrize(("path", "data_set", "syntax"), DATA_SETS, ids=[path.name for path, *_ in DATA_SETS])
def test_the_pixel_data_is_found_where_it_is(path: Path, data_set: bytes, syntax: str) -> None:
    try:
        header = read(data_set, syntax)
    except InvalidDataSet:
        return
    has_pixels = any(f"{keyword}PixelData" in read_by_pydicom(path) for keyword in ("", "Float", "DoubleFloat"))
    assert (header.pixel_offset is not None) == (has_pixels and syntax != DEFLATED)
    if header.pixel_offset is not None:
        order = ">" if syntax == BIG_ENDIAN else "<"
        tag = data_set[header.pixel_offset : header.pixel_offset + 4]
        assert tag in {pack(f"{order}HH", 0x7FE0, element) for element in (8, 9, 0x10)}


def test_every_column_of_the_index_has_its_element_in_the_scan() -> None:
    derived = {
        *("modalities_in_study", "sop_classes_in_study", "sop_classes", "number_of_study_related_series"),
        *("number_of_study_related_instances", "number_of_series_related_instances"),
    }
    others = {"issuer_of_accession_number": "IssuerOfAccessionNumberSequence", "sop_instance_uid": "SOPInstanceUID"}
    others |= {"name_of_physicians_reading_study": "NameOfPhysiciansReadingStudy", "sop_class_uid": "SOPClassUID"}
    missing = set()
    for model in (models.Patient, models.Study, models.Series, models.Instance):
        for field in model._meta.get_fields():
            keyword = "".join(
                {"id": "ID", "ids": "IDs", "uid": "UID", "utc": "UTC"}.get(word, word.capitalize())
                for word in field.name.split("_")
            )
            tag = tag_for_keyword(others.get(field.name, keyword))
            if tag is not None and field.name not in derived and tag >> 16 != 2 and tag not in INDEXED:
                missing.add(field.name)
    assert missing == set()


def test_indexed_values_are_read_by_the_vr_of_the_dictionary() -> None:
    write = Writer(IMPLICIT)
    for tag in sorted(INDEXED):
        vr = dictionary_VR(tag)
        value = pack("<H", 7) if vr == "US" else write.item(b"") if vr == "SQ" else b"7 "
        header = read(write.element(tag, vr, value), IMPLICIT)
        if vr == "SQ":
            assert header.sequence(tag) == [{}]
            assert header.text(tag) == ""
        else:
            assert header.text(tag) == "7"
            assert header.integer(tag) == 7


# What WIRE 9 lists


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


def test_only_what_is_wanted_is_kept() -> None:
    header = read(before(EXPLICIT_WRITER) + after(EXPLICIT_WRITER), wanted={STUDY_INSTANCE_UID, PATIENT_ID})
    assert header.elements == {STUDY_INSTANCE_UID: b"1.2.4\0"}


@pytest.mark.parametrize("syntax", NATIVE)
def test_what_lies_behind_the_last_element_asked_for_is_not_looked_at(syntax: str) -> None:
    write = Writer(syntax)
    damaged = write.head(PATIENT_NAME, "PN", 50) + bytes(20)
    header = read(before(write) + damaged, syntax, wanted={SOP_INSTANCE_UID, PATIENT_NAME}, until=SOP_INSTANCE_UID)
    assert list(header.elements) == [SOP_INSTANCE_UID]
    with pytest.raises(InvalidDataSet):
        read(before(write) + damaged, syntax, until=PATIENT_NAME)


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


# What is not there


@pytest.mark.parametrize("syntax", NATIVE)
def test_a_data_set_that_ends_within_an_element_is_refused_with_its_tag(syntax: str) -> None:
    write = Writer(syntax)
    whole = before(write) + write.element(PATIENT_NAME, "PN", b"Doe^John") + write.element(PIXEL_DATA, "OW", bytes(64))
    name_at, pixels_at = len(before(write)), whole.rindex(bytes(64))
    read(whole, syntax)
    for cut in range(name_at + 9, name_at + 16):
        with pytest.raises(InvalidDataSet) as caught:
            read(whole[:cut], syntax)
        assert caught.value.offending_element == PATIENT_NAME
    for cut in range(pixels_at, len(whole)):
        with pytest.raises(InvalidDataSet) as caught:
            read(whole[:cut], syntax)
        assert caught.value.offending_element == PIXEL_DATA


def test_a_file_shorter_than_it_was_said_to_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(before(EXPLICIT_WRITER) + EXPLICIT_WRITER.head(PATIENT_NAME, "PN", 50) + bytes(20))
    with path.open("rb") as opened, pytest.raises(InvalidDataSet) as caught:
        scan(FileWindow(opened.fileno(), 0, 10_000), transfer_syntax_uid=EXPLICIT)
    assert caught.value.offending_element == PATIENT_NAME


def test_a_data_set_in_utter_disorder_gives_a_handful_of_warnings() -> None:
    write = EXPLICIT_WRITER
    elements = [write.element(0x00091000 + n, "LO", b"") for n in range(2_000)]
    header = read(before(write) + b"".join(reversed(elements)) + after(write))
    assert both_found(header)
    assert 1 <= len(header.warnings) <= 10


def test_encapsulated_pixel_data_without_its_end_is_refused() -> None:
    write = EXPLICIT_WRITER
    fragments = write.head(PIXEL_DATA, "OB", UNDEFINED) + write.item(b"") + write.item(bytes(1000))
    for cut in (len(fragments), len(fragments) - 1, 20, 12):
        with pytest.raises(InvalidDataSet) as caught:
            read(before(write) + fragments[:cut], JPEG_LOSSLESS)
        assert caught.value.offending_element == PIXEL_DATA


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x89PNG\r\n\x1a\n" * 20, b"\xff" * 1000, b"abc"])
@pytest.mark.parametrize("syntax", [*NATIVE, DEFLATED])
def test_what_is_no_data_set_is_refused(noise: bytes, syntax: str) -> None:
    with pytest.raises(InvalidDataSet):
        read(noise, syntax)


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_empty_data_set_holds_nothing(syntax: str) -> None:
    assert read(b"", syntax).elements == {}


def test_endless_tiny_elements_are_refused_when_the_budget_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor, "ELEMENT_BUDGET", 1000)
    write = EXPLICIT_WRITER
    flat = b"".join(write.element(0x00091000 + n, "LO", b"") for n in range(1100))
    disordered = write.element(0x00091000, "LO", b"") * 1100
    nested = write.sequence(0x00091000, write.element(0x00091001, "LO", b"") * 1100, defined=False)
    for data_set in (flat, disordered, nested, Writer(IMPLICIT).element(0x00091000, "LO", b"") * 1100):
        with pytest.raises(InvalidDataSet, match="too many"):
            read(data_set)


# Deflated


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


# Values


def test_a_very_long_value_is_cut_and_the_scan_goes_on() -> None:
    write = Writer(IMPLICIT)
    name = write.element(PATIENT_NAME, "PN", b"A" * 100_000)
    header = read(before(write) + name + after(write), IMPLICIT)
    assert both_found(header)
    assert 400 < len(header.text(PATIENT_NAME)) < 10_000
    assert header.warnings == ("(0010,0010) is very long",)


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("defined", [True, False])
def test_the_request_attributes_are_read_as_dicom_json(syntax: str, defined: bool) -> None:
    write = Writer(syntax)
    code = write.element(0x00080100, "SH", b"P1") + write.element(0x00080104, "LO", "Schädel".encode())
    item = write.element(0x00080050, "SH", b"A1")
    item += write.element(0x0020000D, "UI", b"1.2.4\0")
    item += write.sequence(0x00321064, code, defined=defined)
    item += write.element(0x00400006, "PN", "Müller^J=漢".encode())
    item += write.element(0x00401001, "SH", b"")
    sequence = write.sequence(REQUEST_ATTRIBUTES_SEQUENCE, item, b"", defined=defined)
    utf_8 = write.element(0x00080005, "CS", b"ISO_IR 192")
    header = read(utf_8 + before(write) + after(write) + sequence, syntax)
    assert both_found(header)
    assert header.sequence(REQUEST_ATTRIBUTES_SEQUENCE) == [
        {
            "00080050": {"vr": "SH", "Value": ["A1"]},
            "0020000D": {"vr": "UI", "Value": ["1.2.4"]},
            "00321064": {
                "vr": "SQ",
                "Value": [
                    {"00080100": {"vr": "SH", "Value": ["P1"]}, "00080104": {"vr": "LO", "Value": ["Schädel"]}},
                ],
            },
            "00400006": {"vr": "PN", "Value": [{"Alphabetic": "Müller^J", "Ideographic": "漢"}]},
            "00401001": {"vr": "SH"},
        },
        {},
    ]
    assert header.sequence(0x00081111) == []


def test_binary_values_of_a_sequence_are_numbers_or_base64() -> None:
    write = EXPLICIT_WRITER
    item = write.element(0x00280010, "US", pack("<H", 512))
    item += write.element(0x00280106, "SS", pack("<h", -5))
    item += write.element(0x00080110, "FD", pack("<dd", 0.5, float("nan")))
    item += write.element(0x00280009, "AT", pack("<HH", 0x18, 0x1063))
    item += write.element(0x00291010, "OB", b"\1\2")
    item += write.element(0x00291011, "DS", rb"1.5\x\1e999 ")
    item += write.element(0x00291012, "IS", rb"3\1_0")
    (found,) = read(write.sequence(REQUEST_ATTRIBUTES_SEQUENCE, item)).sequence(REQUEST_ATTRIBUTES_SEQUENCE)
    assert {tag: entry.get("Value") for tag, entry in found.items() if tag != "00291010"} == {
        "00280010": [512],
        "00280106": [-5],
        "00080110": [0.5, None],
        "00280009": ["00181063"],
        "00291011": [1.5, "x", "1e999"],
        "00291012": [3, "1_0"],
    }
    assert base64.b64decode(found["00291010"]["InlineBinary"]) == b"\1\2"


def test_a_sequence_sent_as_unknown_is_read_as_implicit() -> None:
    write, inner = EXPLICIT_WRITER, Writer(IMPLICIT)
    item = inner.item(inner.element(0x00400009, "SH", b"S1"))
    header = read(write.element(REQUEST_ATTRIBUTES_SEQUENCE, "UN", item))
    assert header.sequence(REQUEST_ATTRIBUTES_SEQUENCE) == [{"00400009": {"vr": "SH", "Value": ["S1"]}}]


def test_a_sequence_nested_without_end_is_read_as_deep_as_anybody_needs() -> None:
    write = EXPLICIT_WRITER
    item = b""
    for _ in range(2_000):
        item = write.sequence(0x00321064, item)
    header = read(write.sequence(REQUEST_ATTRIBUTES_SEQUENCE, item))
    assert len(str(header.sequence(REQUEST_ATTRIBUTES_SEQUENCE))) < 5_000


@pytest.mark.parametrize("defined", [True, False])
def test_a_sequence_of_megabytes_gives_its_first_items(defined: bool) -> None:
    write = EXPLICIT_WRITER
    item = write.element(0x00400009, "SH", b"S1") + write.element(0x00291010, "OB", bytes(20_000))
    sequence = write.sequence(REQUEST_ATTRIBUTES_SEQUENCE, *[item] * 50, defined=defined)
    header = read(before(write) + sequence + write.element(PIXEL_DATA, "OW", bytes(10)))
    assert header.pixel_offset is not None
    assert header.sequence(REQUEST_ATTRIBUTES_SEQUENCE)[0]["00400009"] == {"vr": "SH", "Value": ["S1"]}
    assert len(header.elements[REQUEST_ATTRIBUTES_SEQUENCE]) <= 1 << 16


def test_what_one_reader_of_a_sequence_changes_no_other_sees() -> None:
    write = EXPLICIT_WRITER
    header = read(write.sequence(REQUEST_ATTRIBUTES_SEQUENCE, write.element(0x00400009, "SH", b"S1")))
    header.sequence(REQUEST_ATTRIBUTES_SEQUENCE)[0].clear()
    assert header.sequence(REQUEST_ATTRIBUTES_SEQUENCE) != [{}]


def test_a_peers_character_set_is_used_where_the_data_set_names_none() -> None:
    write = EXPLICIT_WRITER
    name = write.element(PATIENT_NAME, "PN", "Дон^А".encode("iso8859_5"))
    assert read(name, default_character_set="ISO_IR 144").text(PATIENT_NAME) == "Дон^А"
    declared = write.element(0x00080005, "CS", b"ISO_IR 100")
    assert read(declared + name, default_character_set="ISO_IR 144").text(PATIENT_NAME) != "Дон^А"
    korean = read(name, default_character_set="\\ISO 2022 IR 149")
    assert korean.character_sets == ("", "ISO 2022 IR 149")


def test_rows_written_as_text_are_a_number_too() -> None:
    assert read(EXPLICIT_WRITER.element(ROWS, "IS", b"1024")).integer(ROWS) == 1024
    assert read(EXPLICIT_WRITER.element(ROWS, "UL", pack("<I", 70_000))).integer(ROWS) == 70_000
    assert read(EXPLICIT_WRITER.element(ROWS, "US", b"")).integer(ROWS) is None


def test_a_header_travels_between_processes_unchanged() -> None:
    _, data_set, syntax = next(entry for entry in DATA_SETS if entry[0].name == "CT_small.dcm")
    header = read(data_set, syntax, default_character_set="ISO_IR 100")
    assert len(header.elements) > 20
    assert Header.load(marshal.loads(marshal.dumps(header.dump()))) == header


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


# Noise

REAL = [(data_set[:20_000], syntax) for _, data_set, syntax in DATA_SETS if len(data_set) < 50_000]


@given(st.data())
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_damaged_header_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    data_set, syntax = data.draw(st.sampled_from(REAL))
    damaged = bytearray(data_set)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(damaged), 3_000)))
        noise = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"SQ", b"UN", b"US"]))
        )
        damaged[at : at + data.draw(st.integers(0, 8))] = noise
    try:
        header = read(bytes(damaged), data.draw(st.sampled_from([syntax, *NATIVE, DEFLATED])))
    except InvalidDataSet:
        return
    for tag in INDEXED:
        assert "\0" not in header.text(tag) + header.uid(tag)
        header.text(tag).encode()
        header.integer(tag)
        assert "\\u0000" not in json.dumps(header.sequence(tag), allow_nan=False)
    assert marshal.dumps(header.dump())


@given(st.binary(max_size=400), st.sampled_from([*NATIVE, DEFLATED]))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused_and_nothing_else(noise: bytes, syntax: str) -> None:
    try:
        read(noise, syntax)
    except InvalidDataSet as error:
        assert len(str(error)) <= 64  # fits an Error Comment (LO)
