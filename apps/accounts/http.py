"""What is the same in every answer of our interfaces: how an error is told, and that views choose media types."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from dicom.errors import DicomError, InvalidValue

_RETRY_AFTER: Final = 10


class Unread(BaseParser):
    """The view reads the body itself. Nobody else may, not even who looks for a token of a form in it."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        return {}


class Untouched(BaseContentNegotiation):
    """DICOMweb's media types have parameters that mean something: its views choose themselves."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return Unread()

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return ProblemRenderer(), ProblemRenderer.media_type


class ProblemRenderer(JSONRenderer):
    """Errors only: what goes well is no DRF response."""

    media_type = "application/problem+json"


class Unavailable(DicomError):
    http_status = 503


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """An error as RFC 9457 has it; None for a bug, which flies."""
    if isinstance(error, OperationalError | InterfaceError):
        error = Unavailable("The database is away")
    if isinstance(error, TooManyFieldsSent):
        error = InvalidValue(f"More than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} parameters")
    if isinstance(error, DicomError):
        document = described(error)
        status = document["status"]
        headers = {"Retry-After": str(_RETRY_AFTER)} if status == 503 else None
        return Response(document, status=status, headers=headers)
    response = exception_handler(error, context)
    if response is not None:
        detail = response.data.get("detail") if isinstance(response.data, dict) else None
        response.data = {"title": str(detail or error), "status": response.status_code}
    return response


def described(error: DicomError) -> dict[str, Any]:
    """`errors`, where it has them: what is wrong, by the name of what was given."""
    errors: Mapping[str, str] | None = getattr(error, "errors", None)
    document = {"title": str(error), "status": getattr(error, "http_status", 400)}
    return document | ({"errors": errors} if errors else {})
