"""The samples of query and retrieve, against DCMTK's archive and its clients."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from tests.node import free_port
from tests.samples.programs import HOST, files, program, running, sample, serving

pytestmark = pytest.mark.live

PATHS = [get_testdata_file(name, download=False) for name in ("CT_small.dcm", "MR_small.dcm")]
CT, MR = (dcmread(path, stop_before_pixels=True) for path in PATHS)
STUDY = f"StudyInstanceUID={CT.StudyInstanceUID}"
CONFIGURATION = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
dest = (DEST, localhost, {destination})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRSCP {folder} RW (100, 1024mb) ANY
AETable END
"""


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrived")


@pytest.fixture(scope="module")
def destination(arrived: Path) -> Iterator[int]:
    with running("storescp", "--accept-all", "--output-directory", arrived, "PORT") as port:
        yield port


@pytest.fixture(scope="module")
def dcmqrscp(tmp_path_factory: pytest.TempPathFactory, destination: int) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("qrscp")
    port, configuration = free_port(), folder / "qrscp.cfg"
    configuration.write_text(CONFIGURATION.format(port=port, destination=destination, folder=folder))
    with running("dcmqrscp", "-c", configuration, port=port):
        assert program("storescu", "-aec", "QRSCP", HOST, port, *PATHS).returncode == 0
        yield port


@pytest.fixture(scope="module")
def scp(tmp_path_factory: pytest.TempPathFactory, destination: int) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("archive")
    for path in PATHS:
        shutil.copy(path, folder)
    with serving("qr_scp", folder, "--destination", f"DEST={HOST}:{destination}") as port:
        yield port


@pytest.fixture(params=["dcmqrscp", "scp"])
def archive(request: pytest.FixtureRequest) -> int:
    """DCMTK's, and ours."""
    return int(request.getfixturevalue(request.param))


@pytest.fixture(autouse=True)
def _nothing_has_arrived(arrived: Path) -> None:
    for path in arrived.iterdir():
        path.unlink()


def asked(port: int, folder: Path, level: str, *keys: str) -> list[Dataset]:
    options = [option for key in (f"QueryRetrieveLevel={level}", *keys) for option in ("-k", key)]
    done = program("findscu", "-S", "-X", "-od", folder, HOST, port, *options)
    assert done.returncode == 0, done.stderr
    return files(folder)


def test_find_scu_prints_what_an_archive_has(archive: int) -> None:
    keys = ("PatientID=1CT*", "PatientName", "StudyInstanceUID")
    done = sample("find_scu", HOST, archive, *keys, "--called", "QRSCP")
    assert done.returncode == 0, done.stderr
    head, *lines = (line.split("\t") for line in done.stdout.splitlines())
    assert head == ["PatientID", "PatientName", "StudyInstanceUID"]
    assert lines == [[CT.PatientID, str(CT.PatientName), CT.StudyInstanceUID]]


def test_move_scu_has_an_archive_send(archive: int, arrived: Path) -> None:
    done = sample("move_scu", HOST, archive, "DEST", STUDY, "--called", "QRSCP")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "0000: 1 sent, 0 failed, 0 to come"
    assert [ds.SOPInstanceUID for ds in files(arrived)] == [CT.SOPInstanceUID]


def test_move_scu_says_that_the_destination_is_not_known(archive: int) -> None:
    done = sample("move_scu", HOST, archive, "NOBODY", STUDY, "--called", "QRSCP")
    assert done.returncode != 0 and "Status A801" in done.stderr


@pytest.mark.parametrize("wrong", [("find_scu", "PatientId=1"), ("move_scu", "DEST", "StudyInstanceUId=1.2")])
def test_a_key_that_is_no_keyword_is_told_and_does_not_match_everything(archive: int, wrong: tuple[str, ...]) -> None:
    name, *arguments = wrong
    done = sample(name, HOST, archive, *arguments, "--called", "QRSCP")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(f"{arguments[-1].partition('=')[0]} is no keyword of an element")


def test_get_scu_fetches_into_a_folder(archive: int, tmp_path: Path) -> None:
    tmp_path /= "made by it"
    done = sample("get_scu", HOST, archive, tmp_path, STUDY, "--called", "QRSCP")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 received, 0 failed"
    (got,) = files(tmp_path)
    assert got.PixelData == dcmread(PATHS[0]).PixelData


@pytest.mark.parametrize(
    ("level", "keys", "answers"),
    [
        ("STUDY", ("StudyInstanceUID", "StudyDate=2004"), []),
        ("STUDY", ("StudyInstanceUID", "StudyDate=20040101-20041231"), [CT, MR]),
        ("STUDY", ("StudyInstanceUID", "PatientName=compressedsamples^mr1"), [MR]),
        ("SERIES", (STUDY, "SeriesInstanceUID", "Modality"), [CT]),
        ("IMAGE", (STUDY, f"SeriesInstanceUID={CT.SeriesInstanceUID}", "SOPInstanceUID"), [CT]),
    ],
)
def test_findscu_and_qr_scp(
    scp: int, tmp_path: Path, level: str, keys: tuple[str, ...], answers: list[Dataset]
) -> None:
    found = asked(scp, tmp_path, level, *keys)
    assert {ds.StudyInstanceUID for ds in found} == {ds.StudyInstanceUID for ds in answers}
    for ds in found:
        assert ds.QueryRetrieveLevel == level
        assert set(ds.dir()) - {"SpecificCharacterSet"} == {key.partition("=")[0] for key in keys} | {
            "QueryRetrieveLevel"
        }


def test_getscu_and_qr_scp(scp: int, tmp_path: Path) -> None:
    done = program("getscu", "-S", "-od", tmp_path, HOST, scp, "-k", "QueryRetrieveLevel=STUDY", "-k", STUDY)
    assert done.returncode == 0, done.stderr
    assert [ds.SOPInstanceUID for ds in files(tmp_path)] == [CT.SOPInstanceUID]


def test_movescu_and_qr_scp(scp: int, arrived: Path) -> None:
    for study in (STUDY, f"StudyInstanceUID={MR.StudyInstanceUID}"):
        done = program("movescu", "-S", "-aem", "DEST", HOST, scp, "-k", "QueryRetrieveLevel=STUDY", "-k", study)
        assert done.returncode == 0, done.stderr
    assert {ds.SOPInstanceUID for ds in files(arrived)} == {CT.SOPInstanceUID, MR.SOPInstanceUID}


def test_what_qr_scp_was_sent_it_has(tmp_path: Path) -> None:
    with serving("qr_scp", tmp_path) as port:
        assert program("storescu", HOST, port, PATHS[1]).returncode == 0
        done = sample("find_scu", HOST, port, "PatientID")
    assert done.stdout.splitlines() == ["PatientID", MR.PatientID]
