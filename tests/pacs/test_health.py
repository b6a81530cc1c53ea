"""What keeps images from coming in makes a node not ready."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import RequestFactory

from apps.network.nodes import Heartbeat
from apps.network.rules import ListenerRules, Rules
from apps.network.snapshot import write_snapshot
from pacs import health
from pacs.listeners.ports import Ports
from tests.node import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def directories(tmp_path: Path, settings: Any) -> None:
    settings.ARCHIVE, settings.SPOOL = tmp_path / "archive", tmp_path / "spool"
    settings.ARCHIVE.mkdir()
    for part in ("tmp", "ready"):
        (settings.SPOOL / part).mkdir(parents=True)
    settings.MINIMUM_FREE = 0


def failing() -> dict[str, str]:
    body = json.loads(health.ready(RequestFactory().get("/health/ready")).content)
    found: dict[str, str] = body.get("failing", {})
    return {name: why for name, why in found.items() if why != "no sign of life"}


def test_a_listener_whose_port_is_taken_is_named_until_it_opens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = ListenerRules(name="default", ae_title="PACS", host="127.0.0.1", port=port)
        write_snapshot(Rules(listeners=(listener,)))
        ports = Ports(opened=lambda name, bound: None, closed=lambda bound: None)
        ports.reconcile([listener])
        assert failing()["listeners"].startswith(f"default cannot open 127.0.0.1:{port}")
    ports.reconcile([listener])
    assert failing() == {}
    ports.close()


def test_a_disk_at_its_watermark_is_named(settings: Any) -> None:
    settings.MINIMUM_FREE = 1 << 60
    assert set(failing()) == {"archive", "spool"}


def test_a_missing_spool_is_named(settings: Any) -> None:
    settings.SPOOL = settings.SPOOL / "elsewhere"
    assert failing() == {"spool": "cannot be written: No such file or directory"}


@pytest.mark.parametrize("part", ["tmp", "ready"])
def test_a_part_of_the_spool_that_is_missing_is_named(part: str, settings: Any) -> None:
    (settings.SPOOL / part).rmdir()
    assert set(failing()) == {"spool"}


def test_the_command_for_containers_says_what_does_not_work(settings: Any) -> None:
    settings.READY_ROLES = ["indexer"]
    with pytest.raises(CommandError, match="indexer: no sign of life"):
        call_command("ready")
    Heartbeat("indexer").beat()
    call_command("ready")
    settings.READY_ROLES = ["indexer", "web"]
    settings.HTTP = ("0.0.0.0", free_port())
    assert failing() == {}, "who answers is there"
    with pytest.raises(CommandError, match=r"web: .*refused"):
        call_command("ready")


def test_a_node_that_only_answers_needs_no_spool(settings: Any) -> None:
    settings.SPOOL = settings.SPOOL / "elsewhere"
    settings.READY_ROLES = ["dimse"]
    assert failing() == {}
