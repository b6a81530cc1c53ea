"""What is vendored is whole, and has its licence and its compressed twin."""

import gzip
from pathlib import Path

import pytest

from tests.node import ROOT

VENDORED = sorted(path for path in (ROOT / "static/vendor").iterdir() if path.is_dir())
LARGE = [path for folder in VENDORED for path in folder.rglob("*") if path.suffix in (".css", ".js")]


@pytest.mark.parametrize("folder", VENDORED, ids=lambda path: path.name)
def test_has_a_licence_and_a_version(folder: Path) -> None:
    assert (folder / "LICENSE").is_file()
    assert folder.name.rpartition("-")[2][0].isdigit()


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.name)
def test_what_is_sent_compressed_is_the_same(path: Path) -> None:
    assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()
