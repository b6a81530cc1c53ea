"""Every address of this server."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from pacs import health

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("health/live", health.live),
    path("health/ready", health.ready),
]
