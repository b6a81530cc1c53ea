"""Every address of this server."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.accounts import sign_ins
from apps.qr.api.wado_uri import WadoUri
from apps.viewer.views import viewer
from pacs import health

admin.autodiscover()
sign_ins.connect()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("dicomweb/", include("pacs.dicomweb")),
    path("wado", WadoUri.as_view()),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view()),
    path("viewer/", viewer, name="viewer"),
    path("viewer/<path:name>", viewer, name="viewer-file"),
    path("health/live", health.live),
    path("health/ready", health.ready),
]
