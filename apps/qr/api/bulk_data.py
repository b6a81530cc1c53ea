"""WADO-RS of bulk data (PS3.18 10.4.1.1.5)."""

import secrets

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.conditional import conditional, ranged, tag_of
from apps.qr import wado
from apps.qr.api.retrieve import Retrieve
from apps.qr.bulk_data import BulkValue, parse_way
from dicom.media import MULTIPART, OCTETS, MediaRange, NotAcceptable, covers


class BulkData(Retrieve):
    """PS3.18 10.4.1.1.5, one value; with Range, of which the standard says nothing."""

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        way = parse_way(uids.pop("way"))
        single = _is_single(self.accepted(request))
        (row,) = self.found(request, uids)
        tag = tag_of("bulk data", row.pk, row.revision, row.path, *way, weak=not single)

        def answer() -> HttpResponseBase:
            value = BulkValue(row, way)
            return ranged(request, value, content_type=OCTETS, tag=tag) if single else _multipart(value)

        return conditional(request, tag, answer)


def _multipart(value: BulkValue) -> HttpResponseBase:
    boundary = secrets.token_hex(16)
    body = value.framed(wado.part_head(OCTETS, boundary), wado.last_boundary(boundary))
    return StreamingHttpResponse(body, content_type=f'{MULTIPART}; type="{OCTETS}"; boundary={boundary}')


def _is_single(ranges: list[MediaRange]) -> bool:
    """Whether the value comes alone, not as the one part of a multipart. Raises NotAcceptable."""
    for media in ranges:
        if media.type == MULTIPART and covers(media.part, OCTETS):
            return False
        if media.covers(OCTETS):
            return True
    raise NotAcceptable(f'There is only {OCTETS}, and {MULTIPART}; type="{OCTETS}"')
