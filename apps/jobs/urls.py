"""Pages of jobs, below `/jobs/`."""

from django.urls import path

from apps.jobs import views

urlpatterns = [
    path("", views.jobs, name="jobs"),
    path("<int:key>/", views.job, name="job"),
    path("<int:key>/<str:action>/", views.act, name="job-act"),
]
