"""WADO-RS of instances and their metadata (PS3.18 10.4)."""

import secrets
from collections.abc import Mapping

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.users import asking
from apps.qr import wado
from apps.qr.api.addresses import instance_address, unique_keys
from apps.qr.retrieve import Instances as Retrieved
from apps.qr.retrieve import by_uids, instances, missing
from apps.qr.wado import NothingToSend
from apps.qr.zipped import zipped
from dicom.media import DICOM, JSON_OFFERS, MULTIPART, ZIP, MediaRange, NotAcceptable, choose, covers
from dicom.sop_classes import Service


class Retrieve(DicomWebView):
    """Of a study, a series or an instance: all its instances, in the transfer syntax asked for."""

    service = Service.GET

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        found = self.found(request, uids)
        for media in self.accepted(request):
            if media.type == MULTIPART and covers(media.part, DICOM):
                return _multipart(found, media)
            if media.type != MULTIPART and media.covers(DICOM) and "instance" in uids:
                return _single(found, media)
            if media.type == "*/*":
                return _multipart(found, media)
            if media.type == ZIP:
                return _zip(found, media, uids)
        raise NotAcceptable(f'There is only {MULTIPART}; type="{DICOM}", {DICOM} of an instance, and {ZIP}')

    @staticmethod
    def found(request: Request, uids: Mapping[str, str]) -> Retrieved:
        """Raises NotThere, Deleted."""
        keys = unique_keys(uids)
        found = instances(asking(request), by_uids(keys))
        if not len(found):
            raise missing(keys)
        return found


class Metadata(Retrieve):
    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        media_type = choose(self.accepted(request), JSON_OFFERS)
        found = self.found(request, uids)
        content = wado.begun(wado.metadata(found, lambda row: f"{instance_address(row)}/bulkdata"))
        return StreamingHttpResponse(content, content_type=media_type)


def _multipart(found: Retrieved, media: MediaRange) -> HttpResponseBase:
    partial = _check(found, media.transfer_syntax)
    boundary = secrets.token_hex(16)
    parts = (
        (f"{DICOM}; transfer-syntax={file.transfer_syntax_uid}", file.content)
        for file in wado.begun(wado.files(found, media.transfer_syntax))
    )
    content_type = f'{MULTIPART}; type="{DICOM}"; boundary={boundary}'
    status = 206 if partial else 200
    return StreamingHttpResponse(wado.multipart(parts, boundary), content_type=content_type, status=status)


def _single(found: Retrieved, media: MediaRange) -> HttpResponseBase:
    _check(found, media.transfer_syntax)
    file = next(wado.files(found, media.transfer_syntax))
    return StreamingHttpResponse(file.content, content_type=f"{DICOM}; transfer-syntax={file.transfer_syntax_uid}")


def _zip(found: Retrieved, media: MediaRange, uids: Mapping[str, str]) -> HttpResponseBase:
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
