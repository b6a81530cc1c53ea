"""A spool and an archive of its own for each test."""

from pathlib import Path

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def archive(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA = tmp_path
    settings.SPOOL = tmp_path / "spool" / "main"
    settings.ARCHIVE = tmp_path / "archive"
    settings.MINIMUM_FREE = 1 << 20
    return tmp_path / "archive"
