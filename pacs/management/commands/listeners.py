"""The process that owns the DIMSE sockets."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from pacs import checks
from pacs.listeners.parent import Parent


class Command(BaseCommand):
    help = "Runs the DIMSE listeners, as their rows say, until SIGTERM; `celery -A pacs worker --dimse` watches it."

    # Not those of the pages: a process that never answers HTTP does not load them.
    requires_system_checks = [checks.TAG]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--names", default="", help="Only these listeners, separated by commas.")
        parser.add_argument("--processes", type=int, default=settings.PROCESSES, help="Default: PACS_PROCESSES.")

    def handle(self, *args: Any, **options: Any) -> None:
        names = frozenset(name.strip() for name in options["names"].split(",") if name.strip())
        Parent(names=names, processes=options["processes"], drain_seconds=settings.DRAIN_SECONDS).run()
