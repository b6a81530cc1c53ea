"""STOW-RS (PS3.18 10.5)."""

from collections.abc import Iterable
from functools import lru_cache
from threading import BoundedSemaphore
from typing import Any, Final

import orjson
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.body import RequestBody
from apps.accounts.users import asking
from apps.network.database import borrowed
from apps.storage import stow
from apps.storage.stow import Outcome, Report
from dicom import status
from dicom.dicomjson import Json
from dicom.dicomxml import to_xml
from dicom.errors import DicomError
from dicom.media import DICOM, JSON, JSON_OFFERS, MULTIPART, XML, choose
from dicom.multipart import ContentType, Multipart, Part, content_type
from dicom.sop_classes import Service

_OUT_OF_RESOURCES: Final = 0xA7
_PARTS: Final = (DICOM, *JSON_OFFERS)
_ANSWERS: Final = (*JSON_OFFERS, XML)


class NotSupported(DicomError):
    http_status = 415


class Busy(DicomError):
    """So many bodies arrive already that none could be served any more if they were slow."""

    http_status = 503


class NothingStored(DicomError):
    """There is no part."""


class Store(DicomWebView):
    service = Service.STORE

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before anything else: what is a form would be read to find a token in it."""
        _media(request)
        super().initial(request, *args, **kwargs)

    def post(self, request: Request, study: str | None = None) -> HttpResponse:
        media_type = choose(self.accepted(request), _ANSWERS)
        with borrowed():
            principal = asking(request)  # and no connection of the database is held while the body arrives
        if not _turns().acquire(blocking=False):
            raise Busy("Too many requests store at the same time")
        try:
            with RequestBody(request) as body:
                parts = _parts(_media(request), body)
                report = stow.store(parts, principal=principal, study_instance_uid=study)
        finally:
            _turns().release()
        if not report.outcomes:
            raise NothingStored("There is no part in the body")
        module = _module(report, study)
        content = to_xml(module) if media_type == XML else orjson.dumps(module)
        return HttpResponse(content, status=_http_status(report), content_type=media_type)


@lru_cache
def _turns() -> BoundedSemaphore:
    return BoundedSemaphore(settings.STORES_AT_ONCE)


def _media(request: Request) -> ContentType:
    """Raises NotSupported, InvalidMultipart."""
    media = content_type(request.META.get("CONTENT_TYPE", ""))
    whole = f'There is only {MULTIPART}; type="{DICOM}" or "{JSON}", or one of these by itself'
    if media.type not in (MULTIPART, *_PARTS):
        raise NotSupported(whole)
    if media.type == MULTIPART and media.parameters.get("type", DICOM).lower() not in _PARTS:
        raise NotSupported(whole)
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise NotSupported("A body with a Content-Encoding is not taken")
    return media


def _parts(media: ContentType, body: RequestBody) -> Iterable[Part]:
    if media.type == MULTIPART:
        return Multipart(body.readinto, media.boundary)
    return [body.as_part({"content-type": media.type})]


def _http_status(report: Report) -> int:
    """PS3.18 Table 10.5.3-1."""
    if report.stored:
        return 200 if all(outcome.status == status.SUCCESS for outcome in report.outcomes) else 202
    return 507 if all(outcome.status >> 8 == _OUT_OF_RESOURCES for outcome in report.outcomes) else 409


def _module(report: Report, study: str | None) -> Json:
    """PS3.18 Table I.1-1."""
    studies = {study} if study else {outcome.study_instance_uid for outcome in report.stored}
    module: Json = {"00081190": _value("UR", _address(*studies) if len(studies) == 1 and report.stored else "")}
    failed = [outcome for outcome in report.outcomes if not outcome.is_stored]
    sequences = {
        "00081198": [_named(outcome) | _failure(outcome) for outcome in failed if outcome.sop_instance_uid],
        "00081199": [_named(outcome) | _referenced(outcome) for outcome in report.stored],
        "0008119A": [_failure(outcome) for outcome in failed if not outcome.sop_instance_uid],
    }
    return module | {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}


def _named(outcome: Outcome) -> Json:
    return {"00081150": _value("UI", outcome.sop_class_uid), "00081155": _value("UI", outcome.sop_instance_uid)}


def _failure(outcome: Outcome) -> Json:
    """With an Error Comment, as others have it too."""
    return {"00081197": _value("US", outcome.status), "00000902": _value("LO", outcome.comment[:64])}


def _referenced(outcome: Outcome) -> Json:
    address = _address(outcome.study_instance_uid, outcome.series_instance_uid, outcome.sop_instance_uid)
    warning = {"00081196": _value("US", outcome.status)} if outcome.status else {}
    return {"00081190": _value("UR", address)} | warning


def _value(vr: str, value: Any) -> Json:
    return {"vr": vr, "Value": [value]} if value else {"vr": vr}


def _address(*uids: str) -> str:
    levels = ("studies", "series", "instances")
    return settings.DICOMWEB + "".join(f"/{level}/{uid}" for level, uid in zip(levels, uids, strict=False))
