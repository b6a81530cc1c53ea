"""Data sets without their bulk: in DICOM JSON, or in XML, each a part of its own (PS3.18 8.7.3.2)."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from django.http import StreamingHttpResponse

from apps.qr import wado
from dicom.dicomjson import Json
from dicom.dicomxml import to_xml
from dicom.media import JSON_OFFERS, MULTIPART, XML, MediaRange, NotAcceptable, covers

_OFFERED: Final = f'There is only {", ".join(JSON_OFFERS)}, and {MULTIPART}; type="{XML}"'


def document_type(ranges: Sequence[MediaRange]) -> str:
    """JSON under one of its names, or XML. Raises NotAcceptable."""
    for media in ranges:
        if media.type == XML or (media.type == MULTIPART and covers(media.part, XML)):
            return XML
        for offer in JSON_OFFERS:
            if media.type != MULTIPART and media.covers(offer):
                return offer
    raise NotAcceptable(_OFFERED)


def xml_parts(datasets: Iterable[Json]) -> StreamingHttpResponse:
    """What is wrong with the first of them is raised here."""
    boundary = secrets.token_hex(16)
    parts = wado.begun((XML, iter([to_xml(dataset)])) for dataset in datasets)
    content_type = f'{MULTIPART}; type="{XML}"; boundary={boundary}'
    return StreamingHttpResponse(wado.multipart(parts, boundary), content_type=content_type)
