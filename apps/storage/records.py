"""Decisions about files, durable beside the files: what a rebuilt index cannot read from the images themselves.

A record is on disk before its transaction commits; one found without its row in `ArchiveRecord` is applied again.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.storage import placement
from apps.storage.disk import sync
from apps.storage.spool import is_name, moment, received_ns


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


def _path(name: str) -> Path:
    return Path(settings.ARCHIVE / "records" / f"{moment(received_ns(name)):%Y/%m}" / f"{name}.json")


def write(record: Record) -> None:
    """Durable when this returns. Raises OSError."""
    path = _path(record.name)
    placement.prepare(path.parent)
    plain = {"act": record.act, "by": record.by, "content": record.content}
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(plain, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync(path.parent)


def withdraw(record: Record) -> None:
    """Its transaction did not happen."""
    path = _path(record.name)
    path.unlink(missing_ok=True)
    sync(path.parent)


def names() -> Iterator[str]:
    """Of all records, in the order of the decisions."""
    for path in sorted((settings.ARCHIVE / "records").glob("*/*/*.json")):
        if is_name(path.stem):
            yield path.stem


def read(name: str) -> Record:
    plain = json.loads(_path(name).read_text(encoding="utf-8"))
    return Record(name, Act(plain["act"]), plain["by"], plain["content"])
