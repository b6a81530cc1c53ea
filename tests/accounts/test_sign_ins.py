"""Who comes in by the browser stands in the trail."""

from base64 import b64encode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.accounts import brake
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


def test_whoever_guesses_waits_and_the_user_comes_in_from_elsewhere(client: Client) -> None:
    User.objects.create_superuser("ada", password="correct-horse-battery")
    right = {"username": "ada", "password": "correct-horse-battery"}
    for page in ("/sign-in/", "/admin/login/"):
        for _ in range(brake.MOST):
            shown = client.post(page, right | {"password": "wrong"}, REMOTE_ADDR="10.0.0.7")
            assert "Too many" not in shown.content.decode()
        shown = client.post(page, right, REMOTE_ADDR="10.0.0.7")
        assert "Too many wrong passwords. Wait " in shown.content.decode()
        assert AuditEvent.objects.filter(outcome="refused").count() == brake.MOST, "waiting is not prolonged"
        AuditEvent.objects.filter(outcome="refused")._raw_delete("default")
        assert client.post(page, right, REMOTE_ADDR="10.0.0.8").status_code == 302
        client.logout()


def test_the_wait_is_over_when_its_time_is_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_superuser("ada", password="correct-horse-battery")
    for _ in range(brake.MOST):
        brake.note("ada", "10.0.0.7")
    assert 55 < brake.wait("ada", "10.0.0.7") <= 60
    assert brake.wait("ada", "10.0.0.8") == brake.wait("bob", "10.0.0.7") == 0
    later = timezone.now() + brake.WITHIN
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert brake.wait("ada", "10.0.0.7") == 0


def test_a_program_that_guesses_is_told_when_to_try_again(client: Client) -> None:
    User.objects.create_superuser("ada", password="correct-horse-battery")
    wrong = {"Authorization": "Basic " + b64encode(b"ada:wrong").decode()}
    answers = [client.get("/api/studies/", headers=wrong).status_code for _ in range(brake.MOST)]
    assert set(answers) == {401}
    refused = client.get("/api/studies/", headers=wrong)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 60
