from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    verbose_name = "Users and roles"

    def ready(self) -> None:
        from apps.accounts import sign_ins  # noqa: PLC0415 - models are there only now

        sign_ins.connect()
