"""Decisions about files, durable beside the files: what a rebuilt index cannot read from the images themselves.

A record is on disk before its transaction commits; one found without its row in `ArchiveRecord` is applied again.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from apps.storage.models import ArchiveRecord
from apps.storage.spool import is_name, moment, received_ns
from apps.storage.store import store

log = logging.getLogger(__name__)


class Act(StrEnum):
    DELETE = "delete"
    RESTORE = "restore"
    ACCEPT = "accept"
    DISCARD = "discard"
    PURGE = "purge"
    DISMISS = "dismiss"


@dataclass(frozen=True, slots=True)
class Record:
    """`name` is made like a file's: it begins with the time of the decision."""

    name: str
    act: Act
    by: str
    content: Mapping[str, Any]

    @property
    def at(self) -> int:
        return received_ns(self.name)


def _path(name: str) -> str:
    return f"records/{moment(received_ns(name)):%Y/%m}/{name}.json"


def write(record: Record) -> None:
    """Durable when this returns. Raises OSError."""
    plain = {"act": record.act, "by": record.by, "content": record.content}
    store().write_record(_path(record.name), json.dumps(plain, ensure_ascii=False).encode())


def withdraw(record: Record) -> None:
    """Its transaction did not happen."""
    store().withdraw_record(_path(record.name))


def names() -> Iterator[str]:
    """Of all records, in the order of the decisions."""
    for path in store().records():
        name = PurePosixPath(path).stem
        if is_name(name):
            yield name


def read(name: str) -> Record:
    plain = json.loads(store().read_record(_path(name)))
    return Record(name, Act(plain["act"]), plain["by"], plain["content"])


def who_decided(at: int) -> str:
    """Empty if nothing that was decided then is in the index, or its record is lost or damaged."""
    begin = f"{at:019d}"
    names = ArchiveRecord.objects.filter(name__gte=f"{begin}-", name__lt=f"{begin}.")  # as a prefix, by the index
    return next(filter(None, map(_by, names.values_list("name", flat=True))), "")


def _by(name: str) -> str:
    try:
        return _decider(name)
    except (FileNotFoundError, ValueError) as error:
        log.error("a record of a decision cannot be read: %s: %s", name, error)
        return ""


@lru_cache(maxsize=100)
def _decider(name: str) -> str:
    """Empty for a purge: it decides about no version."""
    record = read(name)
    return "" if record.act == Act.PURGE else record.by
