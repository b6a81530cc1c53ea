"""What every DICOMweb resource has in common: who asks, whether he may, what he accepts, how he is told of an error."""

from typing import Any, ClassVar, NoReturn

from django.http import HttpRequest
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.http import ProblemRenderer, Untouched
from apps.accounts.users import asking
from dicom.errors import InvalidValue
from dicom.media import MediaRange, accepted
from dicom.sop_classes import Service
from dicom.values import is_uid


class DicomWebView(APIView):
    """`service`: the DIMSE service whose right is asked for."""

    permission_classes = [IsAuthenticated]
    content_negotiation_class = Untouched
    renderer_classes = [ProblemRenderer]  # of what fails before the negotiation, too
    metadata_class = None  # what there is by OPTIONS, `pacs.capabilities` says
    service: ClassVar[Service]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        for name in ("study", "series", "instance"):
            if name in kwargs and not is_uid(kwargs[name]):
                raise InvalidValue(f"The {name} of the URL is no UID")
        if not asking(request).may(self.service):
            raise PermissionDenied(f"Not allowed: {self.service}")

    @staticmethod
    def accepted(request: HttpRequest | Request) -> list[MediaRange]:
        """`?accept=` replaces the header (PS3.18 8.3.3.1)."""
        asked = request.GET.getlist("accept")
        return accepted(asked or [request.META.get("HTTP_ACCEPT", "")])


class NoSuchResource(APIView):
    """Every other address: 404 as the others say it."""

    content_negotiation_class = Untouched
    schema = None  # not in the description of the interface

    def get(self, request: Request, **_: str) -> Response:
        raise NotFound("There is no such resource")

    def http_method_not_allowed(  # type: ignore[override] # of Django, and of the REST framework
        self, request: Request, *_: Any, **__: Any
    ) -> NoReturn:
        raise NotFound("There is no such resource")

    def options(self, request: HttpRequest, *_: Any, **__: Any) -> Response:
        raise NotFound("There is no such resource")
