"""The metadata of a series as one document (PS3.18 10.4.1.1.2), made once for each of its revisions, kept as gzip."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import sha256
from typing import BinaryIO, Final, NamedTuple

from django.conf import settings
from django.db.models import F

from apps.accounts.principal import Principal
from apps.network.database import borrowed
from apps.qr import wado
from apps.qr.attributes import Level
from apps.qr.retrieve import Stored, of_series
from apps.qr.rows import visible
from apps.storage.archive import Gone
from apps.storage.cache import Cache

_CHUNK: Final = 1 << 16
_GZIP: Final = zlib.MAX_WBITS | 16
_FAST: Final = 1

Address = Callable[[Stored], str]  # below which the values of an instance are found


@cache
def _cache() -> Cache:
    return Cache("metadata", settings.CACHE // 4)


class Revision(NamedTuple):
    """A series as it is now."""

    pk: int
    revision: int
    study_instance_uid: str
    series_instance_uid: str

    @property
    def key(self) -> str:
        return f"{self.pk}-{self.revision}-{_form()}"


@cache
def _form() -> str:
    """Of the documents that this version makes."""
    return sha256(f"{settings.VERSION} {settings.DICOMWEB}".encode()).hexdigest()[:8]


def revisions(principal: Principal, *, study: str, series: str = "") -> list[Revision]:
    """Of the series that the principal may see, by number."""
    rows = visible(Level.SERIES, principal).filter(study__study_instance_uid=study)
    if series:
        rows = rows.filter(series_instance_uid=series)
    order = (F("series_number_value").asc(nulls_first=True), "pk")
    with borrowed():
        found = rows.order_by(*order).values_list("pk", "revision", "study__study_instance_uid", "series_instance_uid")
        return [Revision(*row) for row in found]


def kept(series: Revision) -> BinaryIO | None:
    """As gzip, if it was made before."""
    return _cache().read(series.key)


def make(series: Revision, address: Address) -> bool:
    """Ahead of who will ask for it; False where it was made before. Raises Gone."""
    file = kept(series)
    if file:
        file.close()
        return False
    for _ in made(series, address, gzip=True):
        pass
    return True


def made(series: Revision, address: Address, *, gzip: bool) -> Iterator[bytes]:
    """And kept on its way, if it comes to its end; as gzip or as it is. Raises Gone, before the first piece."""
    documents = wado.Documents(of_series(series.pk), address)
    return _keeping(series, documents, wado.begun(iter(documents)), gzip)


def plain(series: Revision, address: Address) -> Iterator[bytes]:
    """As it is. Raises Gone, before the first piece."""
    file = kept(series)
    # Begun: a generator that was not would leave its file open.
    return wado.begun(_inflated(file)) if file else made(series, address, gzip=False)


def joined(several: Iterable[Revision], address: Address) -> Iterator[bytes]:
    """One array of several series. Raises Gone, before the first piece, when all of them are."""
    separator = b"["
    failed = Gone("The files are gone")
    for series in several:
        try:
            document = plain(series, address)
        except Gone as error:
            failed = error
            continue
        yield separator
        yield from _inside(document)
        separator = b","
    if separator == b"[":
        raise failed
    yield b"]"


def squeezed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """As gzip, the quick way."""
    squeezer = zlib.compressobj(_FAST, wbits=_GZIP)
    for piece in pieces:
        yield squeezer.compress(piece)
    yield squeezer.flush()


def _keeping(series: Revision, documents: wado.Documents, pieces: Iterator[bytes], gzip: bool) -> Iterator[bytes]:
    """What is incomplete today may be whole tomorrow: it is not kept."""
    squeezer = zlib.compressobj(_FAST, wbits=_GZIP)
    with _cache().making(series.key) as entry:
        for piece in _chunks(pieces):
            data = squeezer.compress(piece)
            entry.add(data)
            yield data if gzip else piece
        rest = squeezer.flush()
        entry.add(rest)
        if gzip:
            yield rest
        if not documents.left_out:
            entry.keep()
            _cache().remove(str(series.pk), but=f"{series.pk}-{series.revision}-")


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Of some size: each costs a system call and a line of its own on the wire."""
    gathered, size = [], 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    inflater = zlib.decompressobj(_GZIP)
    with file:
        while data := file.read(_CHUNK):
            yield inflater.decompress(data)


def _inside(document: Iterator[bytes]) -> Iterator[bytes]:
    """An array without its brackets."""
    held = next(document)[1:]
    for piece in document:
        if piece:
            yield held
            held = piece
    yield held[:-1]
