"""Credentials that were right a moment ago are looked up again with each request."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from rest_framework.authentication import BasicAuthentication

pytestmark = pytest.mark.django_db


@pytest.fixture
def doctor() -> User:
    made = User.objects.create_user("doctor", password="right-of-ours")
    made.groups.add(Group.objects.get_or_create(name="Clinicians")[0])
    return made


def answer(client: Client) -> int:
    credentials = "ZG9jdG9yOnJpZ2h0LW9mLW91cnM="  # doctor:right-of-ours
    return client.get("/dicomweb/studies", headers={"Authorization": f"Basic {credentials}"}).status_code


def test_a_password_is_hashed_once_a_minute(client: Client, doctor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(client) == 200
    monkeypatch.setattr(BasicAuthentication, "authenticate_credentials", None)
    assert answer(client) == 200


def change_password(user: User) -> None:
    user.set_password("another-of-ours")
    user.save()


def switch_off(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def rename(user: User) -> None:
    User.objects.filter(pk=user.pk).update(username="physician")


def withdraw_role(user: User) -> None:
    user.groups.clear()


@pytest.mark.parametrize(
    ("change", "status"),
    [(change_password, 401), (switch_off, 401), (User.delete, 401), (rename, 401), (withdraw_role, 403)],
)
def test_what_was_taken_from_a_user_is_gone_with_his_next_request(
    client: Client, doctor: User, change: Callable[[User], None], status: int
) -> None:
    assert answer(client) == 200
    change(doctor)
    assert answer(client) == status


def test_a_superuser_who_is_none_any_more_has_his_roles_left(client: Client, doctor: User) -> None:
    doctor.groups.clear()
    User.objects.filter(pk=doctor.pk).update(is_superuser=True)
    assert answer(client) == 200
    User.objects.filter(pk=doctor.pk).update(is_superuser=False)
    assert answer(client) == 403
