"""Decisions one after the other, and none while files are indexed: their records then have the order of their commits.

In a transaction, before anything else is locked in it; until it ends. SQLite has one writer at a time anyway.
"""

from collections.abc import Iterable
from typing import Final

from django.db import connection
from django.db.backends.utils import CursorWrapper

from apps.storage.models import ArchiveRecord
from apps.storage.spool import received_ns, spool

_KEY: Final = 0x50414353  # of PostgreSQL's advisory locks


def take_part(cursor: CursorWrapper) -> None:
    """With others who index, without anybody who decides."""
    if connection.vendor == "postgresql":
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_KEY])


def be_alone() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_KEY])


def name_of_record(files: Iterable[str]) -> str:
    """Later than those of all decisions before, and than the files it is about: the clock of another node may be
    ahead."""
    last = ArchiveRecord.objects.order_by("-name").values_list("name", flat=True)[:1]
    return spool().new_name(after=max(map(received_ns, [*files, *last]), default=0))
