"""What we ask of the file system, checked with e2fsprogs."""

import errno
import fcntl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from apps.storage.spool import Spool
from tests.peers import peer


def flags(directory: Path) -> str:
    lsattr = subprocess.run([peer("lsattr"), "-d", directory], capture_output=True, text=True, check=True)
    return lsattr.stdout.split()[0]


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


def test_a_file_system_that_knows_no_such_flag_does_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    Spool(tmp_path / "spool", "node").make()
    assert (tmp_path / "spool" / "tmp").is_dir()
