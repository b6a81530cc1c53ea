"""The doorbell: tells the workers to look. Nothing depends on it."""

import logging
import threading
import time

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string
from kombu.exceptions import KombuError, OperationalError

logger = logging.getLogger(__name__)

LOOK = "jobs.look"
APP = "pacs.celery.app"  # by name, and only when it is needed: most processes ring seldom or never
SULK = 10.0  # seconds without ringing after the broker did not answer: nobody waits for it twice
EXPIRES = 60.0  # seconds after which a bell is not worth answering

_lock = threading.Lock()
_silent_until = 0.0


def ring() -> None:
    """After commit, and at once where there is no transaction."""
    transaction.on_commit(_send, robust=True)


def _send() -> None:
    global _silent_until
    # An embedded broker has no ears in other processes; those of this one look each second.
    if settings.CELERY_BROKER_URL.startswith("memory:") or time.monotonic() < _silent_until:
        return
    try:
        import_string(getattr(settings, "CELERY_APP", APP)).send_task(
            LOOK, expires=EXPIRES, retry=False, ignore_result=True
        )
    except (OperationalError, KombuError, OSError) as error:
        logger.warning("The broker does not answer (%s): the job waits for the next sweep", error)
        with _lock:
            _silent_until = time.monotonic() + SULK
