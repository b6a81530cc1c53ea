"""User identity of an association request (PS3.7 D.3.3.7): our users prove themselves, others are noted."""

import logging

from django.contrib.auth import authenticate, get_user_model
from django.db import Error

from apps.accounts import brake
from apps.network.database import borrowed
from dicom.dimse.negotiation import USER_IDENTITY_REFUSED, Reject, UserIdentity

logger = logging.getLogger("pacs.listeners")

NAME, NAME_AND_PASSCODE = 1, 2
TEMPORARY = Reject(2, 3, 1)  # PS3.8 Table 9-21: temporary congestion


def refusal(identity: UserIdentity | None, address: str) -> Reject | None:
    """None lets the caller go on; what he may do still follows from his peer row alone.

    A passcode is always checked, so a wrong one is never taken for a right one. A name without passcode proves nothing:
    it is noted, and has to be one of our users only when the caller wants it confirmed. Tickets and tokens (kinds 3 to
    5) cannot be checked here: noted, refused when confirmation is wanted.
    """
    if identity is None:
        return None
    name = identity.primary.decode(errors="replace") if identity.kind in (NAME, NAME_AND_PASSCODE) else ""
    try:
        with borrowed():
            refused = not _is_good(identity, name, address)
    except Error as error:
        logger.error("user identity cannot be checked, the database is away: %s", error)
        return TEMPORARY
    logger.info("user identity of kind %d, name %r, %s", identity.kind, name, "refused" if refused else "taken")
    return USER_IDENTITY_REFUSED if refused else None


def _is_good(identity: UserIdentity, name: str, address: str) -> bool:
    if identity.kind == NAME_AND_PASSCODE:
        return _fits(name, identity.secondary.decode(errors="replace"), address)
    if not identity.positive_response_requested:
        return True
    return identity.kind == NAME and get_user_model().objects.filter(username=name, is_active=True).exists()


def _fits(name: str, password: str, address: str) -> bool:
    if seconds := brake.wait(name, address):
        logger.warning("too many wrong passwords for %r from %s: not looked at for %d s", name, address, seconds)
        return False
    if authenticate(username=name, password=password) is None:
        brake.note(name, address)
        return False
    return True
