"""The samples of the modality worklist, against DCMTK's findscu and wlmscpfs."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.peers import absent
from tests.samples.programs import HOST, files, program, running, sample, serving

pytestmark = pytest.mark.live

EXAMPLES = Path("/usr/share/doc/dcmtk/examples")
STEP = "ScheduledProcedureStepSequence[0]."
START_DATE, START_TIME = STEP + "ScheduledProcedureStepStartDate", STEP + "ScheduledProcedureStepStartTime"


def dumped(folder: Path, to: Path) -> Path:
    """DCMTK's examples as files."""
    dumps = sorted(folder.glob("*.dump")) or absent("DCMTK's examples are not installed")
    for dump in dumps:
        done = program("dump2dcm", dump, to / f"{dump.stem}.wl")
        assert done.returncode == 0, done.stderr
    return to


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("worklist") / "OFFIS"
    made.mkdir()
    (made / "lockfile").touch()  # wlmscpfs wants one
    return dumped(EXAMPLES / "wlistdb" / "OFFIS", made)


@pytest.fixture(scope="module")
def scp(folder: Path) -> Iterator[int]:
    with serving("worklist_scp", folder) as port:
        yield port


@pytest.fixture(scope="module")
def wlmscpfs(folder: Path) -> Iterator[int]:
    with running("wlmscpfs", "-dfp", folder.parent, "-csk", "PORT") as port:
        yield port


def asked(port: int, folder: Path, *arguments: object) -> list[Dataset]:
    """The answers that findscu gets."""
    folder.mkdir(parents=True)
    done = program("findscu", "-W", "-X", "-od", folder, "-aec", "OFFIS", HOST, port, *arguments)
    assert done.returncode == 0 and "Failed" not in done.stderr, done.stderr
    return files(folder)


def values(ds: Dataset) -> frozenset[tuple[str, str]]:
    """What says something: wlmscpfs adds empty elements to an empty sequence, and leaves empty sequences away."""
    said = [(str(element.tag), str(element.value)) for element in ds.iterall() if element.VR != "SQ" and element.value]
    return frozenset(said)


def test_the_thirteen_queries_of_dcmtk_are_answered_as_by_wlmscpfs(scp: int, wlmscpfs: int, tmp_path: Path) -> None:
    numbers = []
    for query in sorted(dumped(EXAMPLES / "wlistqry", tmp_path).glob("*.wl")):
        ours, theirs = (asked(port, tmp_path / query.stem / str(port), query) for port in (scp, wlmscpfs))
        assert Counter(map(values, ours)) == Counter(map(values, theirs)), query.stem
        numbers.append(len(ours))
    assert len(numbers) == 13 and max(numbers) == 10 and min(numbers) < 3


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"PatientName": "VIVALDI*"}, {"SPD3445", "SPD1342", "SPD4564"}),
        ({"PatientID": "HF"}, {"SPD73843", "SPD1234", "SPD9478"}),
        ({STEP + "ScheduledStationAETitle": "NN77"}, {"SPD4564", "SPD8265"}),
        ({STEP + "Modality": "MR", "PatientName": "MOZART*"}, {"SPD4548"}),
        ({STEP + "ScheduledProcedureStepStartDate": "19960401-19960531"}, {"SPD1342", "SPD43645", "SPD8265"}),
        # From the 3rd, 16:00, to the 23rd, 14:00: not these hours of each day.
        ({START_DATE: "19960103-19960123", START_TIME: "1600-1400"}, {"SPD73843", "SPD4564"}),
    ],
)
def test_a_worklist_is_matched_as_wlmscpfs_does(
    scp: int, wlmscpfs: int, tmp_path: Path, keys: dict[str, str], found: set[str]
) -> None:
    wanted = {**keys, STEP + "ScheduledProcedureStepID": keys.get(STEP + "ScheduledProcedureStepID", "")}
    options = [option for keyword, text in wanted.items() for option in ("-k", f"{keyword}={text}")]
    for port in (scp, wlmscpfs):
        answers = asked(port, tmp_path / str(port), *options)
        assert {ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for ds in answers} == found


def test_a_key_that_is_none_is_refused(scp: int) -> None:
    done = program("findscu", "-W", "-v", HOST, scp, "-k", f"{START_DATE}=yesterday")
    assert "DataSetDoesNotMatchSOPClass" in done.stderr


@pytest.mark.parametrize("peer", ["wlmscpfs", "scp"])
def test_our_scu_prints_what_it_is_told(request: pytest.FixtureRequest, peer: str) -> None:
    port = request.getfixturevalue(peer)
    done = sample("worklist_scu", HOST, port, "--called", "OFFIS", "--name", "VIVALDI*", "--date", "19960101-")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split()[:4] == ["DATE", "TIME", "MODALITY", "STATION"]
    assert sorted(line.split()[:5] for line in lines) == [
        ["19960123", "135558", "CR", "['CC56',", "'NN77']"],
        ["19960406", "160700", "CT", "AB45", "SPD1342"],
    ]


def test_our_scu_says_why_it_has_nothing(scp: int) -> None:
    done = sample("worklist_scu", HOST, scp, "--date", "yesterday")
    assert done.returncode != 0 and "Status A900" in done.stderr
