import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from apps.audit.models import AuditEvent

pytestmark = pytest.mark.django_db


def events() -> list[tuple[str, str, str, str]]:
    found = AuditEvent.objects.exclude(action="sign in").order_by("id")
    return list(found.values_list("actor_name", "action", "object_kind", "object_uid"))


def test_what_is_done_to_users_stands_in_the_trail_without_their_secrets(admin_client: Client) -> None:
    secret = "a long passphrase, twice"
    added = {"username": "doctor", "password1": secret, "password2": secret, "usable_password": "true"}
    assert admin_client.post(reverse("admin:auth_user_add"), added).status_code == 302
    user = User.objects.get(username="doctor")
    role = Group.objects.get_or_create(name="Clinicians")[0]
    changed = {
        "username": "doctor",
        "is_active": "on",
        "groups": [role.pk],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    assert admin_client.post(reverse("admin:auth_user_change", args=[user.pk]), changed).status_code == 302
    new = {"password1": f"{secret}!", "password2": f"{secret}!", "usable_password": "true"}
    assert admin_client.post(reverse("admin:auth_user_password_change", args=[user.pk]), new).status_code == 302
    admin_client.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"})
    assert events() == [("admin", action, "user", "doctor") for action in ("add", "change", "change", "delete")]
    assert AuditEvent.objects.filter(action="change").last().detail["roles"] == ["Clinicians"]  # type: ignore[union-attr]
    assert secret not in str(list(AuditEvent.objects.values()))


def test_users_and_roles_deleted_from_the_list_stand_in_the_trail(admin_client: Client) -> None:
    doctor = User.objects.create_user("doctor")
    nurse = User.objects.create_user("nurse")
    values = {"action": "delete_selected", "_selected_action": [doctor.pk, nurse.pk], "post": "yes"}
    admin_client.post(reverse("admin:auth_user_changelist"), values)
    role = Group.objects.create(name="Guests")
    values = {"action": "delete_selected", "_selected_action": [role.pk], "post": "yes"}
    admin_client.post(reverse("admin:auth_group_changelist"), values)
    assert sorted(events()) == [
        ("admin", "delete", "role", "Guests"),
        ("admin", "delete", "user", "doctor"),
        ("admin", "delete", "user", "nurse"),
    ]


def test_a_new_role_stands_in_the_trail(admin_client: Client) -> None:
    admin_client.post(reverse("admin:auth_group_add"), {"name": "Guests"})
    assert events() == [("admin", "add", "role", "Guests")]


@pytest.mark.parametrize(("role", "sees"), [("Administrators", True), ("Radiologists", False)])
def test_staff_of_the_role_administrators_administer_in_the_browser_and_others_are_led_nowhere(
    client: Client, role: str, sees: bool
) -> None:
    user = User.objects.create_user("chief", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    client.force_login(user)
    network = reverse("admin:app_list", args=["network"])
    led = [address for address in (network, reverse("routing")) if address in client.get("/jobs/").text]
    assert led == ([network, reverse("routing")] if sees else [])
    for address in (network, reverse("routing"), reverse("admin:auth_user_changelist")):
        assert (client.get(address).status_code == 200) is sees
    User.objects.update(is_active=False)
    assert client.get(network).status_code == 302
