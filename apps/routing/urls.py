"""Pages of routing rules, below `/routing/`."""

from django.urls import path

from apps.routing import views

urlpatterns = [
    path("", views.listed, name="routing"),
    path("new/", views.new, name="routing-new"),
    path("dry-run/", views.tried, name="routing-try"),
    path("<int:key>/", views.rule, name="routing-rule"),
    path("<int:key>/dry-run/", views.tried, name="routing-rule-try"),
    path("<int:key>/switch/", views.switch, name="routing-switch"),
    path("<int:key>/move/<int:to>/", views.move, name="routing-move"),
    path("<int:key>/apply/", views.apply, name="routing-apply"),
    path("<int:key>/delete/", views.delete, name="routing-delete"),
]
