"""Who comes in by the browser stands in the trail."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.audit.models import AuditEvent

pytestmark = pytest.mark.django_db

PAGE = "/admin/login/"


def trail() -> list[tuple[str, str, str, str, str]]:
    columns = ("actor_name", "address", "action", "object_uid", "outcome")
    return list(AuditEvent.objects.order_by("id").values_list(*columns))


def test_sign_in_and_sign_out_stand_in_the_trail(client: Client) -> None:
    User.objects.create_superuser("ada", password="correct-horse-battery")
    client.post(PAGE, {"username": "ada", "password": "correct-horse-battery"}, REMOTE_ADDR="10.0.0.7")
    client.post("/admin/logout/", REMOTE_ADDR="10.0.0.7")
    client.post("/admin/logout/", REMOTE_ADDR="10.0.0.7")
    assert trail() == [
        ("ada", "10.0.0.7", "sign in", "ada", "success"),
        ("ada", "10.0.0.7", "sign out", "ada", "success"),
    ]


@pytest.mark.parametrize("name", ["ada", "nobody", "x" * 3000, "\0"])
def test_a_sign_in_that_fails_stands_in_the_trail_without_the_password(client: Client, name: str) -> None:
    User.objects.create_superuser("ada", password="correct-horse-battery")
    client.post(PAGE, {"username": name, "password": "wrong-horse"}, REMOTE_ADDR="10.0.0.7")
    for event in AuditEvent.objects.all():
        assert (event.address, event.action, event.outcome) == ("10.0.0.7", "sign in", "refused")
        assert event.actor_name in name
        assert "wrong" not in str(event.detail)
    assert AuditEvent.objects.exists() or len(name) > 150 or "\0" in name, "the form refuses what cannot be a name"
