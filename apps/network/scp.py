"""Verification, PS3.4 annex A: the DIMSE edge of C-ECHO."""

from apps.network.session import Session
from dicom import status
from dicom.dimse import Association, Message


def c_echo(session: Session, assoc: Association, message: Message) -> None:
    assoc.respond(message, status.SUCCESS)
    session.count("C-ECHO", status.SUCCESS)
