"""WADO-URI (PS3.18 9): one instance by the query of `/wado`, as DICOM or as a picture."""

from collections.abc import Mapping, Sequence
from typing import Final

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.conditional import conditional, tag_of
from apps.accounts.users import asking
from apps.qr import look, rendered
from apps.qr.api.rendered import Form, document, form_of, pictured, video, warned
from apps.qr.api.retrieve import single
from apps.qr.rendered import Asked
from apps.qr.retrieve import Instances, missing, named
from apps.qr.video import MP4
from dicom.errors import InvalidValue
from dicom.media import DICOM, MediaRange, NotAcceptable, accepted
from dicom.sop_classes import Service
from dicom.values import is_uid

_UIDS: Final = {
    "studyUID": "StudyInstanceUID",
    "seriesUID": "SeriesInstanceUID",
    "objectUID": "SOPInstanceUID",
}
_OF_PICTURES: Final = ("frameNumber", "imageQuality", "rows", "columns", "region", "windowCenter", "windowWidth")
_KNOWN: Final = frozenset(
    {"requestType", *_UIDS, "contentType", "charset", "transferSyntax", "anonymize", *_OF_PICTURES}
)


class WadoUri(DicomWebView):
    service = Service.GET
    schema = None  # not in the description of DICOMweb

    def get(self, request: Request) -> HttpResponseBase:
        parameters = request.GET.dict()
        keys = _keys(parameters)
        found = named(asking(request), keys)
        if not len(found):
            raise missing(keys)
        (row,) = found
        ranges = _ranges(request, parameters)
        form = form_of(ranges, (*rendered.offers(row), DICOM))
        if form is None or form.multipart:
            raise NotAcceptable(f"contentType: there is only {', '.join((*rendered.offers(row), DICOM))}")
        return warned(_answer(request, found, form, parameters), parameters, _KNOWN)


def _answer(request: Request, found: Instances, form: Form, parameters: Mapping[str, str]) -> HttpResponseBase:
    (row,) = found
    if form.media_type == DICOM:
        return _dicom(request, found, parameters)
    if form.media_type in rendered.DOCUMENTS.values():
        return document(request, row, form)
    if form.media_type == MP4:
        return video(request, row, form)
    frames = (_frame(parameters["frameNumber"]),) if "frameNumber" in parameters else None
    asked = Asked(form.media_type, look.of_uri(parameters), frames)
    return conditional(
        request, tag_of("picture", row.pk, row.revision, row.path, asked.key), lambda: pictured(row, asked)
    )


def _keys(parameters: Mapping[str, str]) -> dict[str, str]:
    """By keyword. Raises InvalidValue for what no request of this kind may say."""
    if parameters.get("requestType", "").upper() != "WADO":
        raise InvalidValue("requestType: there is only WADO")
    for name in _UIDS:
        if not is_uid(parameters.get(name, "")):
            raise InvalidValue(f"{name}: {'this is no UID' if parameters.get(name) else 'a UID is missing'}")
    if parameters.get("anonymize", "").lower() not in ("", "no"):
        raise InvalidValue("anonymize: de-identified objects are not offered")
    return {keyword: parameters[name] for name, keyword in _UIDS.items()}


def _ranges(request: Request, parameters: Mapping[str, str]) -> Sequence[MediaRange]:
    """`contentType` replaces the header; a JPEG picture where nothing is asked for (PS3.18 9.3)."""
    return accepted([parameters.get("contentType") or request.META.get("HTTP_ACCEPT", "")])


def _frame(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise InvalidValue("frameNumber: from 1 on")
    return int(text)


def _dicom(request: Request, found: Instances, parameters: Mapping[str, str]) -> HttpResponseBase:
    """PS3.18 9.4: in Explicit VR Little Endian unless another transfer syntax is asked for."""
    asked = parameters.get("transferSyntax", "")
    if given := [name for name in _OF_PICTURES if name in parameters]:
        raise InvalidValue(f"{given[0]}: of pictures only, not of {DICOM}")
    if asked and not is_uid(asked):
        raise InvalidValue("transferSyntax: this is no UID")
    return single(request, found, MediaRange(DICOM, {"transfer-syntax": asked} if asked else {}), {})
