"""TABLE 2: DICOMweb resource -> view by method (PS3.18 10)."""

import re
from collections.abc import Callable, Mapping

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import DicomWebView, NoSuchResource
from apps.qr.api.bulk_data import AllBulkData, BulkData
from apps.qr.api.frames import Frames
from apps.qr.api.metadata import Metadata
from apps.qr.api.rendered import Rendered, Thumbnail
from apps.qr.api.retrieve import Retrieve
from apps.qr.api.search import Instances, Series, Studies
from apps.storage.api.delete import Delete
from apps.storage.api.store import Store
from pacs.capabilities import Capabilities

_PART = re.compile(r"<\w+:(\w+)>")
_STUDY = "studies/<str:study>"
_SERIES = f"{_STUDY}/series/<str:series>"
_INSTANCE = f"{_SERIES}/instances/<str:instance>"
_FRAMES = f"{_INSTANCE}/frames/<str:frames>"


class ByMethod:
    """A view that asks the view of the request's method; what has none is left to that of GET, which says so."""

    csrf_exempt = True  # the views of the REST framework ask for it where a session signs the request

    def __init__(self, address: str, views: Mapping[str, type[DicomWebView]]) -> None:
        self.methods = frozenset(views)
        self._views: dict[str, Callable[..., HttpResponseBase]] = {name: view.as_view() for name, view in views.items()}
        self._allow = ", ".join(sorted({name.upper() for name in views} | {"HEAD", "OPTIONS"}))
        self._views["options"] = Capabilities.as_view(address="/" + _PART.sub(r"{\1}", address))

    def __call__(self, request: HttpRequest, **uids: str) -> HttpResponseBase:
        response = self._views.get((request.method or "").lower(), self._views["get"])(request, **uids)
        response["Allow"] = self._allow  # of the address, not of the view that has answered
        return response


def resource(address: str, **views: type[DicomWebView]) -> URLPattern:
    """An address that rooms share: the method (`get`, `post`, `delete`) names the view."""
    return path(address, ByMethod(address, views))


class Root(Capabilities):
    """The address of the services: there is nothing to get, only to learn what they can do."""

    def get(self, request: Request, **_: str) -> Response:
        raise NotFound("There is no such resource")


urlpatterns = [
    # First, as it is asked for a thousand times in a study and addresses are looked through one by one.
    resource(_FRAMES, get=Frames),
    # PS3.18 10.6: Search; 10.5: Store
    resource("studies", get=Studies, post=Store),
    resource("series", get=Series),
    resource("instances", get=Instances),
    resource(f"{_STUDY}/series", get=Series),
    resource(f"{_STUDY}/instances", get=Instances),
    resource(f"{_SERIES}/instances", get=Instances),
    # PS3.18 10.4: Retrieve
    resource(_STUDY, get=Retrieve, post=Store, delete=Delete),
    *(resource(address, get=Retrieve, delete=Delete) for address in (_SERIES, _INSTANCE)),
    *(resource(f"{address}/metadata", get=Metadata) for address in (_STUDY, _SERIES, _INSTANCE)),
    resource(f"{_INSTANCE}/bulkdata/<path:way>", get=BulkData),
    *(resource(f"{address}/rendered", get=Rendered) for address in (_STUDY, _SERIES, _INSTANCE, _FRAMES)),
    *(resource(f"{address}/thumbnail", get=Thumbnail) for address in (_STUDY, _SERIES, _INSTANCE, _FRAMES)),
    *(resource(f"{address}/bulkdata", get=AllBulkData) for address in (_STUDY, _SERIES, _INSTANCE)),
    path("", Root.as_view()),
    path("<path:other>", NoSuchResource.as_view()),
]
