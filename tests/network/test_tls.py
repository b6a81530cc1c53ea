"""Rows of peers and listeners with certificates: what fits is taken, keys are shown to nobody."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.audit.models import AuditEvent
from apps.network import tls
from apps.network.calling import secured
from apps.network.models import Listener, Peer
from apps.network.rules import Rules
from apps.network.snapshot import read_snapshot, write_snapshot
from tests.certificates import Certificate
from tests.network.test_admin import form_of

pytestmark = pytest.mark.django_db

PEERS, LISTENERS = "/api/peers/", "/api/listeners/"
ARCHIVE = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 2762, "tls": True}
SECURE = {"name": "secure", "ae_title": "PACS", "host": "127.0.0.1", "port": 2763}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"), "other")


def ask(client: Client, method: str, path: str, document: Any) -> tuple[int, Any]:
    answer = getattr(client, method)(path, json.dumps(document), content_type="application/json")
    return answer.status_code, answer.json()


def pair(made: Certificate) -> dict[str, str]:
    return {"certificate": made.certificate, "private_key": made.private_key}


def raw(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT private_key FROM {table} WHERE private_key <> ''")
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("collection", "row", "table"), [(PEERS, ARCHIVE, "network_peer"), (LISTENERS, SECURE, "network_listener")]
)
def test_a_key_is_kept_encrypted_and_shown_to_nobody(
    admin_client: Client, ours: Certificate, collection: str, row: dict[str, Any], table: str
) -> None:
    status, made = ask(admin_client, "post", collection, {**row, **pair(ours)})
    assert (status, made["private_key"]) == (201, "(secret)")
    assert made["certificate"].strip() == ours.certificate.strip()
    assert "PRIVATE KEY" not in raw(table)
    status, again = ask(admin_client, "put", f"{collection}{made['id']}/", made)
    assert (status, again["private_key"]) == (200, "(secret)")
    kept = (Peer if collection == PEERS else Listener).objects.get(pk=made["id"])
    assert kept.private_key.strip() == ours.private_key.strip()
    assert "PRIVATE KEY" not in json.dumps(list(AuditEvent.objects.values_list("detail", flat=True)))


@pytest.mark.parametrize(
    ("collection", "row", "of"),
    [
        (PEERS, ARCHIVE, {"private_key": "x"}),
        (LISTENERS, SECURE, {"private_key": "x"}),
        (LISTENERS, SECURE, {"client_certificate_authority": "the certificate"}),
    ],
)
def test_a_key_or_an_authority_without_a_certificate_is_refused(
    admin_client: Client, ours: Certificate, collection: str, row: dict[str, Any], of: dict[str, str]
) -> None:
    said = {name: ours.certificate if value == "the certificate" else value for name, value in of.items()}
    status, answer = ask(admin_client, "post", collection, {**row, **said})
    assert (status, list(answer["errors"])) == (400, ["certificate"])


@pytest.mark.parametrize(("collection", "row"), [(PEERS, ARCHIVE), (LISTENERS, SECURE)])
def test_a_key_of_another_certificate_is_refused(
    admin_client: Client, ours: Certificate, other: Certificate, collection: str, row: dict[str, Any]
) -> None:
    for key in (other.private_key, "", "nonsense"):
        said = {**row, "certificate": ours.certificate, "private_key": key}
        status, answer = ask(admin_client, "post", collection, said)
        assert (status, list(answer["errors"])) == (400, ["private_key"])
        assert "Our certificate and its private key cannot be used" in str(answer["errors"]["private_key"])
    status, answer = ask(admin_client, "post", collection, {**row, **pair(ours), "certificate": "nonsense"})
    assert (status, "certificate" in answer["errors"]) == (400, True)


@pytest.mark.parametrize("text", ["größe", "\0", "-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----"])
@pytest.mark.parametrize(("collection", "row"), [(PEERS, ARCHIVE), (LISTENERS, SECURE)])
def test_text_that_is_no_certificate_or_key_is_refused_whatever_is_in_it(
    admin_client: Client, ours: Certificate, collection: str, row: dict[str, Any], text: str
) -> None:
    authority = "certificate_authority" if collection == PEERS else "client_certificate_authority"
    for wrong in (
        {"certificate": text},
        {"certificate": text, "private_key": text},
        {"private_key": text},
        {**pair(ours), "private_key": text},
        {**pair(ours), authority: text},
    ):
        status, said = ask(admin_client, "post", collection, {**row, **wrong})
        assert status == 400, said
        assert said["errors"].keys() & {"certificate", "private_key", authority}


def test_a_form_keeps_the_key_it_does_not_show(admin_client: Client, ours: Certificate) -> None:
    _, made = ask(admin_client, "post", PEERS, {**ARCHIVE, **pair(ours)})
    address = reverse("admin:network_peer_change", args=[made["id"]])
    form = form_of(admin_client, address)
    assert form["private_key"] == ""
    assert admin_client.post(address, {**form, "port": 2799}).status_code == 302
    kept = Peer.objects.get(name="archive")
    assert (kept.port, kept.private_key.strip()) == (2799, ours.private_key.strip())
    assert admin_client.post(address, {**form_of(admin_client, address), "certificate": ""}).status_code == 302
    assert Peer.objects.get(name="archive").private_key == ""


def test_the_copy_of_the_rules_beside_the_spool_holds_no_key_in_clear(
    tmp_path: Path, settings: Settings, ours: Certificate
) -> None:
    Listener.objects.create(**SECURE, **pair(ours))
    Peer.objects.create(**ARCHIVE, **pair(ours))
    rules = Rules.load()
    path = tmp_path / "rules.json"
    write_snapshot(rules, path)
    assert "PRIVATE KEY" not in path.read_text()
    assert "PRIVATE KEY" not in repr(rules)
    assert read_snapshot(path) == rules
    listener = rules.listener("secure")
    assert listener is not None
    assert listener.tls() is not None
    settings.SECRET_KEY = "another secret key of this server"
    assert read_snapshot(path) is None


def test_a_key_that_cannot_be_read_any_more_is_told(ours: Certificate) -> None:
    row = Peer(**ARCHIVE, certificate=ours.certificate)
    with pytest.raises(tls.InvalidTls, match="Our certificate and its private key cannot be used"):
        secured(row)


def test_a_peer_without_tls_is_called_without() -> None:
    assert secured(Peer(**{**ARCHIVE, "tls": False})) is None
