"""C-FIND answered from data sets in memory; DCMTK's worklist as the peer is in tests/samples."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from dicom.answering import Question, read_entry
from dicom.datasets import data_set, decode, encode
from dicom.elements import EXPLICIT_LITTLE
from dicom.encoding import Identifier, encode_elements, read_identifier
from dicom.errors import InvalidDataSet

STEP = {"ScheduledProcedureStepStartDate": "20250705", "ScheduledProcedureStepStartTime": "0830", "Modality": "MR"}
ENTRY = data_set(
    SpecificCharacterSet="ISO_IR 100",
    PatientName="Müller^Jörg",
    AccessionNumber="A1",
    PatientComments="one\\two",
    FrameIncrementPointer=0x00181063,
    Rows=512,
    ReferencedStudySequence=[],
    ScheduledProcedureStepSequence=[data_set(**STEP, ScheduledStationAETitle=["MR1", "MR2"])],
)


def identifier(ds: Dataset) -> Identifier:
    return read_identifier(encode(ds, EXPLICIT_LITTLE), EXPLICIT_LITTLE)


def fits(keys: Mapping[str, object], step: Mapping[str, object] | None = None) -> bool:
    steps = {} if step is None else {"ScheduledProcedureStepSequence": [data_set(**step)]}
    return Question(identifier(data_set(**keys, **steps))).fits(identifier(ENTRY))


@pytest.mark.parametrize(
    ("keys", "step", "expected"),
    [
        ({}, None, True),
        ({"PatientName": "muller*"}, None, True),
        ({"PatientName": "MÜLLER^JÖRG", "SpecificCharacterSet": "ISO_IR 192"}, None, True),
        ({"AccessionNumber": "a1"}, None, False),
        ({"PatientComments": "one\\two"}, None, True),
        ({"FrameIncrementPointer": 0x00181063}, None, True),
        ({"FrameIncrementPointer": 0x00181065}, None, False),
        ({"Rows": 512}, None, True),
        ({"Rows": 256}, None, False),
        ({"PatientID": "1"}, None, False),
        ({"PatientID": ""}, {}, True),
        ({}, {"Modality": "MR", "ScheduledStationAETitle": "MR2"}, True),
        ({}, {"Modality": "CT", "ScheduledStationAETitle": "MR2"}, False),
    ],
)
def test_a_data_set_fits_what_is_asked(keys: dict[str, object], step: dict[str, object] | None, expected: bool) -> None:
    assert fits(keys, step) == expected


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("20250704-20250706", "2200-0600", True),
        ("20250705-20250706", "0900-0800", False),
        ("20250705", "0800-0900", True),
        ("20250705", "0900-", False),
        ("", "0800-0900", True),
        ("20250704-", "", True),
    ],
)
def test_start_date_and_time_are_one_range(date: str, time: str, expected: bool) -> None:
    step = {"ScheduledProcedureStepStartDate": date, "ScheduledProcedureStepStartTime": time}
    assert fits({}, step) == expected


def test_an_answer_holds_what_was_asked_and_the_character_set() -> None:
    step = data_set(Modality="", ScheduledProcedureStepID="")
    asked = data_set(PatientName="", PatientID="", ScheduledProcedureStepSequence=[step], ReferencedStudySequence=[])
    elements = Question(identifier(asked)).answer(identifier(ENTRY))
    assert decode(encode_elements(elements, EXPLICIT_LITTLE), EXPLICIT_LITTLE) == data_set(
        SpecificCharacterSet="ISO_IR 100",
        ReferencedStudySequence=[],
        PatientName="Müller^Jörg",
        PatientID="",
        ScheduledProcedureStepSequence=[data_set(Modality="MR", ScheduledProcedureStepID="")],
    )


@pytest.mark.parametrize("items", [[], [data_set()]])
def test_an_empty_sequence_asks_for_all_of_it(items: list[Dataset]) -> None:
    asked = identifier(data_set(ScheduledProcedureStepSequence=items))
    elements = Question(asked).answer(identifier(ENTRY))
    answer = decode(encode_elements(elements, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert answer.ScheduledProcedureStepSequence == ENTRY.ScheduledProcedureStepSequence


def test_a_key_that_is_none_is_named() -> None:
    asked = b"\x08\x00\x20\x00DA\x04\0soon"
    with pytest.raises(InvalidDataSet, match="not a date") as refused:
        Question(read_identifier(asked, EXPLICIT_LITTLE))
    assert refused.value.offending_element == 0x00080020


def test_the_level_is_answered_and_says_which_files_are_one_answer() -> None:
    question = Question(identifier(data_set(QueryRetrieveLevel="SERIES", AccessionNumber="")))
    answer = decode(encode_elements(question.answer(identifier(ENTRY)), EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert (answer.QueryRetrieveLevel, answer.AccessionNumber) == ("SERIES", "A1")
    assert question.unique_key == 0x0020000E
    assert Question(identifier(data_set())).unique_key == 0x00080018


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "image_dfl.dcm", "reportsi.dcm"]
)
def test_a_file_is_read_as_far_as_its_pixels(name: str) -> None:
    path = get_testdata_file(name, download=False)
    entry, ds = read_entry(Path(path)), dcmread(path)
    assert entry.sop_instance_uid == ds.SOPInstanceUID
    assert entry.identifier.text(0x00100010) == str(ds.get("PatientName", ""))
    assert entry.identifier.text(0x0020000D) == ds.get("StudyInstanceUID", "")
    if name != "image_dfl.dcm":
        assert 0x7FE00010 not in entry.identifier
