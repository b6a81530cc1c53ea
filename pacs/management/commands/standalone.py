"""All of it on one machine: first start, then the supervisor of the processes."""

import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from pacs import banner, first_start
from pacs.environment import join


def _claim(data: Path) -> None:
    """One server for a data directory: the lock goes on in the supervisor, and ends with it."""
    data.mkdir(parents=True, exist_ok=True)
    lock = os.open(data / "standalone.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CommandError(f"Another server runs on {data}; PACS_DATA names another directory.") from error
    os.set_inheritable(lock, True)


def _closed(address: tuple[str, int]) -> str:
    """Why this port cannot be opened, or an empty string."""
    try:
        socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def _check_web_port(address: tuple[str, int]) -> None:
    """Before anything starts: the web process would try for ever."""
    if why := _closed(address):
        raise CommandError(f"The web cannot open {join(address)} ({why}); PACS_HTTP names another port.")


class Command(BaseCommand):
    help = "Runs the whole archive: web, worker, DIMSE listeners and indexer; Ctrl-C stops it."

    def handle(self, *args: Any, **options: Any) -> None:
        _claim(settings.DATA)
        _check_web_port(settings.HTTP)
        listener, password = first_start.prepare()
        closed = _closed((listener.host, listener.port)) if listener.enabled else ""
        self.stdout.write("\n".join(banner.lines(listener, password, closed)))
        self.stdout.flush()
        connection.close()
        # They may have been relative to where we were started.
        os.environ.update(PACS_DATA=str(settings.DATA), PACS_SPOOL=str(settings.SPOOLS))
        if not settings.ARCHIVE_BUCKET:
            os.environ.update(PACS_ARCHIVE=str(settings.ARCHIVE))
        os.chdir(settings.BASE_DIR)
        # The supervisor takes our place: it needs no Django, and the memory of this process is given back.
        os.execv(sys.executable, [sys.executable, "-m", "pacs.supervisor"])
