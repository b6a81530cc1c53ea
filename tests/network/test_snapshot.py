import stat
from pathlib import Path

import pytest

from apps.network.models import Listener, Peer
from apps.network.rules import Rules, listener_rules
from apps.network.snapshot import from_json, read_snapshot, write_snapshot


@pytest.mark.django_db
def test_a_snapshot_says_what_the_database_said(tmp_path: Path) -> None:
    Listener.objects.create(name="default", ae_title="PACS", port=104, services=["store", "find"], idle_timeout=0)
    Peer.objects.create(
        name="ct",
        ae_title="CT1",
        address_ranges="10.0.0.0/24\n2001:db8::/32",
        services=["store"],
        host="ct",
        port=104,
        preferred_transfer_syntaxes=["1.2.840.10008.1.2.1"],
        idle_timeout=0,
    )
    rules = Rules.load()
    path = tmp_path / "spool" / "rules.json"
    write_snapshot(rules, path)
    assert read_snapshot(path) == rules
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["rules.json"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1, "listeners": 3, "peers": []}', '{"version": 1'])
def test_a_damaged_snapshot_is_no_snapshot(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(text)
    assert read_snapshot(path) is None


def test_a_snapshot_of_another_version_of_the_program_is_read_as_far_as_it_goes() -> None:
    row = '{"name": "ct", "ae_title": "CT1", "networks": ["10.0.0.1"], "mood": 1}'
    rules = from_json(f'{{"version": 7, "listeners": [], "peers": [{row}]}}')
    assert rules.version == 7
    assert [peer.name for peer in rules.peers] == ["ct"]
    assert rules.caller("CT1", "10.0.0.1") == rules.peers[0]


def test_the_balancers_of_a_listener_are_addresses_and_networks_and_survive_the_copy(tmp_path: Path) -> None:
    row = Listener(name="default", ae_title="PACS", host="::", port=104, balancers="10.0.0.1\n192.168.7.0/24")
    write_snapshot(Rules(listeners=(listener_rules(row),)), tmp_path / "rules.json")
    kept = read_snapshot(tmp_path / "rules.json")
    assert kept is not None
    (listener,) = kept.listeners
    assert listener == listener_rules(row)
    assert not listener.trusts_loopback
    assert [listener.is_balancer(address) for address in ("10.0.0.1", "::ffff:192.168.7.9", "10.0.0.2", "x")] == [
        True,
        True,
        False,
        False,
    ]
    assert listener_rules(Listener(name="a", ae_title="A", host="", port=1)).trusts_loopback
