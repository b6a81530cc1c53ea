"""Processes of one node know each other apart, where their process ids do not."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.network import process


@pytest.fixture(autouse=True)
def locks(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    settings.SPOOL = tmp_path / "spool"
    yield settings.SPOOL / "processes"
    process.leave()


def test_a_process_goes_by_its_process_id_and_is_gone_when_it_leaves(locks: Path) -> None:
    assert process.number() == process.number() == os.getpid()
    assert process.is_alive(os.getpid())
    process.leave()
    assert not process.is_alive(os.getpid())
    assert list(locks.iterdir()) == []


def test_where_another_container_has_a_process_of_our_id_we_take_another_number(locks: Path) -> None:
    locks.mkdir(parents=True)
    with (locks / f"{os.getpid()}.lock").open("w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        ours = process.number()
        assert ours == os.getpid() + (1 << 22)
        assert process.is_alive(ours)
        process.leave()
        assert process.is_alive(os.getpid())


def test_what_a_killed_process_left_is_removed_by_the_next(locks: Path) -> None:
    locks.mkdir(parents=True)
    (locks / "77.lock").touch()
    (locks / f"{os.getpid()}.lock").touch()
    assert process.number() == os.getpid()
    assert [path.name for path in locks.iterdir()] == [f"{os.getpid()}.lock"]


def test_the_end_of_a_process_is_its_end_whatever_way(locks: Path) -> None:
    locks.mkdir(parents=True)
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(locks / "77.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert process.is_alive(77)
        other.kill()
    assert not process.is_alive(77)
