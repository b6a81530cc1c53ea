from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.network import config
from apps.network.models import AssociationLog, ConfigVersion, Listener, Node, Peer, RefusedCaller
from apps.network.rules import Rules
from dicom.dimse import ThreadedServer
from dicom.sop_classes import Service
from tests.network.echo import EchoAcceptor

pytestmark = pytest.mark.django_db


def version() -> int:
    return ConfigVersion.objects.get().version


def form_of(client: Client, address: str) -> dict[str, Any]:
    """What the browser would send back of a form that nobody has touched."""
    form = client.get(address).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {name: "" if value is None else value for name, value in values.items() if value is not False}


@pytest.fixture
def refused() -> RefusedCaller:
    now = timezone.now()
    return RefusedCaller.objects.create(
        calling_ae_title="NEWCT", called_ae_title="PACS", address="10.0.0.7", reason="", first_seen=now, last_seen=now
    )


@pytest.fixture
def echoing() -> Iterator[ThreadedServer]:
    server = ThreadedServer(("127.0.0.1", 0), EchoAcceptor())
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("model", ["listener", "peer", "refusedcaller", "associationlog", "node"])
def test_every_list_and_page_opens(admin_client: Client, refused: RefusedCaller, model: str) -> None:
    now = timezone.now()
    config.ensure_default_listener("127.0.0.1", 11112, "PACS", locked=["port"])
    Node.objects.create(node="main", role="worker", process=1, started_at=now, seen_at=now, version="1")
    for name, ended in (("0a", None), ("0b", now)):
        AssociationLog.objects.create(
            association_id=name,
            node="main",
            process=1,
            listener="default",
            began_at=now,
            ended_at=ended,
            messages={"C-STORE": {"0000": 2, "A700": 1}},
        )
    address = reverse(f"admin:network_{model}_changelist")
    page = admin_client.get(address, {"q": "a"})
    assert page.status_code == 200
    rows = admin_client.get(address)
    first = rows.context["cl"].result_list[0]
    assert admin_client.get(reverse(f"admin:network_{model}_change", args=[first.pk])).status_code == 200


def test_a_change_in_the_admin_holds_and_stands_in_the_trail(admin_client: Client, admin_user: User) -> None:
    peer = Peer.objects.get(name="loopback")
    before = version()
    address = reverse("admin:network_peer_change", args=[peer.pk])
    values = form_of(admin_client, address) | {"services": ["store", "find"], "query_limit": 50}
    values |= {"worklist_statuses": ["SCHEDULED"], "worklist_days_back": 1}
    page = admin_client.post(address, values, REMOTE_ADDR="10.0.0.99")
    assert page.status_code == 302, page.context["errors"]
    assert version() == before + 1
    caller = Rules.load().caller("X", "127.0.0.1")
    assert caller is not None
    assert caller.services == {Service.ECHO, Service.STORE, Service.FIND}
    assert caller.query_limit == 50
    assert (caller.worklist_statuses, caller.worklist_days_back) == (("SCHEDULED",), 1)
    event = AuditEvent.objects.exclude(action="sign in").get()
    assert (event.actor_name, event.address, event.action) == (admin_user.username, "10.0.0.99", "change")
    assert (event.object_kind, event.object_uid) == ("peer", "loopback")
    assert event.detail["query_limit"] == [0, 50]


def test_a_form_saved_untouched_changes_nothing_it_should_not(admin_client: Client) -> None:
    peer = Peer.objects.create(
        name="ct", ae_title="CT1", host="10.0.0.1", port=104, preferred_transfer_syntaxes=["1.2.840.10008.1.2.1"]
    )
    before = Rules.load().peer("ct")
    address = reverse("admin:network_peer_change", args=[peer.pk])
    assert admin_client.post(address, form_of(admin_client, address)).status_code == 302
    assert Rules.load().peer("ct") == before


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("ae_title", "SEVENTEEN-LETTERS", "at most 16"),
        ("ae_title", "A\\B", "no backslash"),
        ("address_ranges", "10.0.0.0/99", "neither an address nor a network"),
        ("specific_character_set", "KLINGON", "no Specific Character Set"),
        ("preferred_transfer_syntaxes", "1.2.3", "no transfer syntax"),
        ("host", "10.0.0.1", "needs a host and a port"),
    ],
)
def test_a_value_that_cannot_stand_is_refused_beside_its_field(
    admin_client: Client, field: str, value: str, complaint: str
) -> None:
    peer = Peer.objects.get(name="loopback")
    address = reverse("admin:network_peer_change", args=[peer.pk])
    page = admin_client.post(address, form_of(admin_client, address) | {field: value})
    assert page.status_code == 200
    assert complaint in str(page.context["errors"])


def test_services_without_an_address_are_refused(admin_client: Client) -> None:
    address = reverse("admin:network_peer_add")
    values = form_of(admin_client, address) | {"name": "ct", "ae_title": "CT1", "services": ["store"]}
    assert "it is nobody" in str(admin_client.post(address, values).context["errors"])
    assert admin_client.post(address, values | {"address_ranges": "10.0.0.1"}).status_code == 302


def test_deleting_selected_rows_is_noticed_by_the_listeners(admin_client: Client) -> None:
    before = version()
    peers = list(Peer.objects.values_list("pk", flat=True))
    values = {"action": "delete_selected", "_selected_action": peers, "post": "yes"}
    admin_client.post(reverse("admin:network_peer_changelist"), values)
    assert not Peer.objects.exists()
    assert version() == before + 1
    assert AuditEvent.objects.filter(action="delete", object_kind="peer").count() == 1


def test_deleting_one_row_is_noticed_by_the_listeners(admin_client: Client) -> None:
    before = version()
    peer = Peer.objects.get(name="loopback")
    admin_client.post(reverse("admin:network_peer_delete", args=[peer.pk]), {"post": "yes"})
    assert version() == before + 1
    assert Rules.load().caller("X", "127.0.0.1") is None


def test_what_the_environment_decides_cannot_be_edited(admin_client: Client) -> None:
    row = config.ensure_default_listener("127.0.0.1", 11112, "PACS", locked=["host", "port"])
    address = reverse("admin:network_listener_change", args=[row.pk])
    page = admin_client.get(address)
    assert "PACS_DIMSE" in page.content.decode()
    values = form_of(admin_client, address)
    assert "port" not in values
    assert admin_client.post(address, values | {"port": 1, "ae_title": "OTHER"}).status_code == 302
    row.refresh_from_db()
    assert (row.port, row.ae_title) == (11112, "OTHER")


def test_accept_lets_a_refused_caller_in_and_shows_his_row(admin_client: Client, refused: RefusedCaller) -> None:
    page = admin_client.get(reverse("admin:network_refusedcaller_changelist"))
    target = reverse("admin:network_refusedcaller_accept", args=[refused.pk])
    assert f'formaction="{target}"' in page.content.decode()
    answer = admin_client.post(target)
    peer = Peer.objects.get(name="NEWCT")
    assert answer["Location"] == reverse("admin:network_peer_change", args=[peer.pk])
    caller = Rules.load().caller("NEWCT", "10.0.0.7")
    assert caller is not None and Service.STORE in caller.services
    assert not RefusedCaller.objects.exists()


def test_a_caller_whose_ae_title_cannot_stand_is_not_accepted(admin_client: Client, refused: RefusedCaller) -> None:
    RefusedCaller.objects.update(calling_ae_title="\N{SNOWMAN}")
    target = reverse("admin:network_refusedcaller_accept", args=[refused.pk])
    assert "It cannot be a peer" in admin_client.post(target, follow=True).content.decode()
    assert RefusedCaller.objects.exists()


def test_accept_wants_a_post_and_the_right_to_change_peers(client: Client, refused: RefusedCaller) -> None:
    target = reverse("admin:network_refusedcaller_accept", args=[refused.pk])
    assert client.post(target).status_code == 302  # to the sign-in page
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert client.post(target).status_code == 403
    client.force_login(User.objects.create_superuser("chief"))
    assert client.get(target).status_code == 405
    assert not Peer.objects.filter(ae_title="NEWCT").exists()


def test_a_dismissed_refusal_is_gone_and_remembered(admin_client: Client, refused: RefusedCaller) -> None:
    values = {"action": "delete_selected", "_selected_action": [refused.pk], "post": "yes"}
    admin_client.post(reverse("admin:network_refusedcaller_changelist"), values)
    assert not RefusedCaller.objects.exists()
    assert AuditEvent.objects.exclude(action="sign in").get().action == "dismiss"


def test_an_association_that_lives_can_be_aborted_and_one_that_ended_cannot(admin_client: Client) -> None:
    row = AssociationLog.objects.create(
        association_id="0a", node="main", process=1, listener="default", began_at=timezone.now()
    )
    target = reverse("admin:network_associationlog_abort", args=[row.pk])
    address = reverse("admin:network_associationlog_changelist")
    assert target in admin_client.get(address, {"state": "live"}).content.decode()
    admin_client.post(target)
    row.refresh_from_db()
    assert row.abort_requested
    AssociationLog.objects.update(ended_at=timezone.now())
    assert target not in admin_client.get(address).content.decode()
    assert not admin_client.get(address, {"state": "live"}).context["cl"].queryset
    assert list(admin_client.get(address, {"state": "ended"}).context["cl"].queryset) == [row]
    assert "had ended already" in admin_client.post(target, follow=True).content.decode()


def test_the_log_is_not_edited(admin_client: Client) -> None:
    row = AssociationLog.objects.create(
        association_id="0a", node="main", process=1, listener="default", began_at=timezone.now()
    )
    address = reverse("admin:network_associationlog_change", args=[row.pk])
    assert admin_client.post(address, {"outcome": "forged"}).status_code == 403
    assert admin_client.get(reverse("admin:network_associationlog_add")).status_code == 403


def test_the_connection_to_a_peer_is_verified_from_the_list(admin_client: Client, echoing: ThreadedServer) -> None:
    Listener.objects.create(name="default", ae_title="PACS", port=11112)
    Peer.objects.create(name="there", ae_title="ECHO", host="127.0.0.1", port=echoing.port)
    Peer.objects.create(name="refusing", ae_title="OTHER", host="127.0.0.1", port=echoing.port)
    Peer.objects.create(name="nowhere", ae_title="ECHO", host="127.0.0.1", port=1)
    values = {"action": "verify", "_selected_action": list(Peer.objects.values_list("pk", flat=True))}
    answer = admin_client.post(reverse("admin:network_peer_changelist"), values, follow=True)
    told = {str(message) for message in answer.context["messages"]}
    assert any(message.startswith("there answered in") for message in told)
    assert any(message.startswith("refusing at 127.0.0.1") and "rejected" in message for message in told), told
    assert any(message.startswith("nowhere at 127.0.0.1:1") for message in told)
    assert "loopback has no host and port to call." in told
