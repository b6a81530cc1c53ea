"""Pages of the worklist, below `/worklist/`."""

from django.urls import path

from apps.worklist import days, editing, links, steps, views

urlpatterns = [
    path("", views.steps, name="worklist"),
    path("steps.csv", views.steps_csv, name="worklist-csv"),
    path("day/", days.day, name="worklist-day"),
    path("studies/", links.links, name="worklist-links"),
    path("studies/waiting/", links.waiting, name="worklist-waiting"),
    path("studies/<int:key>/", links.link, name="worklist-link"),
    path("new/", editing.new, name="worklist-new"),
    path("check/", editing.check, name="worklist-check"),
    path("patients/", editing.patients, name="worklist-patients"),
    path("<int:key>/", steps.step, name="step"),
    path("<int:key>/edit/", editing.edit, name="step-edit"),
    path("<int:key>/status/<str:to>/", steps.status, name="step-status"),
]
