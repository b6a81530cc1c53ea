import pytest

from apps.accounts.principal import Kind
from apps.network.models import Listener, Peer
from apps.network.rules import (
    ListenerRules,
    PeerRules,
    Rules,
    peer_rules,
    resolve_nothing,
)
from dicom.sop_classes import Service


def peer(name: str, ae_title: str, *ranges: str, **fields: object) -> PeerRules:
    row = Peer(name=name, ae_title=ae_title, address_ranges="\n".join(ranges), **fields)
    return peer_rules(row, resolve_nothing)


def name_of(found: PeerRules | None) -> str | None:
    return found.name if found else None


def test_a_row_with_the_ae_title_goes_before_the_row_for_anyone() -> None:
    rules = Rules(peers=(peer("any", "*", "10.0.0.0/8"), peer("ct", "CT1", "10.0.0.0/8")))
    assert name_of(rules.caller("CT1", "10.1.2.3")) == "ct"
    assert name_of(rules.caller("MR1", "10.1.2.3")) == "any"


def test_the_narrowest_network_wins_among_rows_of_one_ae_title() -> None:
    rules = Rules(peers=(peer("a wide", "CT1", "10.0.0.0/8"), peer("narrow", "CT1", "192.168.0.0/16", "10.1.2.3")))
    assert name_of(rules.caller("CT1", "10.1.2.3")) == "narrow"
    assert name_of(rules.caller("CT1", "10.1.2.4")) == "a wide"


def test_a_known_ae_title_from_another_address_falls_back_to_the_row_for_anyone() -> None:
    rules = Rules(peers=(peer("ct", "CT1", "10.0.0.1"), peer("loopback", "*", "127.0.0.0/8")))
    assert name_of(rules.caller("CT1", "127.0.0.1")) == "loopback"
    assert rules.caller("CT1", "10.0.0.2") is None
    assert "not from this address" in rules.refusal("CT1", "10.0.0.2")


@pytest.mark.parametrize("padded", ["CT1", " CT1 ", "CT1\0\0", "CT1             "])
def test_padding_of_ae_titles_does_not_count(padded: str) -> None:
    rules = Rules(peers=(peer("ct", "CT1", "10.0.0.1"),))
    assert name_of(rules.caller(padded, "10.0.0.1")) == "ct"


def test_an_ae_title_in_other_case_is_refused_and_the_reason_says_so() -> None:
    rules = Rules(peers=(peer("ct", "CT1", "10.0.0.1"),))
    assert rules.caller("ct1", "10.0.0.1") is None
    assert "only in upper and lower case" in rules.refusal("ct1", "10.0.0.1")
    listener = ListenerRules(name="default", ae_title="PACS", host="0.0.0.0", port=104)
    assert not listener.answers_to("pacs")
    assert "only in upper and lower case" in listener.refusal("pacs")
    assert "only in upper" not in listener.refusal("OTHER")


def test_a_listener_may_answer_any_called_ae_title() -> None:
    listener = ListenerRules(name="default", ae_title="PACS", host="0.0.0.0", port=104, any_called_ae_title=True)
    assert listener.answers_to("ANYTHING")


@pytest.mark.parametrize("address", ["::ffff:10.0.0.1", "10.0.0.1"])
def test_ipv4_callers_are_known_on_dual_stack_sockets_too(address: str) -> None:
    assert name_of(Rules(peers=(peer("ct", "CT1", "10.0.0.0/24"),)).caller("CT1", address)) == "ct"


def test_a_link_local_caller_is_known_whatever_its_interface() -> None:
    assert name_of(Rules(peers=(peer("ct", "CT1", "fe80::/10"),)).caller("CT1", "fe80::1%eth0")) == "ct"


@pytest.mark.parametrize("address", ["", "unknown", "999.1.1.1"])
def test_an_address_that_cannot_be_read_matches_nobody(address: str) -> None:
    assert Rules(peers=(peer("any", "*", "0.0.0.0/0", "::/0"),)).caller("CT1", address) is None


def test_a_peer_without_ranges_calls_from_its_host_alone() -> None:
    rules = Rules(peers=(peer("ct", "CT1", host="10.0.0.1"), peer("unbound", "MR1")))
    assert name_of(rules.caller("CT1", "10.0.0.1")) == "ct"
    assert rules.caller("CT1", "10.0.0.2") is None
    assert rules.caller("MR1", "10.0.0.1") is None


def test_a_host_name_stands_for_all_its_addresses() -> None:
    row = Peer(name="ct", ae_title="CT1", host="ct.hospital.example")
    rules = Rules(peers=(peer_rules(row, lambda host: ["10.0.0.1", "fe80::5"]),))
    assert rules.caller("CT1", "10.0.0.1") and rules.caller("CT1", "fe80::5")


def test_a_row_that_cannot_be_read_lets_nobody_in_and_keeps_nobody_else_out() -> None:
    rules = Rules(peers=(peer("broken", "CT1", "10.0.0.0/99"), peer("mr", "MR1", "10.0.0.1")))
    assert rules.caller("CT1", "10.0.0.1") is None
    assert rules.caller("MR1", "10.0.0.1") is not None


def test_everyone_known_may_echo_and_unknown_services_are_ignored() -> None:
    rules = peer("ct", "CT1", "10.0.0.1", services=["store", "telepathy"])
    assert rules.services == {Service.ECHO, Service.STORE}


def test_a_destination_is_a_peer_that_can_be_called() -> None:
    rules = Rules(
        peers=(
            peer("a caller", "WS1", "10.0.0.9"),
            peer("ws", "WS1", host="10.0.0.1", port=104),
            peer("any", "*", host="10.0.0.2", port=104),
        )
    )
    assert name_of(rules.destination("WS1 ")) == "ws"
    assert rules.destination("ws1") is None
    assert rules.destination("*") is None


def test_the_principal_of_a_caller_has_the_services_of_its_row() -> None:
    principal = peer("loopback", "*", "127.0.0.0/8", services=["find"]).principal("127.0.0.1", "WS1")
    assert principal.kind is Kind.PEER
    assert (principal.name, principal.address, principal.ae_title) == ("loopback", "127.0.0.1", "WS1")
    assert principal.may(Service.FIND) and not principal.may(Service.STORE)


@pytest.mark.django_db
def test_the_database_has_the_loopback_row_from_the_start_and_nobody_else_gets_in() -> None:
    rules = Rules.load()
    for address in ("127.0.0.1", "127.8.8.8", "::1"):
        caller = rules.caller("ANYONE", address)
        assert caller is not None and caller.services == frozenset(Service)
    assert rules.caller("ANYONE", "10.0.0.1") is None


@pytest.mark.django_db
def test_disabled_rows_do_not_hold_but_a_refusal_names_them() -> None:
    Listener.objects.create(name="off", ae_title="OFF", port=104, enabled=False)
    Peer.objects.create(name="ct", ae_title="CT1", address_ranges="10.0.0.1", enabled=False)
    rules = Rules.load()
    assert rules.listener("off") is None
    assert rules.caller("CT1", "10.0.0.1") is None
    assert "disabled" in rules.refusal("CT1", "10.0.0.1")


def test_behind_a_balancer_a_row_for_anyone_lets_in_nobody_for_calling_from_this_machine() -> None:
    rules = Rules(
        peers=(
            peer("loopback", "*", "127.0.0.0/8", "::1/128"),
            peer("everywhere", "*", "0.0.0.0/0"),
            peer("ct", "CT1", "127.0.0.1"),
        )
    )
    assert name_of(rules.caller("X", "127.0.0.1", trust_loopback=False)) == "everywhere"
    assert rules.caller("X", "::1", trust_loopback=False) is None
    assert "loopback" in rules.refusal("X", "::1", trust_loopback=False)
    assert name_of(rules.caller("CT1", "127.0.0.1", trust_loopback=False)) == "ct"
    assert name_of(rules.caller("X", "127.0.0.1")) == "loopback"
