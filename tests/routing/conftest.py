"""An archive of its own for each test, peers to send to, and a kind "send" that only says what it was asked."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.failpoints import arm
from apps.jobs import outbox
from apps.jobs.kind import Kind
from apps.storage import index
from pacs.kinds import KINDS

TABLE: Mapping[str, Kind] = {**KINDS, "send": Kind(lambda run: None)}


@pytest.fixture(autouse=True)
def archive(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    outbox._awaited.clear()
    index._told.clear()
    settings.JOB_KINDS = "tests.routing.conftest.TABLE"
    settings.DATA = tmp_path
    settings.SPOOL = tmp_path / "spool" / "main"
    settings.ARCHIVE = tmp_path / "archive"
    settings.MINIMUM_FREE = 1 << 20
    yield tmp_path / "archive"
    arm("")
