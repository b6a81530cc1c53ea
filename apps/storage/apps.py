from importlib import import_module

from django.apps import AppConfig


class StorageConfig(AppConfig):
    name = "apps.storage"
    verbose_name = "Patients, studies, series, instances, files"

    def ready(self) -> None:
        import_module("apps.lookups")  # so that columns know them in every process
