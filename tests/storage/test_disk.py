"""What we ask of the file system, checked with e2fsprogs."""

import subprocess
from pathlib import Path

import pytest

from apps.storage.disk import spread
from apps.storage.spool import Spool


def flags(directory: Path) -> str:
    return subprocess.run(["lsattr", "-d", directory], capture_output=True, text=True, check=True).stdout.split()[0]


def is_ext4(directory: Path) -> bool:
    shown = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, check=True).stdout
    return shown.strip() == "ext2/ext3"


def test_each_receiving_process_gets_a_part_of_the_disk_of_its_own(tmp_path: Path) -> None:
    if not is_ext4(tmp_path):
        pytest.skip("ext4 alone knows the flag")
    before = flags(tmp_path)
    Spool(tmp_path / "spool", "node").make()
    assert "T" in flags(tmp_path / "spool" / "tmp")
    assert flags(tmp_path / "spool" / "tmp").replace("T", "-") == before
    assert "T" not in flags(tmp_path / "spool" / "ready")


def test_a_file_system_that_knows_no_such_flag_is_left_as_it_is() -> None:
    spread(Path("/proc/self"))
    assert "T" not in subprocess.run(["lsattr", "-d", "/proc/self"], capture_output=True, text=True).stdout
