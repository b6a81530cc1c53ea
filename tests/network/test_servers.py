"""DICOMweb servers of others: rows whose secrets nobody reads again."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from pytest_django import Settings

from apps.audit.models import AuditEvent
from apps.network.models import DicomwebServer

pytestmark = pytest.mark.django_db

SERVERS = "/api/dicomweb-servers/"
CLOUD = {"name": "cloud", "url": "https://archive.example/dicom-web", "username": "pacs", "password": "swordfish"}


def ask(client: Client, method: str, path: str, document: Any = None) -> Any:
    return getattr(client, method)(path, json.dumps(document or {}), content_type="application/json")


def raw(column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM network_dicomwebserver")
        return str(cursor.fetchone()[0])


def test_a_secret_is_used_but_never_shown_nor_in_the_trail_nor_readable_in_the_database(admin_client: Client) -> None:
    made = ask(admin_client, "post", SERVERS, CLOUD)
    assert made.status_code == 201
    assert made.json()["password"] == "(secret)"
    assert made.json()["token"] == ""
    assert DicomwebServer.objects.get().password == "swordfish"
    assert "swordfish" not in raw("password")
    assert raw("token") == ""
    detail = json.dumps(list(AuditEvent.objects.values_list("detail", flat=True)))
    assert "(secret)" in detail
    assert "swordfish" not in detail


def test_a_row_that_is_sent_back_as_it_was_read_keeps_its_secret(admin_client: Client) -> None:
    row = ask(admin_client, "post", SERVERS, CLOUD).json()
    for method in ("put", "patch"):
        assert ask(admin_client, method, f"{SERVERS}{row['id']}/", {**row, "timeout": 5}).status_code == 200
        assert DicomwebServer.objects.get().password == "swordfish"
    changed = ask(admin_client, "patch", f"{SERVERS}{row['id']}/", {"username": "", "password": "", "token": "t"})
    assert (changed.json()["password"], changed.json()["token"]) == ("", "(secret)")
    assert DicomwebServer.objects.get().token == "t"


def test_a_secret_of_another_key_is_empty(settings: Settings) -> None:
    DicomwebServer.objects.create(**CLOUD)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret key of this server"
    assert DicomwebServer.objects.get().password == ""
    settings.SECRET_KEY_FALLBACKS = [old]
    assert DicomwebServer.objects.get().password == "swordfish"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "ftp://archive.example"}, "url"),
        ({"url": "https://pacs:swordfish@archive.example/"}, "url"),
        ({"url": "https://archive.example/?a=b"}, "url"),
        ({"token": "t"}, "token"),
        ({"certificate_authority": "no certificate"}, "certificate_authority"),
        ({"timeout": 0}, "timeout"),
        ({"password": 1}, "password"),
        ({"name": ""}, "name"),
    ],
)
def test_what_cannot_stand_is_named(wrong: dict[str, Any], field: str, admin_client: Client) -> None:
    answer = ask(admin_client, "post", SERVERS, {**CLOUD, **wrong})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert not DicomwebServer.objects.exists()


def test_who_may_send_reads_names_and_changes_nothing(admin_client: Client) -> None:
    ask(admin_client, "post", SERVERS, CLOUD)
    user = User.objects.create_user("reader")
    user.groups.add(Group.objects.get_or_create(name="Radiologists")[0])
    client = Client()
    client.force_login(user)
    (row,) = client.get(SERVERS).json()["results"]
    assert row.keys() == {"id", "name", "enabled"}
    assert ask(client, "patch", f"{SERVERS}{row['id']}/", {"enabled": False}).status_code == 403


def test_in_the_administration_an_empty_field_keeps_the_secret(admin_client: Client) -> None:
    row = DicomwebServer.objects.create(**CLOUD)
    address = f"/admin/network/dicomwebserver/{row.pk}/change/"
    page = admin_client.get(address).content.decode()
    assert "swordfish" not in page
    form = {"name": "cloud", "url": CLOUD["url"], "username": "pacs", "enabled": "on", "verify_tls": "on"}
    answer = admin_client.post(address, {**form, "timeout": "30", "jobs_at_once": "2", "password": "", "token": ""})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.timeout, row.password) == (30, "swordfish")
