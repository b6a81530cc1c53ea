"""Who sends an HTTP request: a session of the browser, Basic credentials, or the token of a program."""

import hashlib
import hmac
import time
from collections import OrderedDict
from copy import copy
from threading import Lock
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from apps.accounts import brake, tokens
from apps.accounts.models import ApiToken
from apps.accounts.users import principal_of

_REMEMBERED = 60.0  # seconds that a password which was right need not be hashed again
_MOST = 1000
# With each request of a viewer: written out, as to build a query takes several times as long as to run it.
_UNCHANGED = """
SELECT is_superuser, is_staff FROM auth_user WHERE id = %s AND username = %s AND password = %s AND is_active
"""


class _Remembered:
    """Credentials that were right a moment ago, as keyed digests: hashing a password costs a tenth of a second."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: OrderedDict[bytes, tuple[User, float]] = OrderedDict()

    def user(self, digest: bytes) -> User | None:
        """As it is now: it may have been switched off, or its password changed."""
        with self._lock:
            known, until = self._entries.get(digest, (None, 0.0))
        if known is None or until < time.monotonic():
            return None
        with connection.cursor() as cursor:
            cursor.execute(_UNCHANGED, [known.pk, known.get_username(), known.password])
            row = cursor.fetchone()
        if row is None:
            return None
        user = copy(known)
        user.is_superuser, user.is_staff = map(bool, row)
        return user

    def add(self, digest: bytes, user: User) -> None:
        with self._lock:
            self._entries[digest] = (copy(user), time.monotonic() + _REMEMBERED)
            while len(self._entries) > _MOST:
                self._entries.popitem(last=False)


_remembered = _Remembered()


class BasicAuthentication(authentication.BasicAuthentication):
    www_authenticate_realm = "PACS"

    def authenticate_header(self, request: Request) -> str:
        """A script of one of our pages, told by its Referer, signs in through the page: to it no browser shall open a
        window of its own for a password."""
        scheme = "Session" if "HTTP_REFERER" in request.META else "Basic"
        if request.META.get("HTTP_AUTHORIZATION", "").lower().startswith("bearer"):
            scheme = "Bearer"
        return f'{scheme} realm="{self.www_authenticate_realm}"'

    def authenticate_credentials(self, userid: str, password: str, request: Request | None = None) -> tuple[User, None]:
        text = f"{userid}\0{password}".encode()
        digest = hmac.digest(settings.SECRET_KEY.encode(), text, hashlib.sha256)
        known = _remembered.user(digest)
        if known is not None:
            return known, None
        if seconds := brake.wait(userid, brake.address_of(request)):
            raise Throttled(seconds, "Too many wrong passwords.")
        user: Any = super().authenticate_credentials(userid, password, request)[0]
        _remembered.add(digest, user)
        return user, None


class TokenAuthentication(authentication.BaseAuthentication):
    """RFC 6750 2.1"""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = tokens.find(text.strip())
        if token is None:
            raise AuthenticationFailed("The token is not known, expired or revoked")
        return token.user, token


class RoleBackend(BaseBackend):
    """Nobody signs in by it: it lets the role Administrators do in the pages of the admin what a superuser may."""

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Any = None) -> bool:
        return principal_of(user_obj).administers

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        return principal_of(user_obj).administers
