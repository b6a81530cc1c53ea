"""Every address of this server."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.accounts import sign_ins
from apps.accounts.brake import SignInForm
from apps.console import exports, schedules, views
from apps.qr.api.wado_uri import WadoUri
from apps.viewer.views import viewer
from pacs import health

admin.autodiscover()
sign_ins.connect()

handler500 = "pacs.failures.server_error"
urlpatterns = [
    path("dicomweb/", include("pacs.dicomweb")),  # first: addresses are looked through one by one
    path("", RedirectView.as_view(pattern_name="studies"), name="home"),
    path("sign-in/", LoginView.as_view(form_class=SignInForm, template_name="console/sign_in.html"), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("search/", views.search, name="search"),
    path("studies/", views.studies, name="studies"),
    path("studies/<str:study>/", views.study, name="study"),
    path("send/", views.send, name="send"),
    path("export/", exports.export, name="export"),
    path("quick-look/keywords.json", views.keywords, name="keywords"),
    path("quick-look/<str:study>/", views.quick_look, name="quick-look"),
    path("quick-look/<str:study>/<str:series>/", views.quick_look, name="quick-look-series"),
    path("worklist/", include("apps.worklist.urls")),
    path("procedures/", include("apps.mpps.urls")),
    path("routing/", include("apps.routing.urls")),
    path("remote/", views.remote, name="remote"),
    path("remote/retrieve/", views.retrieve, name="remote-retrieve"),
    path("remote/jobs/<int:key>/", views.retrieving, name="remote-job"),
    path("jobs/<int:key>/file/", exports.exported, name="job-file"),
    path("jobs/schedules/", schedules.listed, name="schedules"),
    path("jobs/schedules/new/", schedules.new, name="schedule-new"),
    path("jobs/schedules/arguments/", schedules.arguments, name="schedule-arguments"),
    path("jobs/schedules/next/", schedules.upcoming, name="schedule-next"),
    path("jobs/schedules/<int:key>/", schedules.schedule, name="schedule"),
    path("jobs/schedules/<int:key>/switch/", schedules.switch, name="schedule-switch"),
    path("jobs/schedules/<int:key>/run/", schedules.run, name="schedule-run"),
    path("jobs/schedules/<int:key>/delete/", schedules.delete, name="schedule-delete"),
    path("jobs/", include("apps.jobs.urls")),
    path("favicon.ico", RedirectView.as_view(url="/static/console/icon.svg")),
    path("admin/", admin.site.urls),
    path("wado", WadoUri.as_view()),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(metadata_class=None)),
    path("api/", include("pacs.rest")),
    path("viewer/", viewer, name="viewer"),
    path("viewer/<path:name>", viewer, name="viewer-file"),
    path("health/live", health.live),
    path("health/ready", health.ready),
]
