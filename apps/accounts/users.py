"""Users as Principals: what their roles let them do."""

import logging
import secrets
from collections.abc import Mapping

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from apps.accounts.principal import Kind, Principal, system
from apps.audit import trail
from apps.audit.trail import Actor
from dicom.sop_classes import Service

logger = logging.getLogger(__name__)

FIRST_ADMIN = "admin"

# A role is a Django group of this name; superusers may do everything.
ADMINISTRATORS = "Administrators"
ROLES: Mapping[str, frozenset[Service]] = {
    ADMINISTRATORS: frozenset(Service),
    "Radiologists": frozenset({Service.FIND, Service.MOVE, Service.GET, Service.WORKLIST}),
    "Technologists": frozenset({Service.STORE, Service.FIND, Service.WORKLIST, Service.MPPS, Service.COMMITMENT}),
    # A RIS that schedules over REST.
    "Schedulers": frozenset({Service.WORKLIST, Service.MPPS}),
    "Clinicians": frozenset({Service.FIND, Service.GET}),
}

# With each request: written out, as to build a query takes several times as long as to run it.
_GROUPS = """
SELECT auth_group.* FROM auth_group JOIN auth_user_groups ON auth_user_groups.group_id = auth_group.id
WHERE auth_user_groups.user_id = %s
"""

# Read aloud and typed from paper: no letter that looks like another or like a digit.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def principal_of(user: User | AnonymousUser, address: str = "") -> Principal:
    """Somebody not signed in, or switched off, may do nothing."""
    if isinstance(user, AnonymousUser):
        return Principal(kind=Kind.USER, name="", address=address)
    roles = _roles_of(user)
    return Principal(
        kind=Kind.USER,
        name=user.get_username(),
        key=user.pk,
        address=address,
        services=frozenset[Service]().union(*(ROLES[name] for name in roles)),
        administers=ADMINISTRATORS in roles,
    )


def asking(request: HttpRequest) -> Principal:
    """Who sent this request."""
    return principal_of(request.user, request.META.get("REMOTE_ADDR", ""))


def refreshed(principal: Principal) -> Principal:
    """A user's rights as they are now, for what runs long after he asked; others are as they were."""
    if principal.kind is not Kind.USER:
        return principal
    user = get_user_model().objects.filter(pk=principal.key or 0, is_active=True).first()
    return principal_of(user or AnonymousUser(), principal.address)


def ensure_first_admin(password: str | None = None) -> str | None:
    """Makes the user `admin` when there is no superuser. Returns the password if it was made here.

    Raises ValidationError when the password given is too weak.
    """
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    chosen = password or readable_password()
    validate_password(chosen, User(username=FIRST_ADMIN))
    try:
        with transaction.atomic():
            users.create_superuser(FIRST_ADMIN, password=chosen)
            trail.record(actor=Actor.of(system("first start")), action="add", object=f"user {FIRST_ADMIN}")
    except IntegrityError:
        logger.warning("There is no superuser, but a user called %s: left as it is", FIRST_ADMIN)
        return None
    return None if password else chosen


def readable_password() -> str:
    """Four groups of five: 99 bits."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))


def _roles_of(user: User) -> frozenset[str]:
    if not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset({ADMINISTRATORS})
    return frozenset(group.name for group in Group.objects.raw(_GROUPS, [user.pk]) if group.name in ROLES)
