"""Whether what runs here works: for health checks of containers that answer no HTTP."""

import urllib.request
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pacs import health
from pacs.environment import join

PATIENCE = 10.0  # seconds


class Command(BaseCommand):
    help = "Says what of PACS_READY_ROLES does not work, if anything; exit status 1 then. `web` is asked over HTTP."

    # What starts the processes has looked.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        failing = [f"{name}: {why}" for name, why in health.failing()]
        if health.WEB in settings.READY_ROLES and (why := _web()):
            failing.append(f"web: {why}")
        if failing:
            raise CommandError("; ".join(failing))
        self.stdout.write("ready")


def _web() -> str:
    """Why the web process of this machine does not answer, or an empty string."""
    host, port = settings.HTTP
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        with urllib.request.urlopen(f"http://{join((here, port))}/health/live", timeout=PATIENCE):
            return ""
    except OSError as error:
        return str(error)
