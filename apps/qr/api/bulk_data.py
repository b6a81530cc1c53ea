"""WADO-RS of bulk data (PS3.18 10.4.1.1.5): one value, or all of an instance, a series, a study."""

import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import orjson
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.conditional import conditional, ranged, tag_of
from apps.qr import wado
from apps.qr.api.addresses import bulk_data_address
from apps.qr.api.retrieve import Retrieve
from apps.qr.bulk_data import BulkValue, NoSuchValue, addresses, parse_way
from apps.qr.rendered import DOCUMENTS, PDF
from apps.qr.retrieve import Stored
from dicom.errors import DicomError
from dicom.media import MULTIPART, OCTETS, MediaRange, NotAcceptable, covers
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN

log = logging.getLogger(__name__)

_ENCAPSULATED_DOCUMENT: Final = [0x00420011]
_AS_STORED: Final = wado.AS_STORED


@dataclass(frozen=True, slots=True)
class _Form:
    media_type: str
    multipart: bool
    as_stored: bool

    def of(self, value: BulkValue) -> str:
        """The Content-Type of a value."""
        syntax = value.transfer_syntax_uid
        return f"{self.media_type}; transfer-syntax={syntax}" if syntax else self.media_type


class BulkData(Retrieve):
    """One value; with Range, of which the standard says nothing. A document comes as what it is."""

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        way = parse_way(uids.pop("way"))
        ranges = self.accepted(request)
        (row,) = self.found(request, uids)
        form = _form(ranges, _offers(row, way), row.transfer_syntax_uid)
        tag = tag_of("bulk data", form, row.pk, row.revision, row.path, *way, weak=form.multipart)

        def answer() -> HttpResponseBase:
            value = BulkValue(row, way, as_stored=form.as_stored)
            location = request.path
            response = _multipart(value, form, location) if form.multipart else _single(request, value, form, tag)
            if form.media_type not in (OCTETS, PDF):  # text that a browser would run as a page of ours
                response["Content-Security-Policy"] = "sandbox; default-src 'none'"
            return response

        return conditional(request, tag, answer)


class AllBulkData(Retrieve):
    """Each value a part, with its Bulk Data URI as Content-Location; what cannot be decoded is left out, and logged."""

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        ranges = self.accepted(request)
        multiparts = [media for media in ranges if media.type in (MULTIPART, "*/*")]
        found = self.found(request, uids)
        form = _form(multiparts, (OCTETS,))
        tag = tag_of("all bulk data", form, *((row.pk, row.revision, row.path) for row in found), weak=True)

        def answer() -> HttpResponseBase:
            boundary = secrets.token_hex(16)
            content = wado.begun(_all(found, form, boundary))
            return StreamingHttpResponse(content, content_type=_multipart_type(boundary))

        return conditional(request, tag, answer)


def _offers(row: Stored, way: list[int]) -> tuple[str, ...]:
    document = DOCUMENTS.get(row.sop_class_uid) if way == _ENCAPSULATED_DOCUMENT else None
    return (document, OCTETS) if document else (OCTETS,)


def _form(ranges: Sequence[MediaRange], offers: tuple[str, ...], stored: str = "") -> _Form:
    """Raises NotAcceptable."""
    for media in ranges:
        multipart, syntax = media.type == MULTIPART, media.transfer_syntax
        if syntax not in ("", _AS_STORED, EXPLICIT_VR_LITTLE_ENDIAN, stored):
            continue
        for offer in offers:
            if covers(media.part if multipart else media.type, offer):
                return _Form(offer, multipart, syntax in (_AS_STORED, stored) if syntax else False)
    raise NotAcceptable(f'There is only {", ".join(offers)}, and {MULTIPART}; type="{OCTETS}"')


def _multipart_type(boundary: str, media_type: str = OCTETS) -> str:
    return f'{MULTIPART}; type="{media_type}"; boundary={boundary}'


def _single(request: Request, value: BulkValue, form: _Form, tag: str) -> HttpResponseBase:
    return ranged(request, value, content_type=form.of(value), tag=tag)


def _multipart(value: BulkValue, form: _Form, location: str) -> HttpResponseBase:
    boundary = secrets.token_hex(16)
    head = wado.part_head(form.of(value), boundary, location)
    body = value.framed(head, wado.last_boundary(boundary))
    return StreamingHttpResponse(body, content_type=_multipart_type(boundary, form.media_type))


def _all(found: Iterable[Stored], form: _Form, boundary: str) -> Iterator[bytes]:
    """Raises NoSuchValue, or why there is none, before the first piece."""
    failed: Exception = NoSuchValue("There are no values but those in the metadata")
    sent = False
    for row in found:
        try:
            (document,) = wado.Documents([row], bulk_data_address).each()
        except DicomError as error:
            failed = error
            continue
        for address in addresses(orjson.loads(document)):
            way = parse_way(address.rpartition("/bulkdata/")[2])
            try:
                value = BulkValue(row, way, as_stored=form.as_stored)
            except (DicomError, OSError) as error:
                log.error("%s cannot be sent: %s", address, error)
                failed = error
                continue
            with closing(value):
                yield wado.part_head(form.of(value), boundary, address)
                yield from value
                sent = True
    if not sent:
        raise failed
    yield wado.last_boundary(boundary)
