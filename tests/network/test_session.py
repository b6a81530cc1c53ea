from dataclasses import replace

from apps.accounts.principal import system
from apps.network.current import CurrentRules
from apps.network.models import Peer
from apps.network.rules import ListenerRules, PeerRules, Rules, peer_rules, resolve_nothing
from apps.network.session import Session
from dicom.sop_classes import Service

OFFERED = frozenset({Service.STORE, Service.FIND})
LISTENER = ListenerRules(name="default", ae_title="PACS", host="0.0.0.0", port=104, services=OFFERED)


def caller(*services: str) -> PeerRules:
    row = Peer(name="ct", ae_title="CT1", address_ranges="10.0.0.1", services=list(services))
    return peer_rules(row, resolve_nothing)


def session(rules: CurrentRules) -> Session:
    return Session(
        listener=rules.rules.listeners[0],
        rules=rules,
        caller=rules.rules.peers[0],
        principal=system("test"),
        address="10.0.0.1",
        calling_ae_title="CT1",
        called_ae_title="PACS",
        association_id="0a",
    )


def test_what_both_the_listener_and_the_peer_row_allow_is_allowed() -> None:
    open_session = session(CurrentRules(rules=Rules(listeners=(LISTENER,), peers=(caller("store", "move"),))))
    assert open_session.allows(Service.STORE)
    assert not open_session.allows(Service.FIND)  # the listener's alone
    assert not open_session.allows(Service.MOVE)  # the peer's alone


def test_a_right_withdrawn_ends_for_associations_that_are_open() -> None:
    rules = CurrentRules(rules=Rules(listeners=(LISTENER,), peers=(caller("store", "find"),)))
    open_session = session(rules)
    assert open_session.allows(Service.FIND)
    rules.rules = replace(rules.rules, peers=(caller("store"),))
    assert not open_session.allows(Service.FIND)
    assert open_session.allows(Service.STORE)
    rules.rules = replace(rules.rules, peers=())
    assert not open_session.allows(Service.STORE)


def test_nothing_is_allowed_on_a_listener_that_is_gone() -> None:
    rules = CurrentRules(rules=Rules(listeners=(LISTENER,), peers=(caller("store"),)))
    open_session = session(rules)
    rules.rules = replace(rules.rules, listeners=())
    assert not open_session.allows(Service.STORE)


def test_requests_are_counted_by_name_and_status() -> None:
    open_session = session(CurrentRules(rules=Rules(listeners=(LISTENER,), peers=(caller(),))))
    for status in (0xA700, 0, 0):
        open_session.count("C-STORE", status)
    open_session.count("C-ECHO", 0)
    assert open_session.messages() == {"C-ECHO": {"0000": 1}, "C-STORE": {"0000": 2, "A700": 1}}
