"""Decisions one after the other, and none while files are indexed: their records then have the order of their commits.

In a transaction, before anything else is locked in it; until it ends. SQLite has one writer at a time anyway.
"""

import logging
import time
from collections.abc import Iterable
from typing import Final

from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper

from apps.storage.models import ArchiveRecord
from apps.storage.spool import received_ns, spool

log = logging.getLogger(__name__)

NOT_AVAILABLE: Final = "55P03"  # of PostgreSQL: others were at it for too long
_KEY: Final = 0x50414353  # of PostgreSQL's advisory locks
_LONGEST: Final = "1s"  # who indexes comes after who waits to be alone: he tries again later, and lets them go on
_AHEAD: Final = 60_000_000_000  # ns


def take_part(cursor: CursorWrapper) -> None:
    """With others who index, without anybody who decides."""
    if connection.vendor == "postgresql":
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_KEY])


def be_alone() -> None:
    """Raises OperationalError, NOT_AVAILABLE, as anything after it does that waits too long for a row."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LONGEST}'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_KEY])


def sqlstate(error: OperationalError) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)


def name_of_record(files: Iterable[str]) -> str:
    """Later than those of all decisions before, and than the files it is about: the clock of another node may be
    ahead."""
    last = ArchiveRecord.objects.order_by("-name").values_list("name", flat=True)[:1]
    after = max(map(received_ns, [*files, *last]), default=0)
    if after > time.time_ns() + _AHEAD:
        log.error("a decision is dated ahead of the clock here, after what came before: the clock of a node is wrong")
    return spool().new_name(after=after)
