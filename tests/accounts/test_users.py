import importlib

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import ValidationError
from django.test import RequestFactory

from apps.accounts import users
from apps.accounts.principal import Kind, Principal, system
from apps.accounts.users import ALPHABET, ROLES, ensure_first_admin, principal_of, readable_password, refreshed
from apps.audit.models import AuditEvent
from dicom.sop_classes import Service

pytestmark = pytest.mark.django_db


def user(name: str = "doctor", *roles: str, is_active: bool = True) -> User:
    made = User.objects.create_user(name, is_active=is_active)
    made.groups.set([Group.objects.get_or_create(name=role)[0] for role in roles])
    return made


def test_roles_add_up_and_other_groups_say_nothing() -> None:
    principal = principal_of(user("doctor", "Clinicians", "Technologists", "Football club"), "10.0.0.1")
    assert principal.services == ROLES["Clinicians"] | ROLES["Technologists"]
    assert (principal.kind, principal.name, principal.address) == (Kind.USER, "doctor", "10.0.0.1")
    assert principal.may(Service.GET) and not principal.may(Service.MOVE)


def test_a_user_without_a_role_may_do_nothing_and_a_superuser_everything() -> None:
    assert principal_of(user()).services == frozenset()
    assert principal_of(User.objects.create_superuser("chief")).services == frozenset(Service)


def test_nobody_and_a_user_switched_off_may_do_nothing() -> None:
    assert principal_of(AnonymousUser()).services == frozenset()
    assert principal_of(user("left", "Administrators", is_active=False)).services == frozenset()


def test_the_one_who_asks_is_the_one_signed_in() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.9")
    request.user = user()
    assert (users.asking(request).name, users.asking(request).address) == ("doctor", "10.0.0.9")


def test_a_right_withdrawn_meanwhile_is_gone_and_a_user_gone_may_do_nothing() -> None:
    doctor = user("doctor", "Clinicians")
    then = principal_of(doctor, "10.0.0.1")
    doctor.groups.clear()
    assert refreshed(then).services == frozenset()
    doctor.delete()
    assert refreshed(then) == Principal(kind=Kind.USER, name="", address="10.0.0.1")


def test_peers_and_the_system_are_as_they_were() -> None:
    peer = Principal(kind=Kind.PEER, name="ct", services=frozenset({Service.STORE}))
    assert refreshed(peer) is peer
    assert refreshed(system("x")).may(Service.MPPS)


def test_a_principal_survives_a_row() -> None:
    principal = Principal(Kind.PEER, "ct", 7, "10.0.0.1", "CT1", frozenset({Service.STORE, Service.FIND}))
    assert Principal.from_plain(principal.to_plain()) == principal
    assert Principal.from_plain(principal.to_plain() | {"services": ["telepathy"]}).services == frozenset()


def test_the_first_admin_has_the_password_given_or_a_readable_one_shown_once() -> None:
    shown = ensure_first_admin()
    assert shown is not None
    admin = User.objects.get(username="admin")
    assert admin.is_superuser and admin.check_password(shown)
    assert shown not in admin.password
    assert ensure_first_admin() is None
    assert AuditEvent.objects.get().object_uid == "admin"
    assert shown not in str(AuditEvent.objects.values_list().get())
    User.objects.all().delete()
    assert ensure_first_admin("given-by-hand") is None
    assert User.objects.get(username="admin").check_password("given-by-hand")


@pytest.mark.parametrize("password", ["a", "password123", "short-one"])
def test_a_first_password_that_is_too_weak_makes_no_administrator(password: str) -> None:
    with pytest.raises(ValidationError):
        ensure_first_admin(password)
    assert not User.objects.exists()


def test_a_password_that_stands_is_not_touched_by_a_later_start() -> None:
    ensure_first_admin("first-of-both")
    ensure_first_admin("second-of-both")
    assert User.objects.get(username="admin").check_password("first-of-both")


def test_somebody_called_admin_is_not_made_a_superuser(caplog: pytest.LogCaptureFixture) -> None:
    User.objects.create_user("admin")
    assert ensure_first_admin() is None
    assert not User.objects.get().is_superuser
    assert "a user called admin" in caplog.text


def test_a_readable_password_has_no_letters_that_look_alike() -> None:
    passwords = {readable_password() for _ in range(50)}
    assert len(passwords) == 50
    for password in passwords:
        assert [len(group) for group in password.split("-")] == [5, 5, 5, 5]
        assert set(password) <= {*ALPHABET, "-"}
    assert not set("0o1il") & set(ALPHABET)


def test_the_migrations_make_the_roles_of_the_table() -> None:
    Group.objects.all().delete()
    for name in ("0001_roles", "0002_schedulers"):
        importlib.import_module(f"apps.accounts.migrations.{name}").make(apps, None)
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)


def test_administrators_and_superusers_delete_and_nobody_else() -> None:
    may = {name: principal_of(user(name, name)).may_delete for name in ROLES}
    assert {name for name, allowed in may.items() if allowed} == {"Administrators"}


def test_administrators_technologists_and_schedulers_change_orders() -> None:
    may = {name: principal_of(user(name, name)).may_schedule for name in ROLES}
    assert {name for name, allowed in may.items() if allowed} == {"Administrators", "Technologists", "Schedulers"}
    assert principal_of(User.objects.create_superuser("chief")).may_delete
    assert not principal_of(user("left", "Administrators", is_active=False)).may_delete
    assert not Principal(kind=Kind.PEER, name="ct", services=frozenset(Service)).may_delete
    assert Principal.from_plain(principal_of(user("again", "Administrators")).to_plain()).may_delete
