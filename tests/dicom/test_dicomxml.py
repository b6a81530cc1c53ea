"""Data sets as XML: what DCMTK writes of them stands there, and nothing in a value is markup."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import orjson
import pytest
from pydicom.data import get_testdata_file

from dicom import part10
from dicom.dicomxml import to_xml
from dicom.metadata import Metadata
from dicom.walk import Walker
from dicom.windows import BytesWindow
from tests.peers import peer

SPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
OTHERWISE = {"00080005"}  # ours is in UTF-8
NUMBERS = {"DS", "FD", "FL"}


def attributes(parent: Element) -> dict[str, Element]:
    return {one.attrib["tag"].upper(): one for one in parent.findall(f"{SPACE}DicomAttribute")}


def differences(ours: Element, theirs: Element, way: str = "") -> list[str]:
    own, other = attributes(ours), attributes(theirs)
    found = [f"{way}{tag} missing" for tag in other.keys() - own.keys() - OTHERWISE if not tag.endswith("0000")]
    for tag in own.keys() & other.keys() - OTHERWISE:
        a, b = own[tag], other[tag]
        if a.attrib["vr"] != b.attrib["vr"] or a.attrib.get("keyword") != (b.attrib.get("keyword") or None):
            found.append(f"{way}{tag}: {a.attrib} {b.attrib}")
        items = list(zip(a.findall(f"{SPACE}Item"), b.findall(f"{SPACE}Item"), strict=True))
        for number, (one, two) in enumerate(items):
            found += differences(one, two, f"{way}{tag}/{number}/")
        if not items and texts(a) != texts(b):
            found.append(f"{way}{tag}: {texts(a)} {texts(b)}")
    return found


def texts(attribute: Element) -> list[object]:
    """Of values and of components of names."""
    texts = [
        (one.tag.removeprefix(SPACE), (one.text or "").strip())
        for one in attribute.iter()
        if len(one) == 0 and one.tag not in (f"{SPACE}BulkData", f"{SPACE}InlineBinary", f"{SPACE}DicomAttribute")
    ]
    if attribute.attrib["vr"] in NUMBERS:
        return [float(text) for _, text in texts if text]
    return [pair for pair in texts if pair[1]]


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "chrX2.dcm", "chrH31.dcm", "test-SR.dcm", "reportsi.dcm"]
)
def test_it_says_what_dcm2xml_says(name: str) -> None:
    path = get_testdata_file(name) or pytest.skip("not among the files of pydicom")
    done = subprocess.run(
        [peer("dcm2xml"), "--native-format", "--convert-to-utf8", str(path)], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    content = Path(str(path)).read_bytes()
    meta = part10.read_meta(content, lenient=True)
    walker = Walker(BytesWindow(content[meta.dataset_offset :]), meta.transfer_syntax_uid)
    ours = ElementTree.fromstring(to_xml(orjson.loads(Metadata().encode(walker, "/bulkdata"))))
    assert differences(ours, ElementTree.fromstring(done.stdout)) == []


def test_values_are_text_whatever_they_hold() -> None:
    evil = '</Value><script>alert("1")</script>&amp;\x00\x08\ud800\ufffe\r\n\t]]>'
    read = ElementTree.fromstring(
        to_xml(
            {
                "00081030": {"vr": "LO", "Value": [evil, None, "b"]},
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"{evil}^b^c^d^e^f", "Ideographic": "^山田"}]},
                "00090010": {"vr": "LO", "Value": [evil]},
                "00091001": {"vr": "UN", "InlineBinary": "AAA="},
                "7FE00010": {"vr": "OW", "BulkDataURI": f'/x"{evil}'},
            }
        )
    )
    told = (
        evil.replace("\x00", "\ufffd").replace("\x08", "\ufffd").replace("\ud800", "\ufffd").replace("\ufffe", "\ufffd")
    )
    found = attributes(read)
    assert [(one.attrib["number"], one.text) for one in found["00081030"]] == [("1", told), ("3", "b")]
    name = found["00100010"][0]
    assert [[part.text for part in group] for group in name] == [[told, "b", "c", "d", "e^f"], ["山田"]]
    assert found["00091001"].attrib["privateCreator"].split() == told.split()
    assert "privateCreator" not in found["00090010"].attrib
    assert found["00091001"][0].text == "AAA="
    assert {one.tag.removeprefix(SPACE) for one in read.iter()} == {
        *("NativeDicomModel", "DicomAttribute", "Value", "PersonName", "Alphabetic", "Ideographic", "InlineBinary"),
        *("BulkData", "FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"),
    }
