import io
import struct
import zlib
from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.filewriter import write_dataset

from dicom.elements import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicom.encoding import MAXIMUM_DEPTH, ElementIn, Identifier, encode_elements, read_identifier
from dicom.errors import CannotReencode, InvalidDataSet, InvalidValue
from dicom.matching import UNIVERSAL, AnyOf, Exact, Name, Range, Wildcard
from dicom.matching import Sequence as SequenceKey

STEADY = settings(deadline=None, derandomize=True, max_examples=300, suppress_health_check=[HealthCheck.too_slow])

SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE]

ANSWER: list[ElementIn] = [
    (0x00080005, "CS", b"ISO_IR 192"),
    (0x00080020, "DA", b"20240101"),
    (0x00080052, "CS", b"STUDY"),
    (0x00080061, "CS", b"CT\\SR"),
    (0x00081030, "LO", "Schädel".encode()),
    (0x00081110, "SQ", [[(0x00081150, "UI", b"1.2.3"), (0x00081155, "UI", b"1.2.3.4")], []]),
    (0x00081111, "SQ", []),
    (0x00100010, "PN", "Müller^Jörg".encode()),
    (0x00100030, "DA", None),
    (0x0020000D, "UI", b"1.2.840.99.1"),
    (0x00201208, "IS", b"12"),
    (0x00280010, "US", struct.pack("<H", 512)),
    (0x00280009, "AT", struct.pack("<HH", 0x0018, 0x1063)),
    (0x00409225, "FD", struct.pack("<d", 1.25)),
]


def read_back(encoded: bytes, syntax: str) -> Dataset:
    head = (
        struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax) + len(syntax) % 2)
        + syntax.encode()
        + b"\0" * (len(syntax) % 2)
    )
    return dcmread(io.BytesIO(b"\0" * 128 + b"DICM" + head + encoded))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_answer_reads_as_what_was_put_into_it(syntax: str) -> None:
    ds = read_back(encode_elements(ANSWER, syntax), syntax)
    assert ds.StudyDate == "20240101"
    assert list(ds.ModalitiesInStudy) == ["CT", "SR"]
    assert ds.StudyDescription == "Schädel"
    assert ds.PatientName == "Müller^Jörg"
    assert ds.PatientBirthDate in (None, "")
    assert ds.StudyInstanceUID == "1.2.840.99.1"
    assert [item.get("ReferencedSOPInstanceUID") for item in ds.ReferencedStudySequence] == ["1.2.3.4", None]
    assert list(ds.ReferencedPerformedProcedureStepSequence) == []
    assert ds.NumberOfStudyRelatedInstances == 12
    assert ds.Rows == 512
    assert ds.FrameIncrementPointer == 0x00181063
    assert ds[0x00409225].value == 1.25
    assert len(ds) == len(ANSWER)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_odd_values_are_padded_with_the_byte_of_their_vr(syntax: str) -> None:
    encoded = encode_elements([(0x00080018, "UI", b"1.2.3"), (0x00100020, "LO", b"ABC")], syntax)
    plain = zlib.decompress(encoded, wbits=-15) if syntax == DEFLATED_LITTLE else encoded
    assert b"1.2.3\0" in plain
    assert plain.endswith(b"ABC ")
    assert len(encoded) % 2 == 0


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_what_a_short_vr_cannot_hold_becomes_un(syntax: str) -> None:
    uids = b"\\".join([b"1.2.840.99.123456789"] * 5000)
    encoded = encode_elements([(0x00080058, "UI", uids), (0x00100020, "LO", b"ID")], syntax)
    order = ">" if syntax == EXPLICIT_BIG else "<"
    assert encoded[4:8] == b"UN\0\0"
    assert struct.unpack(f"{order}I", encoded[8:12])[0] == len(uids) + 1
    assert read_identifier(encoded, syntax).text(0x00080058).split("\\")[-1] == "1.2.840.99.123456789"
    longest = encode_elements([(0x00080058, "UI", uids[:65533])], syntax)
    assert longest[4:6] == b"UI"


def test_a_compressed_transfer_syntax_has_no_form_without_pixels() -> None:
    with pytest.raises(CannotReencode):
        encode_elements(ANSWER, "1.2.840.10008.1.2.4.50")


values: st.SearchStrategy[ElementIn] = st.one_of(
    st.tuples(st.just(0x00080018), st.just("UI"), st.binary(max_size=70)),
    st.tuples(st.just(0x00100020), st.just("LO"), st.none() | st.binary(max_size=70)),
    st.tuples(st.just(0x00280010), st.just("US"), st.binary(max_size=4)),
    st.tuples(st.just(0x7FE00010), st.just("OW"), st.binary(max_size=9)),
)
items = st.recursive(
    st.lists(values, max_size=4),
    lambda inner: st.lists(st.tuples(st.just(0x00081111), st.just("SQ"), st.lists(inner, max_size=3)), max_size=2),
    max_leaves=20,
)


def given_values(elements: Sequence[ElementIn]) -> dict[int, object]:
    return {
        tag: value.rstrip(b" \0") if isinstance(value, bytes) else [given_values(item) for item in value or ()] or b""
        for tag, _, value in elements
    }


def read_values(identifier: Identifier) -> dict[int, object]:
    return {
        tag: [read_values(item) for item in element.items or ()] or element.value.rstrip(b" \0")
        for tag, element in identifier.elements.items()
    }


@STEADY
@given(items, st.sampled_from(SYNTAXES))
def test_whatever_is_written_is_read_again_but_for_its_padding(elements: list[ElementIn], syntax: str) -> None:
    assert read_values(read_identifier(encode_elements(elements, syntax), syntax)) == given_values(elements)


QUERY = {
    "SpecificCharacterSet": "ISO_IR 100",
    "QueryRetrieveLevel": "STUDY",
    "StudyDate": "20240101-",
    "PatientName": "Müller*",
    "StudyInstanceUID": ["1.2.3", "1.2.4"],
    "ModalitiesInStudy": "",
}


def query(implicit: bool = False, little_endian: bool = True) -> bytes:
    ds = Dataset()
    for keyword, value in QUERY.items():
        setattr(ds, keyword, value)
    step, code = Dataset(), Dataset()
    code.CodeValue = "T-*"
    step.ScheduledProtocolCodeSequence = [code]
    step.ScheduledStationAETitle = "CT1"
    ds.RequestAttributesSequence = [step]
    ds.ReferencedStudySequence = []
    ds.Rows = 512
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little_endian
    write_dataset(buffer, ds)
    return bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("syntax", "raw"),
    [
        (IMPLICIT_LITTLE, query(implicit=True)),
        (EXPLICIT_LITTLE, query()),
        (EXPLICIT_BIG, query(little_endian=False)),
        (DEFLATED_LITTLE, zlib.compress(query(), wbits=-15)),
        # Not what was negotiated, and still only to be understood in one way.
        (IMPLICIT_LITTLE, query()),
        (EXPLICIT_LITTLE, query(implicit=True)),
    ],
)
def test_an_identifier_is_read_in_every_native_syntax(syntax: str, raw: bytes) -> None:
    identifier = read_identifier(raw, syntax)
    assert identifier.character_sets == ("ISO_IR 100",)
    assert identifier.text(0x00100010) == "Müller*"
    assert identifier.text(0x00280010) == "512"
    assert identifier.key(0x00080020) == Range(date(2024, 1, 1), None)
    name = identifier.key(0x00100010)
    assert isinstance(name, Name)
    assert name.groups[0] == Wildcard("muller*")
    assert identifier.key(0x0020000D) == AnyOf(("1.2.3", "1.2.4"))
    assert identifier.key(0x00280010) == Exact(512)
    assert identifier.key(0x00080061) == identifier.key(0x00081110) == UNIVERSAL
    assert identifier.key(0x00400275) == SequenceKey(
        ((0x00400001, Exact("CT1")), (0x00400008, SequenceKey(((0x00080100, Wildcard("T-*")),))))
    )
    (step,) = identifier.items(0x00400275)
    assert 0x00400001 in step
    assert list(step.elements) == sorted(step.elements)


def test_a_peer_without_character_set_is_read_in_its_default_one() -> None:
    raw = encode_elements([(0x00100010, "PN", "Müller".encode("latin-1"))], EXPLICIT_LITTLE)
    assert read_identifier(raw, EXPLICIT_LITTLE, default_character_set="ISO_IR 100").text(0x00100010) == "Müller"


def test_group_lengths_and_trailing_padding_are_passed_over() -> None:
    raw = (
        struct.pack("<HH2sHI", 0x0008, 0, b"UL", 4, 99)
        + encode_elements([(0x00080052, "CS", b"STUDY")], EXPLICIT_LITTLE)
        + struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 6)
        + b"\0" * 6
    )
    assert list(read_identifier(raw, EXPLICIT_LITTLE).elements) == [0x00080052]
    assert list(read_identifier(raw[:-18] + b"\0\0\0", EXPLICIT_LITTLE).elements) == [0x00080052]


def test_unknown_vr_of_a_known_element_is_read_by_the_dictionary() -> None:
    inner = encode_elements([(0x00080100, "SH", b"T-04000")], IMPLICIT_LITTLE)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    for content, length in ((item, len(item)), (item + end, 0xFFFFFFFF)):
        raw = struct.pack("<HH2sHI", 0x0040, 0x0008, b"UN", 0, length) + content
        raw += struct.pack("<HH2sHI", 0x0040, 0x0280, b"UN", 0, 2) + b"x*"
        identifier = read_identifier(raw, EXPLICIT_LITTLE)
        assert identifier.items(0x00400008)[0].text(0x00080100) == "T-04000"
        assert identifier.key(0x00400280) == Wildcard("x*")


def test_a_wrong_key_inside_an_item_is_named() -> None:
    raw = encode_elements([(0x00400100, "SQ", [[(0x00400002, "DA", b"soon")]])], EXPLICIT_LITTLE)
    with pytest.raises(InvalidValue) as caught:
        read_identifier(raw, EXPLICIT_LITTLE).key(0x00400100)
    assert caught.value.tag == 0x00400002


def nested(depth: int) -> bytes:
    head = struct.pack("<HH2sHI", 0x0040, 0x0100, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return head * depth


@pytest.mark.parametrize(
    ("raw", "offending"),
    [
        (struct.pack("<HH2sH", 0x0008, 0x0052, b"CS", 20) + b"STUDY ", 0x00080052),
        (struct.pack("<HH2sH", 0x0008, 0x0052, b"CS", 6) + b"STUDY " + b"\x10\0\x20\0\x01\x02\x03\x04", 0x00100020),
        (struct.pack("<HH2sHI", 0x0040, 0x0100, b"SQ", 0, 8) + b"12345678", 0x00400100),
        (struct.pack("<HH2sHI", 0x0040, 0x0100, b"SQ", 0, 80) + struct.pack("<HHI", 0xFFFE, 0xE000, 0), 0x00400100),
        (nested(MAXIMUM_DEPTH + 1), 0x00400100),
        (nested(10_000), 0x00400100),
        (struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 0) * 20_001, 0x00100020),
        (b"\x08\0\x52", None),
    ],
)
def test_wrong_bytes_are_refused_with_the_element_they_spoil(raw: bytes, offending: int | None) -> None:
    with pytest.raises(InvalidDataSet) as caught:
        read_identifier(raw, EXPLICIT_LITTLE)
    assert caught.value.offending_element == offending


def test_an_identifier_cannot_inflate_without_bounds() -> None:
    with pytest.raises(InvalidDataSet):
        read_identifier(zlib.compress(b"\0" * (1 << 25), wbits=-15), DEFLATED_LITTLE)
    with pytest.raises(InvalidDataSet):
        read_identifier(b"\xff\xff not deflated", DEFLATED_LITTLE)


@STEADY
@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_any_bytes_are_an_identifier_or_an_invalid_data_set(raw: bytes, syntax: str) -> None:
    try:
        identifier = read_identifier(raw, syntax)
    except InvalidDataSet:
        return
    for tag in identifier.elements:
        identifier.text(tag)


@pytest.mark.parametrize("at", range(0, 100, 3))
def test_an_identifier_cut_anywhere_is_short_or_refused(at: int) -> None:
    whole = read_identifier(query(), EXPLICIT_LITTLE)
    try:
        part = read_identifier(query()[:at], EXPLICIT_LITTLE)
    except InvalidDataSet:
        return
    assert all(whole.elements[tag] == element for tag, element in part.elements.items())
