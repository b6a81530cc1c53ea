"""Who signed in and out, and who tried: into the trail."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from apps.accounts import brake
from apps.accounts.brake import SIGN_IN, AdminSignInForm
from apps.accounts.users import asking, principal_of
from apps.audit import trail
from apps.audit.trail import Actor


def connect() -> None:
    user_logged_in.connect(_signed_in, dispatch_uid="trail")
    user_logged_out.connect(_signed_out, dispatch_uid="trail")
    user_login_failed.connect(_failed, dispatch_uid="trail")
    admin.site.login_form = AdminSignInForm


def _signed_in(request: HttpRequest | None, user: User, **_: Any) -> None:
    actor = Actor.of(principal_of(user, brake.address_of(request)))
    trail.record(actor=actor, action=SIGN_IN, object=f"user {user.get_username()}")


def _signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:  # else the session had ended before
        trail.record(actor=Actor.of(asking(request)), action="sign out", object=f"user {user.get_username()}")


def _failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    brake.note(str(credentials.get("username", "")), brake.address_of(request))
