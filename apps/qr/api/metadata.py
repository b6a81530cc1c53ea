"""WADO-RS of metadata (PS3.18 10.4.1.1.2)."""

from collections.abc import Mapping, Sequence

import orjson
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.conditional import conditional, tag_of
from apps.accounts.users import asking
from apps.qr import series_metadata
from apps.qr.api.addresses import bulk_data_address, unique_keys
from apps.qr.api.documents import document_type, xml_parts
from apps.qr.api.retrieve import Retrieve
from apps.qr.retrieve import missing
from apps.qr.series_metadata import Revision
from apps.qr.wado import Documents, begun
from dicom.media import XML, takes_gzip


class Metadata(Retrieve):
    """Of a series as it was kept (PS3.18 8.3.4 allows Content-Encoding); of a study what its series have, joined."""

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        media_type = document_type(self.accepted(request))
        if media_type == XML:
            return self._xml(request, uids)
        if "instance" in uids:
            return self._of_instance(request, uids, media_type)
        found = series_metadata.revisions(asking(request), **uids)
        if not found:
            raise missing(unique_keys(uids))
        gzip = takes_gzip(request.META.get("HTTP_ACCEPT_ENCODING", ""))
        tag = tag_of("metadata", media_type, gzip, *((series.pk, series.revision) for series in found))

        def answer() -> HttpResponseBase:
            response = _one(found[0], gzip) if len(found) == 1 else _joined(found, gzip)
            response["Content-Type"] = media_type
            if gzip:
                response["Content-Encoding"] = "gzip"
            return response

        return conditional(request, tag, answer, vary=("Accept", "Accept-Encoding"))

    def _xml(self, request: Request, uids: Mapping[str, str]) -> HttpResponseBase:
        """PS3.18 10.4.4: an instance each part."""
        found = self.found(request, uids)
        tag = tag_of("metadata", XML, *((row.pk, row.revision, row.path) for row in found), weak=True)
        documents = Documents(found, bulk_data_address)
        return conditional(request, tag, lambda: xml_parts(map(orjson.loads, documents.each())))

    def _of_instance(self, request: Request, uids: Mapping[str, str], media_type: str) -> HttpResponseBase:
        (row,) = self.found(request, uids)
        tag = tag_of("metadata", media_type, row.pk, row.revision, row.path)

        def answer() -> HttpResponseBase:
            return HttpResponse(b"".join(Documents([row], bulk_data_address)), content_type=media_type)

        return conditional(request, tag, answer)


def _one(series: Revision, gzip: bool) -> HttpResponseBase:
    if not gzip:
        return StreamingHttpResponse(series_metadata.plain(series, bulk_data_address))
    file = series_metadata.kept(series)
    if file is None:
        return StreamingHttpResponse(series_metadata.made(series, bulk_data_address, gzip=True))
    response = FileResponse(file)
    del response["Content-Disposition"]  # its name is nobody's business
    return response


def _joined(several: Sequence[Revision], gzip: bool) -> HttpResponseBase:
    pieces = begun(series_metadata.joined(several, bulk_data_address))
    return StreamingHttpResponse(series_metadata.squeezed(pieces) if gzip else pieces)
