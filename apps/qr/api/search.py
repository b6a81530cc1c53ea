"""QIDO-RS (PS3.18 10.6)."""

from typing import ClassVar, Final

import orjson
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.users import asking
from apps.qr.api.addresses import address, unique_keys
from apps.qr.api.documents import document_type, xml_parts
from apps.qr.attributes import Level
from apps.qr.search import Found, Search, answer, from_qido_params
from dicom.dicomjson import Json
from dicom.media import XML
from dicom.sop_classes import Service

# PS3.18 8.3.4.2, 8.3.4.5, 8.3.4.6
_NOT_PERFORMED: Final = {
    name: f"The {name} parameter is not supported. {consequence}"
    for name, consequence in (
        ("fuzzymatching", "Only literal matching has been performed."),
        ("emptyvaluematching", "Empty Value Matching has not been performed."),
        ("multiplevaluematching", "Multiple Value Matching has not been performed."),
    )
}


class SearchView(DicomWebView):
    """One for each level; the URL may name the study and the series to look in."""

    level: ClassVar[Level]
    service = Service.FIND

    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        media_type = document_type(self.accepted(request))
        within = unique_keys(uids)
        params = {name: request.GET.getlist(name) for name in request.GET}
        search = from_qido_params(params, level=self.level, within=within)
        found = answer(search, asking(request), retrieve_url=address)
        response = _written(found.answers, media_type)
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


def _written(answers: list[Json], media_type: str) -> HttpResponseBase:
    if media_type != XML:
        return HttpResponse(orjson.dumps(answers), content_type=media_type)
    return xml_parts(answers) if answers else HttpResponse(status=204)  # there is no multipart without parts


def _warnings(search: Search, found: Found) -> list[str]:
    """PS3.18 8.3.4.5: numbers and the words that go with them."""
    warnings = []
    if found.more:
        warnings.append('299 PACS "There are additional results that can be requested"')
    warnings += [f'299 PACS "{text}"' for name, text in _NOT_PERFORMED.items() if name in search.ignored]
    others = [quotable(name) for name in search.ignored if name not in _NOT_PERFORMED]
    if others:
        warnings.append(f'299 PACS "These parameters are not supported and were ignored: {" ".join(others)}"')
    return warnings


def quotable(name: str) -> str:
    """A parameter's name in a header: nothing that ends the text or the line."""
    return "".join(c if c.isalnum() or c in "._=-" else "?" for c in name[:64].encode("ascii", "replace").decode())
