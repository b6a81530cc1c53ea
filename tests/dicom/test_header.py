"""What the fast scan keeps: against pydicom, and value by value."""

import base64
import json
import marshal
import warnings
from pathlib import Path
from struct import pack
from typing import Any

import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue

from apps.storage import models
from dicom.errors import InvalidDataSet
from dicom.header import INDEXED, Header
from dicom.part10 import read_meta
from tests.dicom.data_sets import BIG_ENDIAN, DEFLATED, IMPLICIT, Writer, files
from tests.dicom.scanning import (
    DATA_SETS,
    EXPLICIT_WRITER,
    NATIVE,
    PATIENT_ID,
    PATIENT_NAME,
    PIXEL_DATA,
    ROWS,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    after,
    before,
    both_found,
    read,
)

REQUEST_ATTRIBUTES_SEQUENCE = 0x00400275


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
