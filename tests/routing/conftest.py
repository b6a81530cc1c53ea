"""An archive of its own for each test, peers to send to, and a kind "send" that only says what it was asked."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.accounts.principal import Principal
from apps.failpoints import arm
from apps.jobs import outbox
from apps.jobs.kind import Kind, Planned
from apps.network.calling import NoSuchPeer
from apps.network.models import Peer
from apps.storage import index
from pacs.kinds import KINDS


def _check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    if not Peer.objects.filter(name=arguments["peer"], enabled=True).exists():
        raise NoSuchPeer("There is no peer of this name that can be called")
    return Planned(arguments, peer=arguments["peer"])


TABLE: Mapping[str, Kind] = {**KINDS, "send": Kind(lambda run: None, title="Send", check=_check)}


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
