"""What a person reads when the archive starts."""

from collections.abc import Iterator

from django.conf import settings
from django.db import connection

from apps.network.models import Listener
from pacs.environment import join, value


def lines(listener: Listener, password: str | None, closed: str = "") -> Iterator[str]:
    """`password`: of the administrator made now. `closed`: why the listener's port cannot be opened."""
    http = f"http://{join(settings.HTTP)}"
    yield ""
    yield f"  PACS {settings.VERSION}"
    yield ""
    yield f"  Web        {http}/"
    yield f"  DICOM      {listener.ae_title}@{join((listener.host, listener.port))}"
    if closed:
        yield f"             cannot be opened now: {closed}. It is tried again and again."
        yield "             PACS_DIMSE, or the listener's page, names another port."
    yield f"  Data       {settings.DATA}"
    yield f"  Database   {'PostgreSQL' if connection.vendor == 'postgresql' else 'SQLite'}"
    yield ""
    if password:
        yield f"  First start: sign in at {http}/ as"
        yield ""
        yield "      user       admin"
        yield f"      password   {password}"
        yield ""
        yield "  This password is shown once and stored nowhere."
        yield ""
    elif value("PACS_ADMIN_PASSWORD"):
        yield f"  Sign in at {http}/ as admin; its first password is the one in PACS_ADMIN_PASSWORD."
        yield ""
