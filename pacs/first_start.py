"""What an installation has from its first start: tables, a listener, schedules, an administrator."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError

from apps.accounts.users import ensure_first_admin
from apps.network import config
from apps.network.current import CurrentRules
from apps.network.models import Listener
from pacs.environment import InvalidEnvironment, value
from pacs.kinds import ensure_schedules


def prepare() -> tuple[Listener, str | None]:
    """Migrate, and make what is missing: the default listener, and the password made for the first administrator.

    Raises CommandError when the database cannot be used.
    """
    try:
        return _prepare()
    except OperationalError as error:
        reason = " ".join(str(error).split())
        raise CommandError(f"The database cannot be used ({reason}); DATABASE_URL says which it is.") from error


def _prepare() -> tuple[Listener, str | None]:
    call_command("migrate", interactive=False, verbosity=0)
    listener = config.ensure_default_listener(*settings.DIMSE, settings.AE_TITLE, locked=settings.LISTENER_LOCKED)
    ensure_schedules()
    # Kept beside the spool before the listeners start, so that they open their ports at once.
    CurrentRules().refresh()
    try:
        return listener, ensure_first_admin(value("PACS_ADMIN_PASSWORD") or None)
    except ValidationError as error:
        raise InvalidEnvironment(f"PACS_ADMIN_PASSWORD is not good enough. {' '.join(error.messages)}") from error
