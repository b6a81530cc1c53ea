"""Data sets as JSON: what pydicom reads of them is what stands there."""

import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset

from dicom import part10
from dicom.errors import InvalidDataSet
from dicom.metadata import INLINE, Metadata
from dicom.walk import Walker, window_of
from dicom.windows import BytesWindow

BULK = "/dicomweb/studies/1/series/2/instances/3/bulkdata"
FILES = sorted(path for path in Path(pydicom.data.__file__).parent.rglob("*.dcm") if path.is_file())
REFUSED = {"MR_truncated.dcm", "rtplan_truncated.dcm", "no_meta.dcm"}  # when they come in: cut short, or no DICOM
BEYOND_PYDICOM = {"badVR.dcm"}  # an integer with a letter in it


def metadata(path: Path, encoder: Metadata) -> dict[str, Any]:
    content = path.read_bytes()
    meta = part10.read_meta(content, lenient=True)
    window = window_of(BytesWindow(content[meta.dataset_offset :]), meta.transfer_syntax_uid)
    read: dict[str, Any] = json.loads(encoder.encode(Walker(window, meta.transfer_syntax_uid), BULK))
    return read


def same(ours: dict[str, Any], theirs: dict[str, Any], way: str = "") -> list[str]:
    """Where two elements differ, beyond how they may be written."""
    if "BulkDataURI" in ours:
        return [] if "BulkDataURI" in theirs or "InlineBinary" in theirs or "Value" in theirs else [way]
    if ours["vr"] == "SQ":
        pairs = zip(ours.get("Value", []), theirs.get("Value", []), strict=True)
        return [found for n, (a, b) in enumerate(pairs) for found in different(a, b, f"{way}/{n}")]
    first, second = ([plain(value) for value in side.get("Value", [])] for side in (ours, theirs))
    return [] if first == second else [f"{way}: {first[:4]} {second[:4]}"]


def plain(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value.strip() or None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value or None if isinstance(value, dict) else value


def different(ours: dict[str, Any], theirs: dict[str, Any], way: str = "") -> list[str]:
    skipped = {"00080005", "FFFCFFFC"}
    missing = [f"{way}{tag}: missing" for tag in theirs.keys() - ours.keys() - skipped if tag[4:] != "0000"]
    return missing + [
        found
        for tag in ours.keys() & theirs.keys() - skipped
        if ours[tag]["vr"] == theirs[tag]["vr"] and ours[tag]["vr"] != "UN"
        for found in same(ours[tag], theirs[tag], f"{way}{tag}")
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_metadata_says_what_pydicom_reads(path: Path) -> None:
    if path.name in REFUSED:
        with pytest.raises(InvalidDataSet):
            metadata(path, Metadata())
        return
    ours = metadata(path, Metadata())
    if path.name in BEYOND_PYDICOM:
        assert "00080018" in ours
        return
    theirs = pydicom.dcmread(path, force=True)
    expected = theirs.to_json_dict(bulk_data_threshold=INLINE, bulk_data_element_handler=lambda _: BULK)
    assert different(ours, expected) == []


def encoded(dataset: Dataset, encoder: Metadata | None = None, *, implicit: bool = False) -> dict[str, Any]:

    target = BytesIO()
    pydicom.dcmwrite(target, dataset, implicit_vr=implicit, little_endian=True, force_encoding=True)
    syntax = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    window = BytesWindow(target.getvalue())
    read: dict[str, Any] = json.loads((encoder or Metadata()).encode(Walker(window, syntax), BULK))
    return read


def test_large_values_are_addresses_that_lead_down_to_them() -> None:
    item, inner, outer = Dataset(), Dataset(), Dataset()
    inner.EncapsulatedDocument = bytes(INLINE + 2)
    item.ReferencedImageSequence = [Dataset(), inner]
    outer.ReferencedStudySequence = [item]
    outer.PixelData = bytes(4)
    outer["PixelData"].VR = "OW"
    read = encoded(outer)
    assert read["7FE00010"] == {"vr": "OW", "BulkDataURI": f"{BULK}/7FE00010"}
    nested = read["00081110"]["Value"][0]["00081140"]["Value"][1]["00420011"]
    assert nested["BulkDataURI"] == f"{BULK}/00081110/0/00081140/1/00420011"


def test_an_item_with_a_character_set_of_its_own_is_read_in_it() -> None:
    outer, item = Dataset(), Dataset()
    outer.SpecificCharacterSet = "ISO_IR 100"
    item.SpecificCharacterSet = "ISO_IR 144"
    item.PatientName = "Люкceмбypг"
    outer.PatientName = "Äneas"
    outer.ReferencedStudySequence = [item]
    read = encoded(outer)
    assert read["00100010"]["Value"] == [{"Alphabetic": "Äneas"}]
    assert read["00081110"]["Value"][0]["00100010"]["Value"] == [{"Alphabetic": "Люкceмбypг"}]
    assert read["00080005"]["Value"] == ["ISO_IR 192"]


def test_what_one_data_set_said_is_not_said_of_another() -> None:
    encoder = Metadata()
    one, other = Dataset(), Dataset()
    one.SpecificCharacterSet, other.SpecificCharacterSet = "ISO_IR 100", "ISO_IR 101"
    one.PatientName, other.PatientName = "¥", "Ľ"  # the same byte
    assert encoded(one, encoder)["00100010"]["Value"] != encoded(other, encoder)["00100010"]["Value"]


def test_a_data_set_reads_the_same_whatever_came_before_it() -> None:
    """Series of images that differ in some values, lack some elements, or are of another kind."""
    encoder = Metadata()
    readable = [path for path in FILES if path.name not in REFUSED]
    for path in [path for path in readable for _ in range(3)] + readable[::-1]:
        assert metadata(path, encoder) == metadata(path, Metadata()), path.name


def test_images_of_a_series_that_differ_here_and_there_are_read_as_each_is() -> None:
    encoder, dataset = Metadata(), Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPInstanceUID, dataset.Modality, dataset.PatientName = "1.2", "CT", "Ä"
    dataset.ReferencedStudySequence = [Dataset()]
    dataset.ReferencedStudySequence[0].ReferencedSOPInstanceUID = "1.3"
    dataset.ReferencedStudySequence[0].EncapsulatedDocument = bytes(INLINE + 2)
    dataset.PixelRepresentation, dataset.Rows, dataset.WindowCenter = 0, 512, 40
    dataset.add_new(0x00280106, "US", 65535)
    dataset.PixelData = bytes(4)
    dataset["PixelData"].VR = "OW"
    changes: list[dict[str, Any]] = [
        {},
        {"SOPInstanceUID": "1.22"},
        {"PatientName": "B"},
        {"InstanceNumber": 3},
        {"PixelRepresentation": 1},
        {"Rows": 511},
        {"SpecificCharacterSet": "ISO_IR 144"},
        {"WindowCenter": None},
        {},
    ]
    for implicit in (False, True):
        for change in changes:
            for _ in range(2):
                for keyword, value in change.items():
                    setattr(dataset, keyword, value)
                assert encoded(dataset, encoder, implicit=implicit) == encoded(dataset, implicit=implicit)
        dataset.PatientName, dataset.SpecificCharacterSet = "Ä", "ISO_IR 100"


@pytest.mark.parametrize(("representation", "expected"), [(0, 65535), (1, -1)])
def test_what_implicit_vr_leaves_open_is_decided_by_the_pixel_representation(
    representation: int, expected: int
) -> None:
    dataset = Dataset()
    dataset.PixelRepresentation = representation
    dataset.add_new(0x00280106, "US" if expected > 0 else "SS", expected)
    assert encoded(dataset, implicit=True)["00280106"]["Value"] == [expected]
