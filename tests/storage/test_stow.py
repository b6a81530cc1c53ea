"""STOW-RS where the disk or the database fails; by another way into the server than gunicorn's."""

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.storage import intake
from apps.storage.models import FailedFile, Instance
from apps.storage.spool import spool
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)

MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.fixture(autouse=True)
def indexed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def indexed(names: list[str]) -> bool:
        made.index()
        return True

    monkeypatch.setattr(intake, "wait_indexed", indexed)


@pytest.fixture
def sender(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", password="secret"))
    return client


def body(*data_sets: bytes) -> bytes:
    return b"".join(b"--b\r\n\r\n" + each + b"\r\n" for each in data_sets) + b"--b--"


def post(sender: Client, content: bytes, content_type: str = MULTIPART) -> HttpResponse:
    return sender.post("/dicomweb/studies", content, content_type=content_type)  # type: ignore[return-value]


@pytest.mark.parametrize("content_type", [MULTIPART, "application/dicom"])
def test_a_server_that_reads_into_no_buffer_stores_as_well(sender: Client, content_type: str) -> None:
    content = made.data_set(pixels=bytes(3 << 20))
    answer = post(sender, body(content) if content_type == MULTIPART else content, content_type)
    assert answer.status_code == 200
    assert Instance.objects.get().size == len(content)


def test_what_was_stored_stands_in_the_trail(sender: Client) -> None:
    post(sender, body(made.data_set(), b"nothing"))
    event = AuditEvent.objects.get(action="store")
    assert (event.actor_name, event.object_uid, event.detail) == ("admin", "1.2.3", {"stored": 1, "refused": 1})


def test_a_full_disk_is_507_and_works_again_when_space_is_back(sender: Client, settings: Settings) -> None:
    settings.MINIMUM_FREE = 1 << 60
    contents = [made.data_set(sop="1.2.3.1"), made.data_set(sop="1.2.3.2")]
    answer = post(sender, body(*contents))
    assert answer.status_code == 507
    assert [item["00081197"]["Value"] for item in answer.json()["00081198"]["Value"]] == [[0xA700]] * 2  # type: ignore[attr-defined]
    settings.MINIMUM_FREE = 1 << 20
    assert post(sender, body(*contents)).status_code == 200


def test_without_the_database_the_answer_is_503_and_what_came_waits(
    sender: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> None:
        raise OperationalError

    monkeypatch.setattr(intake, "wait_indexed", lambda names: False)
    monkeypatch.setattr(trail, "record", away)
    answer = post(sender, body(made.data_set()))
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    intake.hand_over()
    assert len(spool().waiting()) == 1
    made.index()
    assert Instance.objects.count() == 1


def test_what_cannot_be_indexed_is_no_stored_instance(sender: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def put_aside(names: list[str]) -> bool:
        for name in names:
            FailedFile.objects.create(node="main", name=name, reason="of a test", failed_at="2026-01-01T00:00Z")
        return True

    monkeypatch.setattr(intake, "wait_indexed", put_aside)
    answer = post(sender, body(made.data_set()))
    assert answer.status_code == 409
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0x0110]  # type: ignore[attr-defined]
