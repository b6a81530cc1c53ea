"""An association with a server of ours, and what it is asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from dicom.dimse import Association, Response, associate
from dicom.dimse.negotiation import Context
from tests.dicom.dimse.conftest import BarePeer
from tests.dicom.dimse.sides import (
    CT_IMAGE_STORAGE,
    EXPLICIT,
    IMPLICIT,
    PROCEDURE_STEP,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Handler,
    Running,
)

PENDING, CANCELLED = 0xFF00, 0xFE00
ALL = (
    VERIFICATION,
    CT_IMAGE_STORAGE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    STUDY_ROOT_GET,
    STORAGE_COMMITMENT,
    PROCEDURE_STEP,
)


def services(handler: Handler, *classes: str) -> dict[str, tuple[list[str], Handler]]:
    return {uid: ([IMPLICIT, EXPLICIT], handler) for uid in classes or ALL}


@contextmanager
def associated(running: Running | BarePeer, **options: object) -> Iterator[Association]:
    with associate(
        *running.address,
        calling_ae_title="ME",
        called_ae_title="YOU",
        contexts=[(uid, [IMPLICIT]) for uid in ALL],
        **options,  # type: ignore[arg-type]
    ) as assoc:
        yield assoc


def context(assoc: Association, uid: str, role: str = "scu") -> Context:
    found = assoc.context_for(uid, role=role)
    assert found is not None
    return found


def find(assoc: Association, **options: object) -> Iterator[Response]:
    return assoc.c_find(context=context(assoc, STUDY_ROOT_FIND), identifier=b"query", **options)  # type: ignore[arg-type]
