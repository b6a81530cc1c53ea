"""Where the files of the archive lie: in a file system (`apps.storage.local`), or in a bucket (`apps.storage.s3`).

A place is the text in a row's `path` (`apps.storage.placement`). Whatever fails is an OSError, a missing file
FileNotFoundError, one that does not answer Away; each step can be repeated.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from apps.storage.received import Received
from apps.storage.spool import Spool
from dicom.errors import DicomError, InvalidDataSet


class Away(DicomError, OSError):
    """The storage as a whole does not answer: says nothing about one file, and waiting helps. `strerror` has details,
    for an administrator."""

    http_status = 503

    def __init__(self, why: str) -> None:
        super().__init__(errno.EIO, why)

    def __str__(self) -> str:
        return "The storage of the archive does not answer"


class Store(Protocol):
    def put(self, spool: Spool, names: Sequence[str]) -> None:
        """Files of `ready/` at their final places as well, whole and durable when this returns."""
        ...

    def open(self, place: str, *, fresh: bool = False) -> int:
        """A descriptor to read the whole file by, for the caller to close. `fresh`: no copy that is nearer."""
        ...

    def read(self, place: str) -> Received:
        """What a file says about itself. Raises InvalidDataSet too."""
        ...

    def read_many(self, places: Iterable[str]) -> Iterator[Received | OSError | InvalidDataSet]:
        """The same of several, in their order."""
        ...

    def expect(self, place: str, size: int) -> None:
        """The first `size` bytes will be read soon."""
        ...

    def exists(self, place: str) -> bool: ...

    def size(self, place: str) -> int:
        """Of the whole file, as it is kept now."""
        ...

    def sizes(self, places: Iterable[str]) -> Iterator[int | OSError]:
        """The same of several, in their order."""
        ...

    def remove(self, places: Iterable[str]) -> None:
        """Files no row names."""
        ...

    def purge(self, place: str) -> bool:
        """Remove it for good; False if somebody reads it."""
        ...

    def places(self) -> Iterator[str]:
        """All of them, in order of reception."""
        ...

    def write_record(self, path: str, content: bytes) -> None:
        """A small file beside the others, durable when this returns."""
        ...

    def withdraw_record(self, path: str) -> None: ...

    def records(self) -> Iterator[str]:
        """Their paths, in order."""
        ...

    def read_record(self, path: str) -> bytes: ...

    def trouble(self) -> str:
        """Why nothing can be stored now, for an administrator, or an empty string."""
        ...


def store() -> Store:
    """That of the settings, one for all threads."""
    return _made(settings.STORE)


@lru_cache
def _made(name: str) -> Store:
    made: Store = import_string(name)()
    return made
