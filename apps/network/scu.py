"""What we ask other application entities: whether they are there (PS3.4 annex A), what they have (annexes C and K)."""

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from dicom import status
from dicom.dimse import Association, Failed, Timeouts, associate
from dicom.encoding import ElementIn, Identifier, encode_elements, read_identifier
from dicom.errors import DicomError, InvalidDataSet
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION

PLAIN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)  # PS3.5 10.1
PATIENCE = Timeouts(connect=5, acse=5, dimse=5, release=2)


class NotVerified(DicomError):
    """The peer answered, but not as it should."""


def verify(
    *,
    host: str,
    port: int,
    called_ae_title: str,
    calling_ae_title: str,
    timeouts: Timeouts = PATIENCE,
    tls: ssl.SSLContext | None = None,
) -> float:
    """Seconds that the C-ECHO took, without connecting. Raises DicomError."""
    with associate(
        host,
        port,
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        contexts=[(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])],
        timeouts=timeouts,
        tls=tls,
    ) as assoc:
        if assoc.context_for(VERIFICATION) is None:
            raise NotVerified("Verification is not offered to us")
        began = time.monotonic()
        answer = assoc.c_echo()
        if answer.status != status.SUCCESS:
            raise NotVerified(f"C-ECHO answered with status {answer.status:04X}")
        return time.monotonic() - began


def find(assoc: Association, sop_class_uid: str, keys: Sequence[ElementIn], *, limit: int = 0) -> Iterator[Identifier]:
    """Answers as they come; after `limit` of them the rest is cancelled. Raises DimseError."""
    context = assoc.accepted_context(sop_class_uid)
    responses = assoc.c_find(context=context, identifier=encode_elements(keys, context.transfer_syntax))
    with closing(responses):
        for number, response in enumerate(responses, start=1):
            if not status.is_pending(response.status):
                response.check()
                return
            yield _read(response.data_set or b"", context.transfer_syntax)
            if number == limit:
                return


def _read(data_set: bytes, transfer_syntax_uid: str) -> Identifier:
    """Raises Failed: who cannot say what he has is asked otherwise, or named to an administrator."""
    try:
        return read_identifier(data_set, transfer_syntax_uid)
    except InvalidDataSet as error:
        raise Failed(status.UNABLE_TO_PROCESS, f"An answer cannot be read: {error}") from error
