import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError

from apps.accounts.principal import system
from apps.network import config, current
from apps.network.current import CurrentRules
from apps.network.models import ConfigVersion, Peer
from apps.network.rules import PeerRules, Rules
from apps.network.snapshot import read_snapshot, write_snapshot
from tests.node import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ME = system("test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.json"


@pytest.fixture
def rules(path: Path) -> Iterator[CurrentRules]:
    made = CurrentRules(interval=0.02, snapshot=path)
    yield made
    made.stop()


def add_peer(name: str = "ct") -> None:
    config.save(Peer(name=name, ae_title=name.upper(), address_ranges="10.0.0.1"), principal=ME)


def test_a_change_holds_without_restart_and_is_kept_beside_the_spool(rules: CurrentRules, path: Path) -> None:
    rules.start()
    assert rules.rules.caller("CT", "10.0.0.1") is None
    add_peer()
    wait_for(lambda: rules.rules.caller("CT", "10.0.0.1"))
    wait_for(lambda: read_snapshot(path) == rules.rules)
    config.delete(Peer.objects.get(name="ct"), principal=ME)
    wait_for(lambda: rules.rules.caller("CT", "10.0.0.1") is None)


def test_rules_are_replaced_never_changed(rules: CurrentRules) -> None:
    rules.refresh()
    held = rules.rules
    add_peer()
    assert rules.refresh()
    assert held.caller("CT", "10.0.0.1") is None
    assert not rules.refresh()


def test_without_a_database_the_copy_serves_and_with_neither_nobody_gets_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: CurrentRules) -> bool:
        raise OperationalError("no database")

    monkeypatch.setattr(CurrentRules, "refresh", away)
    alone = CurrentRules(snapshot=path)
    alone.start()
    assert alone.rules.caller("CT", "127.0.0.1") is None
    alone.stop()
    write_snapshot(Rules(version=7, peers=(PeerRules("ct", "CT"),)), path)
    kept = CurrentRules(snapshot=path)
    kept.start()
    assert kept.rules.version == 7
    kept.stop()


def test_a_database_that_does_not_answer_delays_the_start_no_longer_than_a_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "FIRST_LOOK", 0.05)
    answer = threading.Event()

    def slow(self: CurrentRules) -> bool:
        answer.wait(30)
        raise OperationalError("timed out")

    write_snapshot(Rules(version=7), path)
    monkeypatch.setattr(CurrentRules, "refresh", slow)
    rules = CurrentRules(snapshot=path)
    rules.start()
    assert rules.rules.version == 7
    assert not answer.is_set()
    answer.set()
    rules.stop()


def test_the_last_rules_go_on_while_the_database_is_away(rules: CurrentRules, monkeypatch: pytest.MonkeyPatch) -> None:
    rules.start()
    with monkeypatch.context() as patch:
        looked = threading.Event()

        def away() -> bool:
            looked.set()
            raise OperationalError("no database")

        patch.setattr(rules, "refresh", away)
        assert looked.wait(60)
        assert rules.rules.caller("CT", "127.0.0.1")
    add_peer()
    wait_for(lambda: rules.rules.caller("CT", "10.0.0.1"))


def test_a_spool_that_cannot_be_written_does_not_keep_the_rules_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    rules = CurrentRules(snapshot=blocked / "rules.json")
    assert rules.refresh()
    assert rules.rules.caller("CT", "127.0.0.1")
    assert "cannot be kept" in caplog.text


def test_an_older_version_after_a_restored_database_holds_too(rules: CurrentRules) -> None:
    add_peer()
    rules.refresh()
    ConfigVersion.objects.update(version=1)
    Peer.objects.filter(name="ct").delete()
    assert rules.refresh()
    assert rules.rules.caller("CT", "10.0.0.1") is None


def test_the_copy_is_json_for_people_too(rules: CurrentRules, path: Path) -> None:
    rules.refresh()
    assert json.loads(path.read_text())["peers"][0]["name"] == "loopback"
