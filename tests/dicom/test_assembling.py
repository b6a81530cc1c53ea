"""Data sets from the DICOM JSON model; pydicom says what they are."""

import io
import json
from dataclasses import dataclass
from typing import Any

import pydicom
import pytest
from pydicom.data import get_charset_files, get_testdata_file

from dicom.assembling import BulkData, assemble
from dicom.errors import InvalidDataSet
from dicom.jpeg import read_frame

EXPLICIT = "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"


@dataclass(frozen=True)
class Bytes:
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)


def assembled(data_set: Any, bulk: dict[str, BulkData] | None = None) -> tuple[bytes, str]:
    made = assemble(data_set, (bulk or {}).get)
    whole = b"".join(p if isinstance(p, bytes) else p.content for p in made.pieces)  # type: ignore[attr-defined]
    return whole, made.transfer_syntax_uid


def read(data_set: Any, bulk: dict[str, BulkData] | None = None) -> pydicom.Dataset:
    return pydicom.filereader.read_dataset(io.BytesIO(assembled(data_set, bulk)[0]), False, True)


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "reportsi.dcm", "chrH31.dcm", "chrX1.dcm"]
)
def test_what_pydicom_says_as_json_comes_back_the_same(name: str) -> None:
    path = get_testdata_file(name, download=False) or get_charset_files(name)[0]
    ds = pydicom.dcmread(str(path))
    ds.remove_private_tags()
    json_model = json.loads(ds.to_json())
    back = json.loads(read(json_model).to_json())
    for data_set in (json_model, back):
        data_set.pop("00080005", None)
    assert back == json_model


def test_texts_beyond_ascii_are_in_unicode_and_say_so() -> None:
    model = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00081140": {"vr": "SQ", "Value": [{"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}]},
    }
    ds = read(model)
    assert (ds.SpecificCharacterSet, str(ds.PatientName)) == ("ISO_IR 192", "Yamada^Tarou=山田^太郎")
    assert "SpecificCharacterSet" not in ds.ReferencedImageSequence[0]


def test_numbers_are_encoded_by_their_vr() -> None:
    ds = read(
        {
            "00280010": {"vr": "US", "Value": [65535]},
            "00201041": {"vr": "DS", "Value": [1 / 3, -1e-200 / 3, "1.50", None]},
            "00200013": {"vr": "IS", "Value": [7]},
            "00189087": {"vr": "FD", "Value": [0.1]},
            "00280009": {"vr": "AT", "Value": ["00181063"]},
            "00281101": {"Value": [256, 0, 16]},
        }
    )
    assert (ds.Rows, ds.InstanceNumber, ds.FrameIncrementPointer) == (65535, 7, 0x00181063)
    texts = ds.get_item(0x00201041).value.decode().rstrip().split("\\")
    assert [len(text) <= 16 for text in texts] == [True] * 4
    assert texts[2:] == ["1.50", ""]
    assert list(ds.RedPaletteColorLookupTableDescriptor) == [256, 0, 16]


def test_bulk_data_is_put_where_its_address_is_also_in_items() -> None:
    bulk = {"a": BulkData([Bytes(b"12"), Bytes(b"345")]), "b": BulkData([Bytes(b"\1\2")])}
    ds = read(
        {
            "7FE00010": {"vr": "OW", "BulkDataURI": "a"},
            "54000100": {"vr": "SQ", "Value": [{"54001010": {"vr": "OW", "BulkDataURI": "b"}}]},
            "00420011": {"vr": "OB", "BulkDataURI": "b"},
            "00081030": {"vr": "LO", "BulkDataURI": "b"},
        },
        bulk,
    )
    assert ds.PixelData == b"12345\0"
    assert ds.WaveformSequence[0].WaveformData == b"\1\2"
    assert ds.EncapsulatedDocument == b"\1\2"


def test_compressed_frames_become_fragments() -> None:
    bulk = {"a": BulkData([Bytes(b"one"), Bytes(b"four")], RLE)}
    content, transfer_syntax = assembled({"7FE00010": {"vr": "OW", "BulkDataURI": "a"}}, bulk)
    assert transfer_syntax == RLE
    ds = pydicom.filereader.read_dataset(io.BytesIO(content), False, True)
    frames = list(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=2))
    assert frames == [b"one\0", b"four"]


def test_what_belongs_to_no_data_set_is_left_out() -> None:
    element = {"vr": "UI", "Value": ["1.2"]}
    ds = read({tag: element for tag in ("00020010", "00001000", "00080000", "FFFEE000", "00080018")})
    assert [int(each.tag) for each in ds] == [0x00080018]


def nested(depth: int) -> Any:
    data_set: Any = {}
    for _ in range(depth):
        data_set = {"00081140": {"vr": "SQ", "Value": [data_set]}}
    return data_set


@pytest.mark.parametrize(
    "data_set",
    [
        None,
        [],
        {"PatientID": {"vr": "LO"}},
        {"00100020": "x"},
        {"00100020": {"vr": "XX", "Value": ["x"]}},
        {"00100020": {"vr": "LO", "Value": "x"}},
        {"00100020": {"vr": "LO", "Value": [{}]}},
        {"00280010": {"vr": "US", "Value": [65536]}},
        {"00280010": {"vr": "US", "Value": ["x"]}},
        {"00280010": {"vr": "US", "Value": [None]}},
        {"00280009": {"vr": "AT", "Value": ["xyz"]}},
        {"7FE00010": {"vr": "OW", "InlineBinary": "not base64!"}},
        {"7FE00010": {"vr": "OW", "BulkDataURI": "nowhere"}},
        {"00081140": {"vr": "SQ", "Value": ["x"]}},
        nested(65),
        nested(900),
    ],
)
def test_what_is_no_data_set_is_refused(data_set: Any) -> None:
    with pytest.raises(InvalidDataSet):
        assemble(data_set, lambda uri: None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", ("1.2.840.10008.1.2.4.50", 8, 100, 100, 3)),
        ("SC_rgb_jpeg_gdcm.dcm", ("1.2.840.10008.1.2.4.70", 8, 100, 100, 3)),
        ("JPGExtended.dcm", ("1.2.840.10008.1.2.4.51", 12, 1024, 256, 1)),
    ],
)
def test_the_headers_of_a_jpeg_say_what_it_is(name: str, expected: tuple[Any, ...]) -> None:
    pixels = pydicom.dcmread(str(get_testdata_file(name, download=False))).PixelData
    frame = read_frame(next(pydicom.encaps.generate_frames(pixels, number_of_frames=1)))
    assert frame is not None
    assert (frame.transfer_syntax_uid, frame.bits, frame.rows, frame.columns, frame.samples) == expected
    assert frame.described()["00280010"]["Value"] == [frame.rows]


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xc0\0\2" * 9, b"\xff\xd8" + b"\xff\0\0\0" * 9]
)
def test_what_is_no_jpeg_says_nothing(content: bytes) -> None:
    assert read_frame(content) is None
