"""User identity of an association request (PS3.7 D.3.3.7)."""

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError

from apps.accounts import brake
from apps.audit.models import AuditEvent
from dicom.dimse.negotiation import USER_IDENTITY_REFUSED, UserIdentity
from pacs.listeners import identity

HERE = "10.0.0.7"
NAME, PASSCODE, KERBEROS, SAML, JWT = range(1, 6)


@pytest.fixture
def _anna(db: None) -> None:
    get_user_model().objects.create_user("anna", password="correct-horse-battery")


def test_who_says_nothing_about_himself_goes_on() -> None:
    assert identity.refusal(None, HERE) is None


@pytest.mark.usefixtures("_anna")
@pytest.mark.parametrize(
    ("name", "passcode", "goes_on"),
    [
        (b"anna", b"correct-horse-battery", True),
        (b"anna", b"wrong", False),
        (b"anna", b"", False),
        (b"nobody", b"correct-horse-battery", False),
        (b"\xff\xfe", b"\xff", False),
    ],
)
def test_a_passcode_is_always_checked(name: bytes, passcode: bytes, goes_on: bool) -> None:
    refused = identity.refusal(UserIdentity(PASSCODE, name, passcode), HERE)
    assert refused == (None if goes_on else USER_IDENTITY_REFUSED)


@pytest.mark.usefixtures("_anna")
def test_a_user_who_is_switched_off_is_refused() -> None:
    get_user_model().objects.update(is_active=False)
    assert identity.refusal(UserIdentity(PASSCODE, b"anna", b"correct-horse-battery"), HERE) == USER_IDENTITY_REFUSED
    assert identity.refusal(UserIdentity(NAME, b"anna", b"", True), HERE) == USER_IDENTITY_REFUSED


@pytest.mark.usefixtures("_anna")
@pytest.mark.parametrize("kind", [NAME, KERBEROS, SAML, JWT])
def test_what_proves_nothing_is_let_through_when_nobody_asks_to_confirm_it(kind: int) -> None:
    assert identity.refusal(UserIdentity(kind, b"whoever"), HERE) is None


@pytest.mark.usefixtures("_anna")
def test_confirmation_is_given_to_our_users_only_and_for_what_can_be_checked() -> None:
    assert identity.refusal(UserIdentity(NAME, b"anna", b"", True), HERE) is None
    assert identity.refusal(UserIdentity(NAME, b"nobody", b"", True), HERE) == USER_IDENTITY_REFUSED
    for kind in (KERBEROS, SAML, JWT):
        assert identity.refusal(UserIdentity(kind, b"ticket", b"", True), HERE) == USER_IDENTITY_REFUSED


def test_an_identity_that_cannot_be_checked_is_refused_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str, address: str) -> int:
        raise OperationalError("the database is away")

    monkeypatch.setattr(brake, "wait", away)
    refused = identity.refusal(UserIdentity(PASSCODE, b"anna", b"correct-horse-battery"), HERE)
    assert refused is not None
    assert refused.result == 2  # transient: the caller may try again


def test_a_passcode_never_shows_in_a_log_line(caplog: pytest.LogCaptureFixture, _anna: None) -> None:
    with caplog.at_level("DEBUG"):
        identity.refusal(UserIdentity(PASSCODE, b"anna", b"open-sesame"), HERE)
    assert "anna" in caplog.text
    assert "open-sesame" not in caplog.text


@pytest.mark.usefixtures("_anna")
def test_who_guesses_passcodes_waits_and_others_do_not() -> None:
    for _ in range(brake.MOST):
        assert identity.refusal(UserIdentity(PASSCODE, b"anna", b"wrong"), HERE) == USER_IDENTITY_REFUSED
    right = UserIdentity(PASSCODE, b"anna", b"correct-horse-battery")
    assert identity.refusal(right, HERE) == USER_IDENTITY_REFUSED
    assert identity.refusal(right, "10.0.0.8") is None
    assert AuditEvent.objects.filter(action="sign in", outcome="refused", address=HERE).count() == brake.MOST
