"""Where files are in the archive: under the minute of their reception, by the name they were received under.

The place follows from the name alone, so that every step can be repeated after a crash.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from apps.failpoints import failpoint
from apps.storage.spool import Spool, moment, received_ns

_PLACE = re.compile(r"\d{4}/\d{2}/\d{2}/\d{4}/[A-Za-z0-9_.-]{1,64}", re.ASCII)
_MINUTE_NS = 60_000_000_000


def place_of(name: str) -> str:
    """Relative to the archive's root."""
    return f"{_minute(received_ns(name) // _MINUTE_NS)}/{name}"


@lru_cache
def _minute(number: int) -> str:
    return f"{moment(number * _MINUTE_NS):%Y/%m/%d/%H%M}"


def is_place(text: str) -> bool:
    return _PLACE.fullmatch(text) is not None and ".." not in text


def name_in(place: str) -> str:
    """The name of the file. The only way from a column to anything outside, like `path_of`. Raises ValueError."""
    if not is_place(place):
        raise ValueError("not a place in the archive")
    return place.rpartition("/")[2]


def path_of(place: str) -> Path:
    """In the archive of a file system."""
    if not is_place(place):
        raise ValueError("not a place in the archive")
    path: Path = settings.ARCHIVE / place
    return path


def retire(spool: Spool, names: Iterable[str]) -> None:
    """They are in the index: the spool need not hold them any longer."""
    for name in names:
        failpoint("index.retire")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spool.waiting_at(name))
