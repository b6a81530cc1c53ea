"""Tokens of programs: made, shown once, found again by their digest, revoked."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import ApiToken
from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor

PREFIX: Final = "pacs_"
_HINT: Final = len(PREFIX) + 5
_LONGEST: Final = 200
_USED_EVERY: Final = timedelta(minutes=1)  # a request that only reads writes no more often


@transaction.atomic
def issue(*, principal: Principal, user: User, name: str, expires_at: datetime | None = None) -> tuple[ApiToken, str]:
    """The row, and the token, which nobody can read from it."""
    text = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user, name=name, digest=_digest(text), hint=text[:_HINT], created_at=timezone.now(), expires_at=expires_at
    )
    _record(principal, "add", token)
    return token, text


@transaction.atomic
def revoke(*, principal: Principal, token: ApiToken) -> None:
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        _record(principal, "revoke", token)


def find(text: str) -> ApiToken | None:
    """One that is valid now, of a user who may sign in; notes that it is used."""
    if len(text) > _LONGEST:
        return None
    token = ApiToken.objects.select_related("user").filter(digest=_digest(text)).first()
    if token is None or not token.is_valid or not token.user.is_active:
        return None
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - _USED_EVERY:
        older = Q(last_used_at=None) | Q(last_used_at__lt=now - _USED_EVERY)
        ApiToken.objects.filter(older, pk=token.pk).update(last_used_at=now)
    return token


def _digest(text: str) -> str:
    """No salt, no stretching: it has 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _record(principal: Principal, action: str, token: ApiToken) -> None:
    expires = token.expires_at.isoformat() if token.expires_at else ""
    trail.record(
        actor=Actor.of(principal),
        action=action,
        object=f"token {token.hint}",
        detail={"user": token.user.get_username(), "name": token.name, "expires": expires},
    )
