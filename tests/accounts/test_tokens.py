"""Tokens of programs."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.models import ApiToken
from apps.accounts.principal import system
from apps.audit.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def ris() -> User:
    made = User.objects.create_user("ris")
    made.groups.add(Group.objects.get_or_create(name="Schedulers")[0])
    return made


def issued(user: User, **more: Any) -> str:
    return tokens.issue(principal=system("test"), user=user, name="RIS", **more)[1]


def status(text: str, path: str = "/api/worklist/") -> int:
    return Client().get(path, headers={"Authorization": f"Bearer {text}"}).status_code


def test_a_token_signs_in_everywhere_with_the_rights_of_its_user(ris: User) -> None:
    text = issued(ris)
    assert status(text) == 200
    assert status(text, "/dicomweb/studies") == 403  # a scheduler sees no images
    assert status(text, "/api/schema/") == 200
    ris.groups.add(Group.objects.get_or_create(name="Clinicians")[0])
    assert status(text, "/dicomweb/studies") == 200


def test_a_token_creates_without_a_session_or_its_csrf_token(ris: User) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post(
        "/api/worklist/",
        {"patient_id": "17", "patient_name": "Doe^Jane"},
        content_type="application/json",
        headers={"Authorization": f"bearer {issued(ris)}"},
    )
    assert answer.status_code == 201


def test_what_is_no_valid_token_is_refused(ris: User) -> None:
    now = timezone.now()
    expired = issued(ris, expires_at=now - timedelta(seconds=1))
    revoked = issued(ris)
    tokens.revoke(principal=system("test"), token=ApiToken.objects.latest("id"))
    for text in (expired, revoked, "", "x", "é", "pacs_" + "x" * 5000):
        assert status(text) == 401
    answer = Client().get("/api/worklist/", headers={"Authorization": "Bearer x"})
    assert answer["WWW-Authenticate"].startswith("Bearer")
    good = issued(ris, expires_at=now + timedelta(days=1))
    assert status(good) == 200
    User.objects.update(is_active=False)
    assert status(good) == 401


def test_its_use_is_noted_once_a_minute(ris: User) -> None:
    text = issued(ris)
    assert ApiToken.objects.get().last_used_at is None
    status(text)
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    status(text)
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(hours=1))
    status(text)
    assert ApiToken.objects.get().last_used_at > first - timedelta(hours=1)  # type: ignore[operator]


def test_a_token_made_in_the_browser_is_shown_once_and_kept_nowhere(admin_client: Client, ris: User) -> None:
    page = admin_client.post(reverse("admin:accounts_apitoken_add"), {"user": ris.pk, "name": "RIS"}, follow=True)
    text = page.content.decode().partition("shown this once: ")[2].partition("<")[0].strip()
    assert status(text) == 200
    assert text not in admin_client.get(reverse("admin:accounts_apitoken_changelist")).content.decode()
    assert text not in str(list(ApiToken.objects.values())) + str(list(AuditEvent.objects.values()))
    revoke = {"action": "revoke", "_selected_action": [ApiToken.objects.get().pk]}
    answer = admin_client.post(reverse("admin:accounts_apitoken_changelist"), revoke, follow=True)
    assert f"Revoked: RIS ({text[:10]}" in answer.text
    assert status(text) == 401
    trail = AuditEvent.objects.filter(object_kind="token").order_by("id").values_list("actor_name", "action")
    assert list(trail) == [("admin", "add"), ("admin", "revoke")]


def test_no_token_is_made_that_has_expired_already(admin_client: Client, ris: User) -> None:
    given = {"user": ris.pk, "name": "RIS", "expires_at_0": "2020-01-01", "expires_at_1": "00:00"}
    assert "This moment has passed" in admin_client.post(reverse("admin:accounts_apitoken_add"), given).text
    assert not ApiToken.objects.exists()


def test_a_token_is_made_and_revoked_from_the_command_line(ris: User) -> None:
    out = StringIO()
    call_command("token", "ris", "--days", "30", stdout=out)
    text = out.getvalue().strip()
    assert status(text) == 200
    call_command("token", "ris", "--revoke", text[:10], stdout=StringIO())
    assert status(text) == 401
    for wrong in (["nobody"], ["ris", "--days", "0"]):
        with pytest.raises(CommandError):
            call_command("token", *wrong)
