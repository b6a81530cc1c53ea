"""QIDO-RS and WADO-RS over HTTP (PS3.18 10.4, 10.6): read the request, call the verb, name the status."""

import io
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import orjson
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.users import asking
from apps.qr import wado
from apps.qr.attributes import Level
from apps.qr.bulk_data import BulkValue, parse_way
from apps.qr.retrieve import Instances as Retrieved
from apps.qr.retrieve import Stored, by_uids, instances, missing
from apps.qr.search import Found, Search, answer, from_qido_params
from apps.qr.wado import File, NothingToSend
from dicom.media import MULTIPART, MediaRange, NotAcceptable, Unsatisfiable, byte_range, choose, covers
from dicom.sop_classes import Service

JSON: Final = "application/dicom+json"
DICOM: Final = "application/dicom"
ZIP: Final = "application/zip"
OCTETS: Final = "application/octet-stream"
_JSON_OFFERS: Final = (JSON, "application/json")
_PATHS: Final = (("StudyInstanceUID", "studies"), ("SeriesInstanceUID", "series"), ("SOPInstanceUID", "instances"))
_KEYWORDS: Final = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID"}


class SearchView(DicomWebView):
    """One for each level; the URL may name the study and the series to look in."""

    level: ClassVar[Level]
    service = Service.FIND

    def get(self, request: Request, **uids: str) -> HttpResponse:
        media_type = choose(self.accepted(request), _JSON_OFFERS)
        within = {_KEYWORDS[name]: uid for name, uid in uids.items()}
        params = {name: request.GET.getlist(name) for name in request.GET}
        search = from_qido_params(params, level=self.level, within=within)
        found = answer(search, asking(request), retrieve_url=lambda keys: settings.DICOMWEB + _path(keys))
        response = HttpResponse(orjson.dumps(found.answers), content_type=media_type)
        response["X-Total-Count"] = str(found.total)
        if warnings := _warnings(search, found):
            response["Warning"] = ", ".join(warnings)
        return response


class Studies(SearchView):
    level = Level.STUDY


class Series(SearchView):
    level = Level.SERIES


class Instances(SearchView):
    level = Level.IMAGE


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
        keys = {_KEYWORDS[name]: uid for name, uid in uids.items()}
        found = instances(asking(request), by_uids(keys))
        if not len(found):
            raise missing(keys)
        return found


class Metadata(Retrieve):
    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        media_type = choose(self.accepted(request), _JSON_OFFERS)
        found = self.found(request, uids)
        content = wado.begun(wado.metadata(found, lambda row: f"{_instance_path(row)}/bulkdata"))
        return StreamingHttpResponse(content, content_type=media_type)


class BulkData(Retrieve):
    """PS3.18 10.4.1.1.5, one value; with Range, of which the standard says nothing."""

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        way = parse_way(uids.pop("way"))
        single = _is_single(self.accepted(request))
        (row,) = self.found(request, uids)
        value = BulkValue(row, way)
        if not single:
            boundary = secrets.token_hex(16)
            body = value.framed(wado.part_head(OCTETS, boundary), wado.last_boundary(boundary))
            return StreamingHttpResponse(body, content_type=f'{MULTIPART}; type="{OCTETS}"; boundary={boundary}')
        try:
            part = byte_range(request.META.get("HTTP_RANGE", ""), value.size)
        except Unsatisfiable:
            value.close()
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{value.size}"})
        start, stop = part or (0, value.size)
        response = StreamingHttpResponse(value.between(start, stop), content_type=OCTETS, status=206 if part else 200)
        response["Accept-Ranges"] = "bytes"
        response["Content-Length"] = str(stop - start)
        if part:
            response["Content-Range"] = f"bytes {start}-{stop - 1}/{value.size}"
        return response


def _is_single(ranges: list[MediaRange]) -> bool:
    """Whether the value comes alone, not as the one part of a multipart. Raises NotAcceptable."""
    for media in ranges:
        if media.type == MULTIPART and covers(media.part, OCTETS):
            return False
        if media.covers(OCTETS):
            return True
    raise NotAcceptable(f'There is only {OCTETS}, and {MULTIPART}; type="{OCTETS}"')


def _instance_path(row: Stored) -> str:
    keys = {"StudyInstanceUID": row.study_instance_uid, "SeriesInstanceUID": row.series_instance_uid}
    return settings.DICOMWEB + _path({**keys, "SOPInstanceUID": row.sop_instance_uid})


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
    response = StreamingHttpResponse(_zipped(wado.begun(wado.files(found, asked))), content_type=ZIP)
    response["Content-Disposition"] = f'attachment; filename="{list(uids.values())[-1]}.zip"'
    return response


class _Pipe(io.RawIOBase):
    """What a ZipFile writes to: it cannot seek, and gives away what it has."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _zipped(files: Iterator[File]) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            info = zipfile.ZipInfo(f"{file.sop_instance_uid}.dcm")
            with archive.open(info, "w", force_zip64=True) as entry:
                for piece in file.content:
                    entry.write(piece)
                    yield pipe.taken()
    yield pipe.taken()


def _check(found: Retrieved, asked: str) -> bool:
    """Whether some of them, but not all, can be sent so. Raises NothingToSend when none can."""
    possible = [bool(wado.goes_in(transfer_syntax_uid, asked)) for _, transfer_syntax_uid in found.kinds]
    if not any(possible):
        stored = ", ".join(sorted({transfer_syntax_uid for _, transfer_syntax_uid in found.kinds}))
        raise NothingToSend(f"Stored in {stored}; transfer-syntax=* brings them as they are")
    return not all(possible)


def _path(keys: Mapping[str, Any]) -> str:
    return "".join(f"/{name}/{keys[keyword]}" for keyword, name in _PATHS if keyword in keys)


def _warnings(search: Search, found: Found) -> list[str]:
    """PS3.18 8.3.4.5: numbers and the words that go with them."""
    warnings = []
    if found.more:
        warnings.append('299 PACS "There are additional results that can be requested"')
    if "fuzzymatching" in search.ignored:
        text = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
        warnings.append(f'299 PACS "{text}"')
    others = [_quotable(name) for name in search.ignored if name != "fuzzymatching"]
    if others:
        warnings.append(f'299 PACS "These parameters are not supported and were ignored: {" ".join(others)}"')
    return warnings


def _quotable(name: str) -> str:
    """A parameter's name in a header: nothing that ends the text or the line."""
    return "".join(c if c.isalnum() or c in "._=-" else "?" for c in name[:64].encode("ascii", "replace").decode())
