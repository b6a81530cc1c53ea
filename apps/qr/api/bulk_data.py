"""WADO-RS of bulk data (PS3.18 10.4.1.1.5)."""

import secrets

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.qr import wado
from apps.qr.api.retrieve import Retrieve
from apps.qr.bulk_data import BulkValue, parse_way
from dicom.media import MULTIPART, OCTETS, MediaRange, NotAcceptable, Unsatisfiable, byte_range, covers


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
