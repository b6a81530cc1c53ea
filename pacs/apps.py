from django.apps import AppConfig

from pacs import checks


class PacsConfig(AppConfig):
    name = "pacs"
    verbose_name = "PACS"

    def ready(self) -> None:
        checks.register()
