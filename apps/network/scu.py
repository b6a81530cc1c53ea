"""Verification, PS3.4 annex A: asking another application entity whether it is there."""

import time

from dicom import status
from dicom.dimse import Timeouts, associate
from dicom.errors import DicomError

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
PATIENCE = Timeouts(connect=5, acse=5, dimse=5, release=2)


class NotVerified(DicomError):
    """The peer answered, but not as it should."""


def verify(
    *, host: str, port: int, called_ae_title: str, calling_ae_title: str, timeouts: Timeouts = PATIENCE
) -> float:
    """Seconds that the C-ECHO took, without connecting. Raises DicomError."""
    with associate(
        host,
        port,
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        contexts=[(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])],
        timeouts=timeouts,
    ) as assoc:
        if assoc.context_for(VERIFICATION) is None:
            raise NotVerified("Verification is not offered to us")
        began = time.monotonic()
        answer = assoc.c_echo()
        if answer.status != status.SUCCESS:
            raise NotVerified(f"C-ECHO answered with status {answer.status:04X}")
        return time.monotonic() - began
