"""The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): who heard no answer may ask again, and what
he asked for is done once."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import orjson
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from apps.accounts.http import ProblemRenderer, described
from apps.accounts.models import AnsweredRequest
from dicom.errors import DicomError

KEPT: Final = timedelta(hours=24)
LONGEST: Final = timedelta(minutes=10)  # of a request; then its process has died, and nothing of it was done
REPLAY: Final = "Idempotent-Replay"
_HEADERS: Final = ("Content-Type", "Location", "ETag", "Cache-Control")
# An error that another time may not be one.
_PASSING: Final = frozenset({401, 403, 408, 412, 429})


class InvalidKey(DicomError):
    errors = {"Idempotency-Key": "1 to 255 characters"}


class OtherRequest(DicomError):
    http_status = 422


class StillRunning(DicomError):
    http_status = 409


def once(request: Request, *, user_id: int, body: bytes, make: Callable[[], HttpResponse]) -> HttpResponse:
    """The answer of `make`, or the one that the first request with this key was given. What `make` does and the answer
    that is kept are one transaction."""
    header = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return make()
    key = header.strip().strip('"')
    if not 0 < len(key) <= 255:
        raise InvalidKey("Idempotency-Key: 1 to 255 characters")
    row = _claimed(user_id, key, _digest(request, body))
    if row.status is not None:
        return _replayed(row)
    answer: HttpResponse | None = None
    try:
        answer = _made(row, make)
    finally:
        if answer is None:
            _held(row).delete()
    return answer


def prune() -> int:
    """Forgets what nobody will ask for again; how many."""
    return AnsweredRequest.objects.filter(began_at__lt=timezone.now() - KEPT).delete()[0]


def _made(row: AnsweredRequest, make: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        with transaction.atomic():
            answer = make()
            _keep(row, answer)
        return answer
    except DicomError as error:
        document = described(error)
        if document["status"] >= 500 or document["status"] in _PASSING:
            raise
        answer = HttpResponse(
            orjson.dumps(document), status=document["status"], content_type=ProblemRenderer.media_type
        )
        _keep(row, answer)
        return answer


def _claimed(user_id: int, key: str, digest: str) -> AnsweredRequest:
    """The row of this key: ours, without a status, or of a request that was answered. Raises OtherRequest,
    StillRunning."""
    while True:
        now = timezone.now()
        try:
            with transaction.atomic():
                return AnsweredRequest.objects.create(user_id=user_id, key=key, digest=digest, began_at=now)
        except IntegrityError:
            row = AnsweredRequest.objects.filter(user_id=user_id, key=key).first()
        if row is None:
            continue
        if row.began_at < now - KEPT:
            _held(row, status=row.status).delete()
            continue
        if row.digest != digest:
            raise OtherRequest("This Idempotency-Key was given to another request")
        if row.status is not None:
            return row
        if row.began_at > now - LONGEST or not _held(row).update(began_at=now):
            raise StillRunning("The first request with this Idempotency-Key still runs")
        row.began_at = now
        return row


def _held(row: AnsweredRequest, status: int | None = None) -> QuerySet[AnsweredRequest]:
    """The row as long as it is as we know it."""
    return AnsweredRequest.objects.filter(pk=row.pk, began_at=row.began_at, status=status)


def _keep(row: AnsweredRequest, answer: HttpResponse) -> None:
    headers = {name: answer[name] for name in _HEADERS if name in answer}
    if not _held(row).update(status=answer.status_code, headers=headers, body=answer.content.decode()):
        raise StillRunning("Another request with this Idempotency-Key has taken over")


def _replayed(row: AnsweredRequest) -> HttpResponse:
    answer = HttpResponse(row.body, status=row.status, headers=row.headers)
    answer[REPLAY] = "true"
    return answer


def _digest(request: Request, body: bytes) -> str:
    said = "\0".join((request.method or "", request.get_full_path(), request.META.get("CONTENT_TYPE", "")))
    return hashlib.sha256(said.encode("utf-8", "surrogateescape") + b"\0" + body).hexdigest()
