"""The samples of verification and storage, against DCMTK's programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.samples.programs import HOST, program, running, sample, serving

pytestmark = pytest.mark.live

FILES = [get_testdata_file(name, download=False) for name in ("CT_small.dcm", "MR_small.dcm", "SC_rgb_rle.dcm")]


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[int]:
    with running("storescp", "--accept-all", "--output-directory", tmp_path, "PORT") as port:
        yield port


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[int]:
    with serving("store_scp", tmp_path) as port:
        yield port


def assert_holds_them(folder: Path) -> None:
    """Bit for bit, and in the transfer syntax they were in."""
    kept = {ds.SOPInstanceUID: ds for ds in map(dcmread, folder.iterdir())}
    assert len(kept) == len(FILES)
    for sent in map(dcmread, FILES):
        got = kept[sent.SOPInstanceUID]
        assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert got.file_meta.MediaStorageSOPClassUID == sent.SOPClassUID
        assert (got.PixelData, got.PatientName) == (sent.PixelData, sent.PatientName)


def test_echo_scu_and_storescp(storescp: int) -> None:
    done = sample("echo_scu", HOST, storescp, "--called", "STORESCP")
    assert done.returncode == 0 and done.stdout.startswith("STORESCP is there"), done.stderr


def test_echo_scu_says_that_nobody_is_there() -> None:
    done = sample("echo_scu", HOST, 1)
    assert done.returncode != 0 and f"Cannot connect to {HOST}:1" in done.stderr


def test_echoscu_and_echo_scp() -> None:
    with serving("echo_scp") as port:
        assert program("echoscu", HOST, port).returncode == 0
        assert sample("echo_scu", HOST, port).returncode == 0


def test_store_scu_sends_files_as_they_are(storescp: int, tmp_path: Path) -> None:
    done = sample("store_scu", HOST, storescp, *FILES)
    assert done.returncode == 0, done.stderr
    assert [line[:5] for line in done.stdout.splitlines()] == ["0000 "] * len(FILES)
    assert_holds_them(tmp_path)


def test_store_scu_says_what_is_not_taken(tmp_path: Path) -> None:
    with running("storescp", "+xi", "--output-directory", tmp_path, "PORT") as port:
        done = sample("store_scu", HOST, port, *FILES)
    assert done.returncode == 1
    assert [line[:5] for line in done.stdout.splitlines()] == ["0122 "] * len(FILES)


def test_store_scp_takes_files_as_they_are(scp: int, tmp_path: Path) -> None:
    done = program("storescu", "-xr", HOST, scp, FILES[2])
    assert done.returncode == 0, done.stderr
    for _ in range(2):  # the same again is no mistake
        done = program("storescu", "-xe", HOST, scp, *FILES[:2])
        assert done.returncode == 0, done.stderr
    assert_holds_them(tmp_path)


def test_store_scu_and_store_scp(scp: int, tmp_path: Path) -> None:
    assert sample("store_scu", HOST, scp, *FILES).returncode == 0
    assert_holds_them(tmp_path)


def test_store_scp_says_when_there_is_no_room(tmp_path: Path) -> None:
    with serving("store_scp", tmp_path / "missing") as port:
        done = sample("store_scu", HOST, port, FILES[0])
    assert done.returncode == 1 and done.stdout.startswith("A700 ")
