"""Rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4)."""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.conditional import conditional, ranged, tag_of
from apps.accounts.users import asking
from apps.qr import look, rendered, wado
from apps.qr.api.addresses import unique_keys
from apps.qr.api.search import quotable
from apps.qr.bulk_data import BulkValue
from apps.qr.frames import parse_numbers
from apps.qr.look import Look
from apps.qr.rendered import MOST, STILL, Asked, CannotRender, Made
from apps.qr.retrieve import Instances, Stored, missing, named
from apps.qr.video import MP4, Video
from dicom.errors import CannotReencode, DicomError
from dicom.media import MULTIPART, MediaRange, NotAcceptable, covers
from dicom.sop_classes import Service

log = logging.getLogger(__name__)

_ENCAPSULATED_DOCUMENT: Final = [0x00420011]
_TEXTS: Final = frozenset({"application/pdf", "text/xml"})  # which no zero ends
_PARAMETERS: Final = frozenset({"accept", "window", "viewport", "quality"})


@dataclass(frozen=True, slots=True)
class Form:
    media_type: str
    multipart: bool


class Rendered(DicomWebView):
    """Of a study, a series, an instance or some of its frames."""

    service = Service.GET

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        frames = parse_numbers(uids.pop("frames")) if "frames" in uids else None
        asked = look.of_rs(request.GET.dict())
        keys = unique_keys(uids)
        found = named(asking(request), keys)
        if not len(found):
            raise missing(keys)
        ranges = self.accepted(request)
        if len(found) == 1:
            (row,) = found
            response = _of_instance(request, row, ranges, asked, frames)
        else:
            response = _of_several(request, list(_spread(found)), ranges, asked, len(found))
        return warned(response, request.GET, _PARAMETERS)


class Thumbnail(DicomWebView):
    """One small picture, whatever it is of."""

    service = Service.GET

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        frames = parse_numbers(uids.pop("frames")) if "frames" in uids else None
        form = form_of(self.accepted(request), STILL)
        if form is None or form.multipart:
            raise NotAcceptable(f"There is only {', '.join(STILL)}")
        asked = rendered.small(form.media_type, frames, request.GET.get("viewport", ""))
        found = rendered.represented(asking(request), unique_keys(uids))
        tag = tag_of("thumbnail", found.row.pk, found.row.revision, found.row.path, asked.key)
        response = conditional(request, tag, lambda: single(rendered.thumbnail(found, asked), form.media_type))
        return warned(response, request.GET, frozenset({"accept", "viewport"}))


def _of_instance(
    request: Request, row: Stored, ranges: Sequence[MediaRange], asked: Look, frames: list[int] | None
) -> HttpResponseBase:
    offers = rendered.offers(row)
    form = form_of(ranges, offers)
    if form is None:
        raise NotAcceptable(f"There is only {', '.join(offers)}")
    if form.media_type in rendered.DOCUMENTS.values():
        return document(request, row, form)
    if form.media_type == MP4:
        return video(request, row, form)
    if frames is None or len(frames) == 1 or form.media_type == rendered.GIF:
        one = Asked(form.media_type, asked, None if frames is None else tuple(frames))
        tag = tag_of("picture", row.pk, row.revision, row.path, one.key, weak=form.multipart)
        make = (lambda: _multipart([(row, one)])) if form.multipart else lambda: pictured(row, one)
        return conditional(request, tag, make)
    if len(frames) > MOST:
        raise CannotRender(f"One answer holds {MOST} pictures", 413)
    several = [(row, Asked(form.media_type, asked, (number,))) for number in frames]
    tag = tag_of("pictures", row.pk, row.revision, row.path, *(one.key for _, one in several), weak=True)
    return conditional(request, tag, lambda: _of_frames(several))


def _of_frames(several: Sequence[tuple[Stored, Asked]]) -> HttpResponseBase:
    """The last frame first: if that is there, all are."""
    for _ in rendered.picture(*max(several, key=lambda one: one[1].frames or ())):
        pass
    return _multipart(several)


def _of_several(
    request: Request, rows: list[Stored], ranges: Sequence[MediaRange], asked: Look, count: int
) -> HttpResponseBase:
    """Pictures, a part each, whichever form is asked for; documents come from their instance."""
    chosen = [
        (row, Asked(form.media_type, asked))
        for row in rows
        if (form := form_of(ranges, rendered.offers(row))) and form.media_type in rendered.PICTURES
    ]
    if not chosen:
        raise NotAcceptable(f"There is only {', '.join(rendered.PICTURES)} of images; documents from their instance")
    tag = tag_of("pictures", *((row.pk, row.revision, row.path, one.key) for row, one in chosen), weak=True)
    return conditional(request, tag, lambda: _multipart(chosen, partial=len(chosen) < count))


def _spread(found: Instances) -> Iterator[Stored]:
    """As many as one answer holds."""
    count = len(found)
    wanted = {number * count // MOST for number in range(MOST)} if count > MOST else None
    return (row for number, row in enumerate(found) if wanted is None or number in wanted)


def form_of(ranges: Sequence[MediaRange], offers: Sequence[str]) -> Form | None:
    for media in ranges:
        multipart = media.type == MULTIPART
        for offer in offers:
            if covers(media.part if multipart else media.type, offer):
                return Form(offer, multipart)
    return None


def pictured(row: Stored, asked: Asked) -> HttpResponseBase:
    return single(rendered.picture(row, asked), asked.media_type)


def single(made: Made, media_type: str) -> HttpResponseBase:
    response = StreamingHttpResponse(iter(made), content_type=media_type)
    response["Content-Length"] = str(len(made.content))
    return response


def _multipart(several: Sequence[tuple[Stored, Asked]], *, partial: bool = False) -> HttpResponseBase:
    """What cannot be shown is left out, and logged, unless that is all."""
    boundary = secrets.token_hex(16)
    parts = wado.begun(_parts(several))
    content_type = _multipart_type(several[0][1].media_type, boundary)
    status = 206 if partial else 200
    return StreamingHttpResponse(wado.multipart(parts, boundary), content_type=content_type, status=status)


def _multipart_type(media_type: str, boundary: str) -> str:
    return f'{MULTIPART}; type="{media_type}"; boundary={boundary}'


def _parts(several: Sequence[tuple[Stored, Asked]]) -> Iterator[tuple[str, Iterator[bytes]]]:
    failed: DicomError | None = None
    sent = False
    for row, asked in several:
        try:
            made = rendered.picture(row, asked)
        except (DicomError, OSError) as error:
            log.warning("There is no picture of %s: %s", row.sop_instance_uid, error)
            failed = error if isinstance(error, DicomError) else CannotRender("The file cannot be read", 410)
        else:
            sent = True
            yield asked.media_type, iter(made)
    if not sent:
        raise failed or CannotReencode("There is nothing to be shown")


def document(request: Request, row: Stored, form: Form) -> HttpResponseBase:
    """What the object encapsulates, as it went in."""

    def answer() -> HttpResponseBase:
        value = BulkValue(row, _ENCAPSULATED_DOCUMENT)
        if form.media_type in _TEXTS and value.size and b"".join(value.between(value.size - 1, value.size)) == b"\0":
            value.size -= 1
        if form.multipart:
            boundary = secrets.token_hex(16)
            whole = value.between(0, value.size)
            body = whole.framed(wado.part_head(form.media_type, boundary), wado.last_boundary(boundary))
            return StreamingHttpResponse(body, content_type=_multipart_type(form.media_type, boundary))
        response = ranged(request, value, content_type=form.media_type, tag=tag)
        if form.media_type != rendered.PDF:  # whose viewer is a plug-in, which a sandbox forbids
            response["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return response

    tag = tag_of("document", row.pk, row.revision, row.path, weak=form.multipart)
    return conditional(request, tag, answer)


def video(request: Request, row: Stored, form: Form) -> HttpResponseBase:
    """With Range, or no browser would let anybody wind it back."""
    if form.multipart:
        raise NotAcceptable(f"There is only {MP4}")
    tag = tag_of("video", row.pk, row.revision, row.path)
    return conditional(request, tag, lambda: ranged(request, Video(row), content_type=MP4, tag=tag))


def warned(response: HttpResponseBase, parameters: Mapping[str, str], known: frozenset[str]) -> HttpResponseBase:
    """PS3.18 8.3.4.5, WIRE 34: what is not supported is ignored, and named."""
    ignored = [quotable(name) for name in parameters if name not in known]
    if ignored:
        response["Warning"] = f'299 PACS "These parameters are not supported and were ignored: {" ".join(ignored)}"'
    return response
