import subprocess
import sys

import pytest
from pydicom import datadict

from dicom.dictionary import dictionary_vr, keyword, tag_of


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x00100010, "PN"),
        (0x00280106, "US or SS"),
        (0x60023000, "OB or OW"),
        (0x00090010, "LO"),
        (0x00091001, "UN"),
        (0x00080000, "UL"),
        (0x0008FFFF, "UN"),
        (0x00203100, "CS"),
        (0xFFFEE000, "UN"),
    ],
)
def test_the_dictionary_knows_standard_repeating_and_private_elements(tag: int, vr: str) -> None:
    assert dictionary_vr(tag) == vr


def test_the_dictionary_agrees_with_pydicom_over_all_it_knows() -> None:
    for tag, entry in datadict.DicomDictionary.items():
        if entry[0] != "NONE" and tag & 0xFFFF:
            assert dictionary_vr(tag) == entry[0]


def test_the_dictionary_knows_keywords_both_ways() -> None:
    assert keyword(0x00100020) == "PatientID"
    assert tag_of("PatientID") == 0x00100020
    assert keyword(0x60023000) == "OverlayData"
    assert keyword(0x00091001) == ""
    assert tag_of("Nonsense") is None


def test_reading_the_dictionary_does_not_load_all_of_pydicom() -> None:
    code = "import sys, dicom.dictionary, dicom.encoding, dicom.reencode; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
