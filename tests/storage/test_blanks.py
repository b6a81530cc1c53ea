"""Files made ahead: where they are made, and that nothing of them stays behind."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.storage.blanks import Blank, Blanks
from apps.storage.spool import Spool


def test_blanks_that_are_given_up_keep_no_file_open(tmp_path: Path) -> None:
    def is_open() -> bool:  # other tests' files are closed at any moment
        return any(str(tmp_path) in os.path.realpath(link) for link in Path("/proc/self/fd").iterdir())

    blanks = Blanks(tmp_path)
    os.close(blanks.take().fd)
    assert is_open()
    del blanks
    assert not is_open()


def taken(source: Blanks, count: int) -> Iterator[Blank]:
    for _ in range(count):
        blank = source.take()
        os.close(blank.fd)
        yield blank


def cost(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Of a clock that so much passes on between two looks at it."""
    monkeypatch.setattr(time, "thread_time", itertools.count(0, seconds).__next__)


def test_where_new_files_cost_much_the_next_ones_are_made_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Blanks(tmp_path)
    cost(monkeypatch, 1.0)
    assert len({blank.folder.path for blank in taken(source, 8)}) == 1
    cost(monkeypatch, 1e-6)
    assert len({blank.folder.path for blank in taken(source, 500)}) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_where_they_cost_much_everywhere_they_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Blanks(tmp_path)
    cost(monkeypatch, 1.0)
    for _ in taken(source, 2000):
        pass
    assert len(list(tmp_path.iterdir())) == 4


def test_a_directory_that_was_left_goes_when_its_last_file_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Spool(tmp_path / "spool", "main")
    here.make()
    cost(monkeypatch, 1.0)
    blank = here.blank()
    cost(monkeypatch, 1e-6)
    for other in taken(here._blanks, 20):
        other.unlink()
    os.write(blank.fd, b"still being written")
    folder = Path(blank.folder.path)
    here.take_over()
    assert folder.is_dir()
    os.close(blank.fd)
    blank.unlink()
    del blank, other
    here.take_over()
    assert not folder.exists()
    assert len(list(here.tmp.iterdir())) == 1
