"""TABLE 2: DICOMweb resource -> view (PS3.18 10)."""

from django.urls import path

from apps.accounts.api import NoSuchResource
from apps.qr import api as qr

_STUDY = "studies/<str:study>"
_SERIES = f"{_STUDY}/series/<str:series>"
_INSTANCE = f"{_SERIES}/instances/<str:instance>"

urlpatterns = [
    # PS3.18 10.6: Search
    path("studies", qr.Studies.as_view()),
    path("series", qr.Series.as_view()),
    path("instances", qr.Instances.as_view()),
    path(f"{_STUDY}/series", qr.Series.as_view()),
    path(f"{_STUDY}/instances", qr.Instances.as_view()),
    path(f"{_SERIES}/instances", qr.Instances.as_view()),
    # PS3.18 10.4: Retrieve
    *(path(resource, qr.Retrieve.as_view()) for resource in (_STUDY, _SERIES, _INSTANCE)),
    *(path(f"{resource}/metadata", qr.Metadata.as_view()) for resource in (_STUDY, _SERIES, _INSTANCE)),
    path(f"{_INSTANCE}/bulkdata/<path:way>", qr.BulkData.as_view()),
    path("", NoSuchResource.as_view()),
    path("<path:other>", NoSuchResource.as_view()),
]
