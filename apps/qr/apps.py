from django.apps import AppConfig


class QueryRetrieveConfig(AppConfig):
    name = "apps.qr"
    verbose_name = "Query and retrieve"
