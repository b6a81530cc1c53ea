"""A brake on guessing passwords: who has just given so many wrong ones for a name waits before the next is looked at.

By name and address together, so that nobody keeps a user out from elsewhere. What is refused stands in the trail; what
is not looked at does not: it shall neither fill it nor prolong the wait.
"""

import math
from datetime import timedelta
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from apps.audit import trail
from apps.audit.trail import Actor

MOST = 10
WITHIN = timedelta(minutes=1)
SIGN_IN, REFUSED = "sign in", "refused"


def address_of(request: HttpRequest | None) -> str:
    return request.META.get("REMOTE_ADDR", "") if request else ""


def wait(name: str, address: str) -> int:
    """Seconds until a password for this name is looked at again; 0 if now."""
    began = timezone.now() - WITHIN
    refused = trail.times(actor=_user(name, address), action=SIGN_IN, outcome=REFUSED, since=began, most=MOST)
    return math.ceil((refused[-1] - began).total_seconds()) if len(refused) == MOST else 0


def note(name: str, address: str) -> None:
    """A wrong password."""
    trail.record(actor=_user(name, address), action=SIGN_IN, object=f"user {name}", outcome=REFUSED)


def _user(name: str, address: str) -> Actor:
    """Who says to be of this name."""
    return Actor(name=name, kind="user", address=address)


class SignInForm(AuthenticationForm):
    def clean(self) -> Any:
        seconds = wait(self.cleaned_data.get("username", ""), address_of(self.request))
        if seconds:
            raise ValidationError(f"Too many wrong passwords. Wait {seconds} seconds, then try again.")
        return super().clean()


class AdminSignInForm(SignInForm, AdminAuthenticationForm):
    """For the admin's own page."""
