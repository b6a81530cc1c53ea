import threading
from collections.abc import Sequence

import pytest

from apps.network import names
from apps.network.names import Names
from apps.network.rules import resolve_now
from tests.node import wait_for


class NameServer:
    """Answers when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: dict[str, Sequence[str]] = {}
        self.awake = threading.Event()
        self.awake.set()
        self.asked = 0
        monkeypatch.setattr(names, "resolve_now", self)

    def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        self.awake.wait(30)
        return self.addresses.get(host, ())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    return NameServer(monkeypatch)


def test_a_name_is_looked_up_once_and_then_known(server: NameServer) -> None:
    server.addresses["ct"] = ["10.0.0.1"]
    known = Names(patience=30)
    for _ in range(3):
        known.begin()
        assert known("ct") == ["10.0.0.1"]
    assert not known.changed()
    assert server.asked == 1


def test_a_name_server_that_sleeps_delays_no_rule_and_its_answer_counts_when_it_comes(server: NameServer) -> None:
    server.addresses["ct"] = ["10.0.0.1"]
    server.awake.clear()
    known = Names(patience=0.01)
    known.begin()
    assert known("ct") == ()
    assert not known.changed()
    server.awake.set()
    wait_for(known.changed)
    known.begin()
    assert known("ct") == ["10.0.0.1"]
    assert not known.changed()


def test_a_name_that_moves_is_noticed_and_one_that_vanishes_keeps_its_address(server: NameServer) -> None:
    server.addresses["ct"] = ["10.0.0.1"]
    known = Names(fresh=0.0, patience=30)
    known.begin()
    known("ct")
    server.addresses["ct"] = ["10.0.0.2"]
    wait_for(known.changed)
    known.begin()
    assert known("ct") == ["10.0.0.2"]
    server.addresses.clear()
    asked = server.asked
    wait_for(lambda: known.changed() or server.asked > asked + 2)
    assert known("ct") == ["10.0.0.2"]


def test_names_no_longer_asked_for_are_not_followed(server: NameServer) -> None:
    known = Names(fresh=0.0, patience=30)
    known.begin()
    known("ct")
    known.begin()
    asked = server.asked
    known.changed()
    assert server.asked == asked


def test_the_systems_resolver_knows_localhost_and_not_nonsense(caplog: pytest.LogCaptureFixture) -> None:
    assert "127.0.0.1" in resolve_now("localhost")
    assert resolve_now("no-such-host.invalid") == ()
    assert resolve_now("x" * 300) == ()
    assert "cannot be resolved" in caplog.text
