"""What the DICOMweb services can do (PS3.18 8.9 and annex H): of the whole, of a resource and of those below it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from xml.sax.saxutils import quoteattr

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.permissions import IsAuthenticated
from rest_framework.views import APIView

from apps.accounts.api import DicomWebView
from apps.accounts.http import Untouched
from dicom.media import choose
from pacs.description import Operation, operations

WADL: Final = "application/vnd.sun.wadl+xml"
_OFFERS: Final = (WADL, "application/json")
_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"

Resources = Mapping[str, Mapping[str, Operation]]


class Capabilities(APIView):
    """`address` as `pacs.description` writes it; empty: all of them."""

    permission_classes = [IsAuthenticated]
    content_negotiation_class = Untouched
    schema = None  # not in the description of the interface
    address = ""

    def options(  # type: ignore[override] # no answer of the REST framework's
        self, request: HttpRequest, *_: Any, **__: Any
    ) -> HttpResponse:
        media_type = choose(DicomWebView.accepted(request), _OFFERS)
        found = resources(self.address)
        base = request.build_absolute_uri(f"{settings.DICOMWEB}/")
        content = wadl(base, found) if media_type == WADL else orjson.dumps(plain(base, found))
        return HttpResponse(content, content_type=media_type)

    @property
    def allowed_methods(self) -> list[str]:
        """For the header Allow: those of the resource, not of this view."""
        methods = resources(self.address).get(self.address, {})
        return sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])})


def resources(below: str = "") -> Resources:
    """By address, operations by method."""
    found: dict[str, dict[str, Operation]] = {}
    for address, method, operation in operations():
        if address == below or address.startswith(f"{below}/"):
            found.setdefault(address, {})[method.upper()] = operation
    return found


def plain(base: str, found: Resources) -> dict[str, Any]:
    """The same tree as JSON."""
    return {
        "application": {
            "resources": {
                "base": base,
                "resource": [
                    {
                        "path": address.removeprefix("/"),
                        "method": [_method(method, operation) for method, operation in methods.items()],
                    }
                    for address, methods in found.items()
                ],
            }
        }
    }


def _method(name: str, operation: Operation) -> dict[str, Any]:
    return {
        "name": name,
        "doc": operation.summary,
        "param": [parameter["name"] for parameter in operation.parameters],
        "request": list(operation.takes or ()),
        "response": list(operation.gives),
    }


def wadl(base: str, found: Resources) -> str:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<application xmlns={quoteattr(_NAMESPACE)}>",
        f"<resources base={quoteattr(base)}>",
    ]
    for address, methods in found.items():
        lines.append(f"<resource path={quoteattr(address.removeprefix('/'))}>")
        parts = [part[1:-1] for part in address.split("/") if part.startswith("{")]
        lines += [f'<param name="{part}" style="template" type="xs:string" required="true"/>' for part in parts]
        for method, operation in methods.items():
            lines += _wadl_method(method, operation)
        lines.append("</resource>")
    return "\n".join((*lines, "</resources>", "</application>", ""))


def _wadl_method(name: str, operation: Operation) -> Iterable[str]:
    yield f"<method name={quoteattr(name)}><doc title={quoteattr(operation.summary)}/>"
    yield "<request>"
    for parameter in operation.parameters:
        yield f'<param name={quoteattr(parameter["name"])} style="query"/>'
    if operation.gives:
        yield f'<param name="Accept" style="header" default={quoteattr(next(iter(operation.gives)))}>'
        yield from (f"<option value={quoteattr(media_type)}/>" for media_type in operation.gives)
        yield "</param>"
    yield from (f"<representation mediaType={quoteattr(media_type)}/>" for media_type in operation.takes or ())
    yield "</request>"
    for status in operation.success or {200: ""}:
        yield f'<response status="{status}">'
        yield from (f"<representation mediaType={quoteattr(media_type)}/>" for media_type in operation.gives)
        yield "</response>"
    yield "</method>"
