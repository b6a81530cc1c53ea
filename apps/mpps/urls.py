"""Pages of performed steps, below `/procedures/`."""

from django.urls import path

from apps.mpps import views

urlpatterns = [
    path("", views.board, name="procedures"),
    path("<int:key>/", views.procedure, name="procedure"),
    path("<int:key>/end/<str:to>/", views.close, name="procedure-close"),
]
