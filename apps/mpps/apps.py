from django.apps import AppConfig


class MppsConfig(AppConfig):
    name = "apps.mpps"
    verbose_name = "performed procedure steps"
