"""DCMTK's sample worklist and sample queries: from us what its own server gives. Each difference stands below, with the
paragraph of the standard that explains it."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from apps.worklist import importing
from tests.peers import peer
from tests.worklist.asking import RIS
from tests.worklist.conftest import Serve
from tests.worklist.wlmscpfs import Plain, Wlmscpfs, dumps, running, to_dicom

STEP = "ScheduledProcedureStepSequence"

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wlmscpfs]:
    with running(tmp_path_factory.mktemp("wlistdb")) as server:
        yield server


def _find(port: int, called: str, folder: Path, *asked: str) -> list[Plain]:
    """The answers that findscu gets."""
    folder.mkdir()
    command = [
        peer("findscu"),
        "-W",
        "-aet",
        "CALLER",
        "-aec",
        called,
        "-X",
        "-od",
        str(folder),
        "127.0.0.1",
        str(port),
    ]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [_plain(pydicom.dcmread(path, force=True)) for path in folder.glob("rsp*.dcm")]


def _plain(ds: Dataset) -> Plain:
    return {
        element.keyword: [_plain(item) for item in element.value] if element.VR == "SQ" else str(element.value or "")
        for element in ds
    }


def _set(answers: list[Plain]) -> list[str]:
    return sorted(json.dumps(answer, sort_keys=True) for answer in answers)


# What turns an answer of theirs into ours, and why.


def _status_of_ours(answer: Plain, patients: Mapping[str, Plain]) -> None:
    """PS3.3 C.4.10: a step that nobody has begun is SCHEDULED; wlmscpfs knows no status that is not in the item."""
    (step,) = answer[STEP]
    if step["ScheduledProcedureStepStatus"] == "":
        step["ScheduledProcedureStepStatus"] = "SCHEDULED"


def _no_unknown_end(answer: Plain, patients: Mapping[str, Plain]) -> None:
    """PS3.4 C.2.2.2.6: an empty item asks for the whole step. wlmscpfs answers a list of its own, which has the end of
    the step (type 3, PS3.4 Table K.6-1), always empty."""
    (step,) = answer[STEP]
    assert step.pop("ScheduledProcedureStepEndDate") == step.pop("ScheduledProcedureStepEndTime") == ""


def _one_patient(answer: Plain, patients: Mapping[str, Plain]) -> None:
    """PS3.4 Figure K.6-1: alerts and allergies are the patient's, of whom there is one; the samples contradict each
    other, and the item that came last counts."""
    answer.update(patients[answer["PatientID"]])


Explained = Callable[[Plain, Mapping[str, Plain]], None]
WHOLE: tuple[Explained, ...] = (_status_of_ours, _no_unknown_end)
DIFFERENCES: Mapping[str, tuple[Explained, ...]] = {
    "wlistqry1": (*WHOLE, _one_patient),
    "wlistqry3": WHOLE,
    "wlistqry11": (_one_patient,),
}
QUERIES = [f"wlistqry{number}" for number in range(13)]
# Of our own, since most of the samples' match nothing.
KEYS = {
    "station": [f"{STEP}[0].ScheduledStationAETitle=AA32", "PatientName"],
    "one of several stations": [f"{STEP}[0].ScheduledStationAETitle=NN77", f"{STEP}[0].ScheduledProcedureStepID"],
    "modality": [f"{STEP}[0].Modality=MR", "AccessionNumber"],
    "range of dates": [f"{STEP}[0].ScheduledProcedureStepStartDate=19960101-19960430", f"{STEP}[0].Modality"],
    "dates and times": [
        f"{STEP}[0].ScheduledProcedureStepStartDate=19960103-19960406",
        f"{STEP}[0].ScheduledProcedureStepStartTime=120000-150000",
    ],
    "name": ["PatientName=HAYDN*", "PatientID"],
    "pattern": ["PatientName=?O*", "PatientID"],
    "physician": [f"{STEP}[0].ScheduledPerformingPhysicianName=ROSS", "PatientID"],
    "patient ID": ["PatientID=HF", "StudyInstanceUID"],
    "accession number": ["AccessionNumber=00004", "PatientName"],
    "requested procedure": ["RequestedProcedureID=RP44580", "PatientName"],
}
# PS3.4 C.2.2.2.1: CS is matched by its case; of names the server may ignore it: we do, wlmscpfs does not.
OTHER_CASE = {"Modality": ([f"{STEP}[0].Modality=mr"], 0, 0), "name": (["PatientName=haydn*"], 3, 0)}


@pytest.fixture
def ours(theirs: Wlmscpfs, serve: Serve) -> int:
    """The port of a listener of ours that has taken the same items."""
    for path in sorted(theirs.items.glob("*.wl")):
        importing.take(importing.read_file(path), principal=RIS)
        ds = pydicom.dcmread(path)
        said = {name: str(ds[name].value) for name in ("MedicalAlerts", "Allergies") if ds.get(name)}
        theirs.patients.setdefault(ds.PatientID, {}).update(said)
    return serve().port


def test_each_sample_query_is_answered_as_wlmscpfs_answers_it(theirs: Wlmscpfs, ours: int, tmp_path: Path) -> None:
    queries = {dump.name.partition(".")[0]: dump for dump in dumps("wlistqry/wlistqry")}
    assert set(queries) == set(QUERIES)
    for name in QUERIES:
        asked = str(to_dicom(queries[name], tmp_path / f"{name}.dcm"))
        _compare(name, theirs, ours, tmp_path, asked)


def test_keys_that_match_are_answered_as_wlmscpfs_answers_them(theirs: Wlmscpfs, ours: int, tmp_path: Path) -> None:
    for name, keys in KEYS.items():
        assert _compare(name, theirs, ours, tmp_path, *_typed(keys)), name


def test_keys_in_other_case_match_names_only(theirs: Wlmscpfs, ours: int, tmp_path: Path) -> None:
    for name, (keys, by_us, by_them) in OTHER_CASE.items():
        assert len(_find(ours, "PACS", tmp_path / f"{name} ours", *_typed(keys))) == by_us
        assert len(_find(theirs.port, "OFFIS", tmp_path / f"{name} theirs", *_typed(keys))) == by_them


def _typed(keys: list[str]) -> list[str]:
    return [part for key in keys for part in ("-k", key)]


def _compare(name: str, theirs: Wlmscpfs, port: int, folder: Path, *asked: str) -> int:
    """How many answers both give."""
    expected = _find(theirs.port, "OFFIS", folder / f"{name} theirs", *asked)
    for explain in DIFFERENCES.get(name, ()):
        before = _set(expected)
        for answer in expected:
            explain(answer, theirs.patients)
        assert _set(expected) != before, f"{name}: {explain.__name__} explains nothing"
    assert _set(_find(port, "PACS", folder / f"{name} ours", *asked)) == _set(expected), name
    return len(expected)
