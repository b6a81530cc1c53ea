"""REST of peers and listeners."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from apps.audit.models import AuditEvent
from apps.network import config
from apps.network.models import ConfigVersion, Listener, Peer
from apps.network.rules import Rules
from dicom.dimse import ThreadedServer
from dicom.sop_classes import Service
from tests.network.echo import EchoAcceptor
from tests.node import free_port

pytestmark = pytest.mark.django_db

PEERS = "/api/peers/"
LISTENERS = "/api/listeners/"
WS: dict[str, Any] = {"name": "WS", "ae_title": "WS", "host": "10.0.0.7", "port": 104}


def ask(client: Client, method: str, path: str, document: Any = None, **headers: str) -> Any:
    body = json.dumps({} if document is None else document)
    return getattr(client, method)(path, body, content_type="application/json", headers=headers)


def added(client: Client, path: str, **fields: Any) -> dict[str, Any]:
    answer = ask(client, "post", path, fields)
    assert answer.status_code == 201, answer.content
    row: dict[str, Any] = answer.json()
    return row


def signed_in(role: str) -> Client:
    user = User.objects.create_user(role.lower())
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    client = Client()
    client.force_login(user)
    return client


def version() -> int:
    return ConfigVersion.objects.get().version


@pytest.fixture
def echo() -> Iterator[int]:
    server = ThreadedServer(("127.0.0.1", 0), EchoAcceptor())
    server.start()
    yield server.port
    server.stop()


def test_a_peer_is_added_and_holds_at_once(admin_client: Client) -> None:
    before = version()
    row = added(
        admin_client, PEERS, **WS, services=["store"], address_ranges=["10.0.0.0/24", "10.1.0.9"], jobs_at_once=3
    )
    assert row | WS == row
    assert (row["services"], row["address_ranges"]) == (["store"], ["10.0.0.0/24", "10.1.0.9"])
    assert (row["jobs_at_once"], row["enabled"], row["worklist_days_back"]) == (3, True, None)
    assert version() == before + 1
    caller = Rules.load().caller("WS", "10.0.0.99")
    assert caller is not None and Service.STORE in caller.services
    event = AuditEvent.objects.get(object_kind="peer", action="add")
    assert (event.object_uid, event.actor_name, event.detail["port"]) == ("WS", "admin", [None, 104])


def test_every_field_of_a_peer_is_read_and_taken_back(admin_client: Client) -> None:
    row = added(admin_client, PEERS, **WS)
    names = {field.name for field in Peer._meta.concrete_fields}
    assert row.keys() == names
    answer = admin_client.get(f"{PEERS}{row['id']}/")
    assert answer.json() == row
    before = version()
    assert ask(admin_client, "put", f"{PEERS}{row['id']}/", row).json() == row
    assert version() == before  # nothing was changed


def test_fields_of_a_peer_change_one_by_one_or_all_together(admin_client: Client) -> None:
    one = f"{PEERS}{added(admin_client, PEERS, **WS, rate_limit=512)['id']}/"
    changed = ask(admin_client, "patch", one, {"query_limit": 7, "address_ranges": "10.0.0.1\n10.0.0.2"}).json()
    assert (changed["query_limit"], changed["rate_limit"]) == (7, 512)
    assert changed["address_ranges"] == ["10.0.0.1", "10.0.0.2"]
    replaced = ask(admin_client, "put", one, WS | {"port": 105}).json()
    assert (replaced["port"], replaced["query_limit"], replaced["rate_limit"]) == (105, 0, 0)
    assert replaced["address_ranges"] == []
    assert ask(admin_client, "delete", one).status_code == 204
    assert admin_client.get(one).status_code == 404
    assert not Peer.objects.filter(name="WS").exists()
    actions = list(AuditEvent.objects.filter(object_uid="WS").values_list("action", flat=True).order_by("pk"))
    assert actions == ["add", "change", "change", "delete"]


def test_who_read_an_older_version_changes_nothing(admin_client: Client) -> None:
    row = added(admin_client, PEERS, **WS)
    one = f"{PEERS}{row['id']}/"
    read = admin_client.get(one)["ETag"]
    assert ask(admin_client, "patch", one, {"query_limit": 1}, **{"If-Match": read}).status_code == 200
    for method in ("patch", "put", "delete"):
        assert ask(admin_client, method, one, WS, **{"If-Match": read}).status_code == 412
    assert Peer.objects.get(pk=row["id"]).query_limit == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "loopback"}, "name"),
        ({"name": None}, "name"),
        ({"name": "a\0"}, "name"),
        ({"ae_title": "A" * 17}, "ae_title"),
        ({"ae_title": 7}, "ae_title"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "104"}, "port"),
        ({"port": True}, "port"),
        ({"port": 1 << 40}, "port"),
        ({"port": None}, "port"),
        ({"host": "http://ws"}, "host"),
        ({"services": ["C-EVERYTHING"]}, "services"),
        ({"services": "store"}, "services"),
        ({"address_ranges": ["10.0.0.0/99"]}, "address_ranges"),
        ({"address_ranges": [7]}, "address_ranges"),
        ({"enabled": 1}, "enabled"),
        ({"jobs_at_once": 0}, "jobs_at_once"),
        ({"jobs_at_once": 70_000}, "jobs_at_once"),
        ({"duplicate_policy": "both"}, "duplicate_policy"),
        ({"preferred_transfer_syntaxes": ["1.2.3"]}, "preferred_transfer_syntaxes"),
        ({"ae": "X"}, "ae"),
        ({"id": 7}, "id"),
    ],
)
def test_what_is_wrong_is_named_by_field(admin_client: Client, change: dict[str, Any], field: str) -> None:
    before = Peer.objects.count(), version()
    answer = ask(admin_client, "post", PEERS, WS | change)
    assert (answer.status_code, answer.json()["errors"].keys()) == (400, {field})
    assert (Peer.objects.count(), version()) == before


def test_the_list_is_paged(admin_client: Client) -> None:
    for number in range(3):
        added(admin_client, PEERS, **WS | {"name": f"WS{number}"})
    page = admin_client.get(PEERS, {"limit": 2}).json()
    rest = admin_client.get(page["next"]).json()
    assert [row["name"] for row in page["results"] + rest["results"]] == ["loopback", "WS0", "WS1", "WS2"]
    assert rest["next"] is None


def test_who_may_have_images_sent_reads_the_names_and_others_nothing(admin_client: Client) -> None:
    key = added(admin_client, PEERS, **WS)["id"]
    reader, clinician = signed_in("Radiologists"), signed_in("Clinicians")
    assert reader.get(PEERS).json()["results"][-1] == {"id": key, "name": "WS", "enabled": True}
    assert reader.get(f"{PEERS}{key}/").json() == {"id": key, "name": "WS", "enabled": True}
    assert clinician.get(PEERS).status_code == 403
    assert reader.get(LISTENERS).status_code == 403
    for method, path in (("post", PEERS), ("patch", f"{PEERS}{key}/"), ("put", f"{PEERS}{key}/")):
        assert ask(reader, method, path, WS).status_code == 403
    assert ask(reader, "delete", f"{PEERS}{key}/").status_code == 403
    assert ask(reader, "post", f"{PEERS}{key}/echo/").status_code == 403
    assert Peer.objects.get(pk=key).port == 104
    assert Client().get(PEERS).status_code == 401


def test_a_peer_is_verified(admin_client: Client, echo: int) -> None:
    key = added(admin_client, PEERS, name="WS", ae_title="ECHO", host="127.0.0.1", port=echo)["id"]
    answer = ask(admin_client, "post", f"{PEERS}{key}/echo/").json()
    assert (answer["outcome"], answer["error"]) == ("success", "")
    assert answer["milliseconds"] > 0
    ask(admin_client, "patch", f"{PEERS}{key}/", {"ae_title": "OTHER"})
    answer = ask(admin_client, "post", f"{PEERS}{key}/echo/").json()
    assert (answer["outcome"], answer["milliseconds"]) == ("failure", None)
    assert "answers to another AE title" in answer["error"]
    ask(admin_client, "patch", f"{PEERS}{key}/", {"port": free_port()})
    assert ask(admin_client, "post", f"{PEERS}{key}/echo/").json()["outcome"] == "failure"
    ask(admin_client, "patch", f"{PEERS}{key}/", {"host": "", "port": None})
    assert ask(admin_client, "post", f"{PEERS}{key}/echo/").status_code == 409


def test_a_listener_is_added_changed_and_deleted(admin_client: Client) -> None:
    row = added(admin_client, LISTENERS, name="modalities", ae_title="STORE", port=11113, services=["store"])
    assert (row["host"], row["maximum_associations"], row["locked"]) == ("0.0.0.0", 200, [])
    one = f"{LISTENERS}{row['id']}/"
    assert ask(admin_client, "patch", one, {"services": ["echo"]}).json()["services"] == ["echo"]
    listener = Rules.load().listener("modalities")
    assert listener is not None and listener.services == {Service.ECHO}
    answer = ask(admin_client, "post", LISTENERS, {"name": "other", "ae_title": "A", "port": 11113})
    assert answer.json()["errors"] == {"body": "Another listener has this address and port."}
    assert ask(admin_client, "delete", one).status_code == 204
    assert not Listener.objects.filter(name="modalities").exists()


def test_what_the_environment_decides_of_a_listener_is_locked(admin_client: Client) -> None:
    key = config.ensure_default_listener("127.0.0.1", 11112, "PACS", locked=["ae_title"]).pk
    one = f"{LISTENERS}{key}/"
    row = admin_client.get(one).json()
    assert row["locked"] == ["ae_title"]
    answer = ask(admin_client, "patch", one, {"ae_title": "OTHER"})
    assert (answer.status_code, answer.json()["errors"].keys()) == (409, {"ae_title"})
    assert ask(admin_client, "put", one, row | {"port": 11114}).json()["port"] == 11114
    assert ask(admin_client, "delete", one).status_code == 409
    assert Listener.objects.get(pk=key).ae_title == "PACS"
