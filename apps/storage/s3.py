"""The archive in a bucket that speaks S3: a file is uploaded to its place, and read from a bounded copy on this node.

Objects appear whole or not at all, and never change: so an upload can be repeated, and a copy is good for ever.
"""

import errno
import logging
import os
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, TypeVar

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.storage import storages
from storages.backends.s3 import S3Storage

from apps.failpoints import failpoint
from apps.storage.cache import Cache
from apps.storage.disk import digest_of
from apps.storage.placement import is_place, name_in, place_of
from apps.storage.ranged import Ranged
from apps.storage.received import Received, read_from, read_open
from apps.storage.spool import Spool
from apps.storage.store import Away
from dicom import part10
from dicom.errors import InvalidDataSet

log = logging.getLogger(__name__)

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_AT_ONCE: Final = 16  # requests of one process for several files
_AHEAD: Final = 8
_PIECE: Final = 1 << 20
_LOCKS: Final = 1024
_ATTEMPTS: Final = 2  # to read an object to its end
# What goes in one request; larger files go in parts of that size.
_WHOLE: Final = 64 << 20
_IN_PARTS: Final = TransferConfig(multipart_threshold=_WHOLE, multipart_chunksize=_WHOLE, max_concurrency=4)

_Outcome = TypeVar("_Outcome")


class Bucket(S3Storage):  # type: ignore[misc]
    """As STORAGES names it; patience and connections are ours to choose."""

    def get_default_settings(self) -> dict[str, Any]:
        # Of other makers than AWS few have a host name for each bucket.
        style = "path" if any(os.environ.get(name) for name in _ENDPOINTS) else "auto"
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=2 * _AT_ONCE,
            s3={"addressing_style": style},
        )
        defaults: dict[str, Any] = super().get_default_settings()
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return {**defaults, "client_config": config, "region_name": region}


class DamagedFile(Exception):
    """A file of the spool is not what was received: no trouble of the bucket's, and waiting does not help."""


class S3Store:
    def __init__(self) -> None:
        self._clients: dict[int, Any] = {}  # by process: connections do not survive a fork
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._making = threading.Lock()
        self._copies = Cache("archive", settings.ARCHIVE_CACHE)

    # Writing

    def put(self, spool: Spool, names: Sequence[str]) -> None:
        for _ in _at_once(partial(self._upload, spool), names):
            failpoint("index.linked")
        failpoint("index.directory_sync")

    def _upload(self, spool: Spool, name: str) -> None:
        path = spool.waiting_at(name)
        place = place_of(name)
        with open(path, "rb") as file:
            if not _is_whole(file.fileno()):
                raise DamagedFile("The file in the spool differs from what was received")
            size = os.fstat(file.fileno()).st_size
            with _asking(place):
                if size <= _WHOLE:
                    self._client.put_object(**self._at(place), Body=file, ContentLength=size)
                else:
                    self._client.upload_fileobj(file, self._bucket, self._key(place), Config=_IN_PARTS)
                kept = self._client.head_object(**self._at(place))["ContentLength"]
        if kept != size:
            raise OSError(errno.EIO, f"The bucket keeps {kept} of {size} bytes", place)
        self._copies.adopt(name, path)  # who has just stored it looks at it

    def write_record(self, path: str, content: bytes) -> None:
        with _asking(path):
            self._client.put_object(**self._at(path), Body=content)

    def withdraw_record(self, path: str) -> None:
        with _asking(path):
            self._client.delete_object(**self._at(path))

    def remove(self, places: Iterable[str]) -> None:
        for place in places:
            self.purge(place)

    def purge(self, place: str) -> bool:
        """Who reads it has its copy open."""
        with _asking(place):
            self._client.delete_object(**self._at(place))
        self._copies.discard(name_in(place))
        return True

    # Reading

    def open(self, place: str, *, fresh: bool = False) -> int:
        name = name_in(place)
        if fresh:
            return self._fetched_once(place)
        if copy := self._copies.read(name):
            return _descriptor(copy)
        with _alone(name):
            if copy := self._copies.read(name):
                return _descriptor(copy)
            return self._fetched(place, name)

    def _fetched(self, place: str, name: str) -> int:
        with self._copies.making(name) as entry:
            if self._download(place, entry.add) and entry.fd is not None:
                _check(entry.fd, place)
                if kept := entry.kept():
                    return _descriptor(kept)
        return self._fetched_once(place)  # the disk has no room to keep it

    def _fetched_once(self, place: str) -> int:
        """For one reader alone."""
        with tempfile.TemporaryFile(dir=settings.DATA) as file:
            self._download(place, partial(_write, file))
            file.flush()
            _check(file.fileno(), place)
            return os.dup(file.fileno())

    def _download(self, place: str, take: Callable[[bytes], bool]) -> bool:
        """Whether all of it was taken; goes on where a connection broke."""
        done = 0
        for attempt in range(1, _ATTEMPTS + 1):
            with _asking(place):
                answer = self._client.get_object(**self._at(place), Range=f"bytes={done}-")
                try:
                    for piece in answer["Body"].iter_chunks(_PIECE):
                        if not take(piece):
                            return False
                        done += len(piece)
                    return True
                except BotoCoreError as error:
                    if attempt == _ATTEMPTS:
                        raise
                    log.warning("%s broke off after %d bytes: %s", place, done, error)
        return False

    def read(self, place: str) -> Received:
        """By ranges, unless there is a copy: of a large image its header is a small part."""
        name = name_in(place)
        if copy := self._copies.read(name):
            with copy:
                return read_open(copy.fileno(), name)
        return read_from(Ranged(partial(self._range, place)).window, name)

    def _range(self, place: str, offset: int, size: int) -> tuple[bytes, int]:
        """Bytes, and how long the whole is."""
        with _asking(place):
            answer = self._client.get_object(**self._at(place), Range=f"bytes={offset}-{offset + size - 1}")
            whole = int(answer["ContentRange"].rpartition("/")[2])
            return answer["Body"].read(), whole

    def read_many(self, places: Iterable[str]) -> Iterator[Received | OSError | InvalidDataSet]:
        yield from _at_once(self._read_or_why, list(places))

    def _read_or_why(self, place: str) -> Received | OSError | InvalidDataSet:
        try:
            return self.read(place)
        except (OSError, InvalidDataSet) as error:
            return error

    def expect(self, place: str, size: int) -> None:
        """Fetched meanwhile, whole; who opens it waits for that, or finds it."""
        if not self._copies.has(name_in(place)):
            self._helpers.submit(self._fetch_ahead, place)

    def _fetch_ahead(self, place: str) -> None:
        with suppress(OSError):  # who opens it will be told
            os.close(self.open(place))

    def exists(self, place: str) -> bool:
        """By a byte of it: what HEAD answers does not tell a missing file from a missing bucket."""
        try:
            self._range(place, 0, 1)
        except FileNotFoundError:
            return False
        return True

    def size(self, place: str) -> int:
        return self._range(place, 0, 1)[1]

    def sizes(self, places: Iterable[str]) -> Iterator[int | OSError]:
        yield from _at_once(self._size_or_why, list(places))

    def _size_or_why(self, place: str) -> int | OSError:
        try:
            return self.size(place)
        except OSError as error:
            return error

    def read_record(self, path: str) -> bytes:
        with _asking(path):
            content: bytes = self._client.get_object(**self._at(path))["Body"].read()
            return content

    # Listing: keys come in the order of their bytes, which is that of reception

    def places(self) -> Iterator[str]:
        return filter(is_place, self._below(""))

    def records(self) -> Iterator[str]:
        return (path for path in self._below("records/") if path.endswith(".json"))

    def _below(self, start: str) -> Iterator[str]:
        whole = self._key("")
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=whole + start)
        with _asking(start):
            for page in pages:
                for row in page.get("Contents", ()):
                    yield row["Key"].removeprefix(whole)

    def trouble(self) -> str:
        try:
            with _asking(""):
                self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key("records/"), MaxKeys=1)
        except Away as error:
            return f"bucket {self._bucket}: {error.strerror}"
        return ""

    # The bucket

    @property
    def _client(self) -> Any:
        process = os.getpid()
        client = self._clients.get(process)
        if client is None:
            with self._making:
                if process not in self._clients:
                    self._clients.clear()
                    self._clients[process] = _settings().connection.meta.client
                client = self._clients[process]
        return client

    @property
    def _helpers(self) -> ThreadPoolExecutor:
        process = os.getpid()
        with self._making:
            if process not in self._pools:
                self._pools.clear()
                self._pools[process] = ThreadPoolExecutor(_AHEAD, "s3-ahead")
            return self._pools[process]

    @property
    def _bucket(self) -> str:
        name: str = _settings().bucket_name
        return name

    def _key(self, place: str) -> str:
        prefix: str = _settings().location
        return f"{prefix}/{place}" if prefix else place

    def _at(self, place: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._key(place)}


def _settings() -> Any:
    return storages["archive"]


def _descriptor(file: BinaryIO) -> int:
    with file:
        return os.dup(file.fileno())


@contextmanager
def _asking(place: str) -> Iterator[None]:
    """What the bucket or the way to it says: of a missing file FileNotFoundError, else Away."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchKey":
            raise FileNotFoundError(errno.ENOENT, "Not in the bucket", place) from error
        raise _away(f"it says {code}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise _away(str(error)) from error


def _away(why: str) -> Away:
    log.error("the bucket %s cannot be used: %s", _settings().bucket_name, why)
    return Away(why)


def _at_once(work: Callable[[str], _Outcome], several: Sequence[str]) -> Iterator[_Outcome]:
    """In order. The first error comes when all have ended."""
    if len(several) <= 1:
        yield from map(work, several)
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(several)), "s3") as pool:
        yield from pool.map(work, several)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One thread of one process of this node at a time fetches a file; others wait and find it."""
    folder = Path(settings.DATA) / "cache" / "fetching"
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    with (folder / str(zlib.crc32(name.encode()) % _LOCKS)).open("wb") as lock:
        flock(lock, LOCK_EX)
        yield


def _is_whole(fd: int) -> bool:
    try:
        meta = part10.read_meta(fd)
    except InvalidDataSet:
        return False
    return digest_of(fd, meta.dataset_offset) == meta.digest


def _check(fd: int, place: str) -> None:
    if not _is_whole(fd):
        log.error("%s comes from the bucket as something else than what was received", place)
        raise OSError(errno.EIO, "The file in the bucket differs from what was received", place)


def _write(file: IO[bytes], piece: bytes) -> bool:
    file.write(piece)
    return True
