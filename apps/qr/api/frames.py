"""WADO-RS of frames (PS3.18 10.4.1.1.6)."""

import secrets
from collections.abc import Sequence
from contextlib import closing

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.conditional import conditional, tag_of
from apps.accounts.users import asking
from apps.qr import wado
from apps.qr.api.addresses import instance_address, unique_keys
from apps.qr.frames import Form, OpenFrames, choose_form, parse_numbers
from apps.qr.retrieve import Stored, instance
from dicom.media import MULTIPART
from dicom.sop_classes import Service

_AT_ONCE = 1 << 16  # bytes of an answer that is read before it is sent


class Frames(DicomWebView):
    service = Service.GET

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        numbers = parse_numbers(uids.pop("frames"))
        row = instance(asking(request), unique_keys(uids))
        form = choose_form(self.accepted(request), row.transfer_syntax_uid, len(numbers))
        tag = tag_of("frames", row.pk, row.revision, row.path, form, *numbers, weak=form.multipart)
        return conditional(request, tag, lambda: _answer(row, numbers, form))


def _answer(row: Stored, numbers: Sequence[int], form: Form) -> HttpResponseBase:
    boundary = secrets.token_hex(16)
    content_type, heads, end = form.content_type, [b""], b""
    if form.multipart:
        content_type = f'{MULTIPART}; type="{form.media_type}"; boundary={boundary}'
        address = instance_address(row)
        heads = [wado.part_head(form.content_type, boundary, f"{address}/frames/{number}") for number in numbers]
        end = wado.last_boundary(boundary)
    frames = OpenFrames(row, numbers, decode=form.decode)
    size = sum(map(len, heads)) + sum(frames.sizes) + len(end)
    try:
        frames.begin(heads, end)
    except BaseException:
        frames.close()
        raise
    if size > _AT_ONCE:
        response = StreamingHttpResponse(frames, content_type=content_type)
        response["Content-Length"] = str(size)
        return response
    with closing(frames):
        return HttpResponse(b"".join(frames), content_type=content_type)
