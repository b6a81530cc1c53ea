from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.accounts.principal import system
from apps.audit.models import AuditEvent
from apps.jobs import schedules
from apps.jobs.models import Schedule
from apps.network import config
from apps.network.models import ConfigVersion, DicomwebServer, Listener, Peer, RefusedCaller
from apps.network.rules import Rules

pytestmark = pytest.mark.django_db

ME = system("test")


def version() -> int:
    return ConfigVersion.objects.get().version


def refusal(calling: str = "CT1", address: str = "10.0.0.9") -> RefusedCaller:
    now = timezone.now()
    return RefusedCaller.objects.create(
        calling_ae_title=calling, called_ae_title="PACS", address=address, first_seen=now, last_seen=now
    )


def test_the_version_counts_on_even_where_its_row_is_missing() -> None:
    ConfigVersion.objects.all().delete()
    config.bump()
    config.bump()
    assert version() == 2


def test_saving_and_deleting_bump_the_version_and_write_the_trail() -> None:
    before = version()
    peer = Peer(name="ct", ae_title=" CT1 ", address_ranges="10.0.0.1")
    config.save(peer, principal=ME)
    assert peer.ae_title == "CT1"
    peer.query_limit = 7
    config.save(peer, principal=ME)
    config.delete(peer, principal=ME)
    assert version() == before + 3
    events = list(AuditEvent.objects.order_by("id"))
    assert [event.action for event in events] == ["add", "change", "delete"]
    assert events[1].detail == {"query_limit": [0, 7]}
    assert events[2].detail["ae_title"] == ["CT1", None]


def test_saving_what_has_not_changed_tells_nobody() -> None:
    before = version()
    config.save(Peer.objects.get(name="loopback"), principal=ME)
    assert version() == before
    assert not AuditEvent.objects.exists()


def test_schedules_follow_the_new_name_of_a_peer_or_a_server() -> None:
    peer = Peer.objects.create(name="LTA", ae_title="LTA")
    server = DicomwebServer.objects.create(name="LTA", url="http://127.0.0.1:1")
    for kind, argument in (("send", "peer"), ("stow", "server"), ("verify", "")):
        arguments = {"study_instance_uids": ["1.2.3"], **({argument: "LTA"} if argument else {})}
        schedules.ensure(name=kind, kind=kind, every=timedelta(days=1), arguments=arguments)
    peer.name, server.name = "Archive", "Cloud"
    config.save(peer, principal=ME)
    config.save(server, principal=ME)
    called = [(each.arguments.get("peer"), each.arguments.get("server")) for each in Schedule.objects.order_by("kind")]
    assert called == [("Archive", None), (None, "Cloud"), (None, None)]


def test_what_cannot_stand_is_not_saved_and_nobody_is_told() -> None:
    before = version()
    with pytest.raises(ValidationError):
        config.save(Peer(name="ct", ae_title="A\\B"), principal=ME)
    assert version() == before
    assert not AuditEvent.objects.exists()


def test_two_listeners_do_not_share_an_address() -> None:
    config.save(Listener(name="a", ae_title="A", host="0.0.0.0", port=104), principal=ME)
    with pytest.raises(ValidationError, match="Another listener has this address and port"):
        config.save(Listener(name="b", ae_title="B", host="0.0.0.0", port=104), principal=ME)


def test_the_default_listener_is_made_once_and_then_the_administrators() -> None:
    config.ensure_default_listener("127.0.0.1", 11112, "PACS")
    row = Listener.objects.get()
    row.port = 104
    config.save(row, principal=ME)
    before = version()
    assert config.ensure_default_listener("127.0.0.1", 11112, "PACS").port == 104
    assert version() == before


def test_what_the_environment_says_wins_over_the_row_and_is_locked() -> None:
    config.ensure_default_listener("127.0.0.1", 11112, "PACS")
    row = config.ensure_default_listener("0.0.0.0", 104, "ARCHIVE", locked=["host", "port"])
    assert (row.host, row.port, row.ae_title) == ("0.0.0.0", 104, "PACS")
    assert row.locked == ["host", "port"]
    row.port = 105
    with pytest.raises(ValidationError, match="environment"):
        config.save(row, principal=ME)
    row.port, row.ae_title = 104, "OTHER"
    config.save(row, principal=ME)


def test_a_variable_that_is_no_longer_set_unlocks_its_field() -> None:
    config.ensure_default_listener("127.0.0.1", 104, "PACS", locked=["host", "port"])
    row = config.ensure_default_listener("127.0.0.1", 11112, "PACS")
    assert (row.port, row.locked) == (104, [])
    row.port = 105
    config.save(row, principal=ME)


def test_an_accepted_caller_gets_a_peer_of_its_name_and_address() -> None:
    first, second = refusal(), refusal("CT2")
    RefusedCaller.objects.create(
        calling_ae_title="CT1",
        called_ae_title="OTHER",
        address="10.0.0.9",
        first_seen=timezone.now(),
        last_seen=timezone.now(),
    )
    peer = config.accept(first, principal=ME)
    assert (peer.name, peer.ae_title, peer.address_ranges) == ("CT1", "CT1", "10.0.0.9")
    rules = Rules.load()
    assert rules.caller("CT1", "10.0.0.9") and not rules.caller("CT1", "10.0.0.8")
    assert list(RefusedCaller.objects.values_list("pk", flat=True)) == [second.pk]
    assert AuditEvent.objects.filter(action="accept", object_uid="CT1").count() == 1


def test_an_accepted_callers_peer_has_a_name_of_its_own() -> None:
    for name in ("CT1", "CT1 2"):
        Peer.objects.create(name=name, ae_title="OTHER", address_ranges="10.9.0.1")
    assert config.accept(refusal(), principal=ME).name == "CT1 3"


@pytest.mark.parametrize(
    ("known", "ranges"),
    [
        ({"address_ranges": "10.1.0.0/16"}, "10.1.0.0/16\n10.0.0.9"),
        ({"host": "10.0.0.1", "port": 104}, "10.0.0.1\n10.0.0.9"),
    ],
)
def test_a_known_ae_title_from_a_new_address_gets_the_address_too(known: dict[str, object], ranges: str) -> None:
    Peer.objects.create(name="ct", ae_title="CT1", **known)
    peer = config.accept(refusal(), principal=ME)
    assert (peer.name, peer.address_ranges) == ("ct", ranges)


def test_a_peer_known_by_host_name_keeps_it_and_the_new_address_gets_a_row_of_its_own() -> None:
    Peer.objects.create(name="ct", ae_title="CT1", host="ct.hospital.example", port=104)
    peer = config.accept(refusal(), principal=ME)
    assert (peer.name, peer.address_ranges) == ("CT1", "10.0.0.9")


def test_accepting_a_disabled_peer_enables_it() -> None:
    Peer.objects.create(name="ct", ae_title="CT1", address_ranges="10.0.0.0/8", enabled=False)
    peer = config.accept(refusal(), principal=ME)
    assert (peer.name, peer.enabled, peer.address_ranges) == ("ct", True, "10.0.0.0/8")


def test_a_caller_that_names_itself_as_anybody_is_not_accepted() -> None:
    Peer.objects.create(name="all here", ae_title="*", address_ranges="10.1.0.0/16", services=["echo"], enabled=False)
    caller = refusal("*")
    with pytest.raises(ValidationError):
        config.accept(caller, principal=ME)
    row = Peer.objects.get(name="all here")
    assert (row.enabled, row.address_ranges) == (False, "10.1.0.0/16")
    assert Rules.load().caller("ELSE", "10.0.0.9") is None
    assert RefusedCaller.objects.filter(pk=caller.pk).exists()


def test_an_ipv6_caller_can_be_accepted() -> None:
    config.accept(refusal(address="2001:db8::7"), principal=ME)
    assert Rules.load().caller("CT1", "2001:db8::7")
