"""Data sets of pydicom, to bytes and back."""

from pathlib import Path

import pytest

from dicom.datasets import SYNTAXES, data_set, decode, encode, read_file, write_file
from dicom.elements import EXPLICIT_BIG
from dicom.part10 import read_meta

STEP = data_set(Modality="CT", ScheduledProcedureStepDescription="Schädel")
ORDER = data_set(SpecificCharacterSet="ISO_IR 100", PatientName="Müller", ScheduledProcedureStepSequence=[STEP])


@pytest.mark.parametrize("syntax", [*SYNTAXES, EXPLICIT_BIG])
def test_what_is_encoded_is_decoded_again(syntax: str) -> None:
    assert decode(encode(ORDER, syntax), syntax) == ORDER


def test_no_data_set_is_an_empty_one() -> None:
    assert decode(None, SYNTAXES[0]) == data_set()


def test_texts_are_decoded_and_go_into_another_data_set() -> None:
    changes = decode(
        encode(data_set(SpecificCharacterSet="ISO_IR 192", PatientComments="größer"), SYNTAXES[0]), SYNTAXES[0]
    )
    del changes.SpecificCharacterSet
    merged = decode(encode(ORDER, SYNTAXES[0]), SYNTAXES[0])
    merged.update(changes)
    assert (merged.PatientName, merged.PatientComments) == ("Müller", "größer")


def test_a_file_is_what_it_says_it_is(tmp_path: Path) -> None:
    path = tmp_path / "order.dcm"
    for _ in range(2):
        write_file(
            path, decode(encode(ORDER, SYNTAXES[0]), SYNTAXES[0]), sop_class_uid="1.2.3", sop_instance_uid="1.2.4"
        )
    meta = read_meta(path.read_bytes())
    assert (meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid) == ("1.2.3", "1.2.4", SYNTAXES[0])
    read = read_file(path)
    assert (read.PatientName, read.SpecificCharacterSet) == ("Müller", "ISO_IR 192")
    assert read.ScheduledProcedureStepSequence[0].ScheduledProcedureStepDescription == "Schädel"
    assert list(tmp_path.iterdir()) == [path]
