"""WADO-RS of instances (PS3.18 10.4)."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.conditional import conditional, ranged, tag_of
from apps.accounts.users import asking
from apps.qr import wado
from apps.qr.api.addresses import unique_keys
from apps.qr.retrieve import Instances as Retrieved
from apps.qr.retrieve import missing, named
from apps.qr.series_metadata import revisions
from apps.qr.wado import NothingToSend
from apps.qr.zipped import zipped
from dicom.media import DICOM, MULTIPART, ZIP, MediaRange, NotAcceptable, covers
from dicom.sop_classes import Service

Form = Callable[[Request, Retrieved, MediaRange, Mapping[str, str]], HttpResponseBase]


class Retrieve(DicomWebView):
    """Of a study, a series or an instance: all its instances, in the transfer syntax asked for."""

    service = Service.GET

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        media, form = _chosen(self.accepted(request), alone="instance" in uids)
        states: Sequence[Sequence[Any]] = () if "instance" in uids else revisions(asking(request), **uids)
        found = self.found(request, uids)
        if form is single:
            return form(request, found, media, uids)
        states = states or [(row.pk, row.revision, row.path) for row in found]
        tag = tag_of("retrieve", form.__name__, media.transfer_syntax, *states, weak=True)
        return conditional(request, tag, lambda: form(request, found, media, uids))

    @staticmethod
    def found(request: Request, uids: Mapping[str, str]) -> Retrieved:
        """Raises NotThere, Deleted."""
        keys = unique_keys(uids)
        found = named(asking(request), keys)
        if not len(found):
            raise missing(keys)
        return found


def _chosen(ranges: Sequence[MediaRange], *, alone: bool) -> tuple[MediaRange, Form]:
    """Raises NotAcceptable."""
    for media in ranges:
        if media.type == MULTIPART and covers(media.part, DICOM):
            return media, _multipart
        if media.type != MULTIPART and media.covers(DICOM) and alone:
            return media, single
        if media.type == "*/*":
            return media, _multipart
        if media.type == ZIP:
            return media, _zip
    raise NotAcceptable(f'There is only {MULTIPART}; type="{DICOM}", {DICOM} of an instance, and {ZIP}')


def _multipart(request: Request, found: Retrieved, media: MediaRange, uids: Mapping[str, str]) -> HttpResponseBase:
    partial = _check(found, media.transfer_syntax)
    boundary = secrets.token_hex(16)
    parts = (
        (f"{DICOM}; transfer-syntax={file.transfer_syntax_uid}", file.content)
        for file in wado.begun(wado.files(found, media.transfer_syntax))
    )
    content_type = f'{MULTIPART}; type="{DICOM}"; boundary={boundary}'
    status = 206 if partial else 200
    return StreamingHttpResponse(wado.multipart(parts, boundary), content_type=content_type, status=status)


def single(request: Request, found: Retrieved, media: MediaRange, uids: Mapping[str, str]) -> HttpResponseBase:
    """With Range where the bytes are as they are stored: of others nobody knows the size beforehand."""
    _check(found, media.transfer_syntax)
    (row,) = found
    tag = tag_of("instance", row.pk, row.revision, row.path, media.transfer_syntax)

    def answer() -> HttpResponseBase:
        if wado.goes_in(row.transfer_syntax_uid, media.transfer_syntax) == row.transfer_syntax_uid:
            content_type = f"{DICOM}; transfer-syntax={row.transfer_syntax_uid}"
            return ranged(request, wado.StoredFile(row), content_type=content_type, tag=tag)
        file = next(wado.files(found, media.transfer_syntax))
        return StreamingHttpResponse(file.content, content_type=f"{DICOM}; transfer-syntax={file.transfer_syntax_uid}")

    return conditional(request, tag, answer)


def _zip(request: Request, found: Retrieved, media: MediaRange, uids: Mapping[str, str]) -> HttpResponseBase:
    """As stored, unless a transfer syntax is asked for."""
    asked = media.transfer_syntax or wado.AS_STORED
    _check(found, asked)
    response = StreamingHttpResponse(zipped(wado.begun(wado.files(found, asked))), content_type=ZIP)
    response["Content-Disposition"] = f'attachment; filename="{list(uids.values())[-1]}.zip"'
    return response


def _check(found: Retrieved, asked: str) -> bool:
    """Whether some of them, but not all, can be sent so. Raises NothingToSend when none can."""
    possible = [bool(wado.goes_in(transfer_syntax_uid, asked)) for _, transfer_syntax_uid in found.kinds]
    if not any(possible):
        stored = ", ".join(sorted({transfer_syntax_uid for _, transfer_syntax_uid in found.kinds}))
        raise NothingToSend(f"Stored in {stored}; transfer-syntax=* brings them as they are")
    return not all(possible)
