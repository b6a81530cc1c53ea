"""What must be right before anything starts, said with a hint (Django's system checks)."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ValidationError

from apps.network.validators import validate_ae_title

TAG = "pacs"
BROKERS = ("memory", "redis", "rediss", "amqp", "amqps", "sentinel")


def register() -> None:
    checks.register(check_directories, TAG)
    checks.register(check_names, TAG)
    checks.register(check_keys, TAG)
    checks.register(check_broker, TAG)


def _unwritable(path: Path) -> str:
    """Why nothing can be written below, or an empty string. Makes the directory when it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return str(error.strerror or error)
    return "" if os.access(path, os.W_OK | os.X_OK) else "Permission denied"


def check_directories(app_configs: Sequence[Any] | None, **options: Any) -> Iterator[CheckMessage]:
    archive = [] if settings.ARCHIVE_BUCKET else [("pacs.E001", settings.ARCHIVE)]
    for number, path in (*archive, ("pacs.E002", settings.SPOOL)):
        why = _unwritable(path)
        if why:
            hint = "PACS_DATA names a directory that belongs to the user who runs this, with room for the images."
            yield Error(f"{path} cannot be written: {why}", hint=hint, id=number)


def check_names(app_configs: Sequence[Any] | None, **options: Any) -> Iterator[CheckMessage]:
    try:
        validate_ae_title(settings.AE_TITLE)
    except ValidationError as error:
        yield Error(f"PACS_AE_TITLE is {settings.AE_TITLE!r}.", hint=error.messages[0], id="pacs.E003")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,24}", settings.NODE):
        hint = "1 to 24 letters, digits, dots, hyphens and underscores: it becomes part of file names."
        yield Error(f"PACS_NODE is {settings.NODE!r}.", hint=hint, id="pacs.E004")


def check_keys(app_configs: Sequence[Any] | None, **options: Any) -> Iterator[CheckMessage]:
    if len(settings.SECRET_KEY) < 32:
        hint = "At least 32 random characters; leave PACS_SECRET_KEY unset and one is made and kept in PACS_DATA."
        yield Error("PACS_SECRET_KEY is too short.", hint=hint, id="pacs.E005")
    kept = settings.DATA / "secret_key"
    if kept.exists() and kept.stat().st_mode & 0o077:
        yield Warning(f"Others can read {kept}.", hint=f"chmod 600 {kept}", id="pacs.W001")


def check_broker(app_configs: Sequence[Any] | None, **options: Any) -> Iterator[CheckMessage]:
    scheme = urlsplit(settings.CELERY_BROKER_URL).scheme
    if scheme not in BROKERS:
        hint = f"Such as redis://host:6379/0; one of {', '.join(BROKERS)}. Unset is right for standalone."
        yield Error(f"CELERY_BROKER_URL has the scheme {scheme!r}.", hint=hint, id="pacs.E006")
