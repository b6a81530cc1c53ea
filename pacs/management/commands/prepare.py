"""The first step of every start: tables, default listener, first administrator."""

from typing import Any

from django.core.management.base import BaseCommand

from pacs import banner, first_start


class Command(BaseCommand):
    help = "Migrates the database and makes what an installation has from its first start; safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        listener, password = first_start.prepare()
        self.stdout.write("\n".join(banner.lines(listener, password)))
