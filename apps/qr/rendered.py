"""Stored instances as pictures and documents (PS3.18 10.4.1.1.3, 10.4.1.1.4): made by the pixel helper, kept in caches.

An image is a picture of its first frame, or a GIF of all; a document comes out as what it encapsulates. What has no
pixels has a thumbnail all the same: its modality on grey, which viewers show instead of a broken picture.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db.models import QuerySet

from apps.accounts.principal import Principal
from apps.network.database import borrowed
from apps.qr import look
from apps.qr.attributes import Level
from apps.qr.frames import VIDEOS
from apps.qr.look import Look
from apps.qr.retrieve import COLUMNS, Stored, missing
from apps.qr.rows import BY_NUMBER, visible
from apps.qr.video import MP4
from apps.storage import archive
from apps.storage.archive import Gone
from apps.storage.cache import Cache
from apps.storage.models import Instance, Series
from dicom import pixels
from dicom.errors import CannotReencode, DicomError

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
GIF: Final = "image/gif"
PICTURES: Final = (JPEG, PNG, GIF)  # the first is what comes unless something else is asked for
STILL: Final = (JPEG, PNG)
PDF: Final = "application/pdf"
# What is encapsulated, by SOP class: never as the file itself says, or a browser would run what is no document.
DOCUMENTS: Final = {
    "1.2.840.10008.5.1.4.1.1.104.1": PDF,
    "1.2.840.10008.5.1.4.1.1.104.2": "text/xml",
    "1.2.840.10008.5.1.4.1.1.104.3": "model/stl",
    "1.2.840.10008.5.1.4.1.1.104.4": "model/obj",
    "1.2.840.10008.5.1.4.1.1.104.5": "model/mtl",
}
THUMBNAIL: Final = 128  # pixels: what is burnt into an image cannot be read
LARGEST_THUMBNAIL: Final = 512
MOST: Final = 100  # pictures of a study or a series in one answer
_SECONDS: Final = 60


class CannotRender(DicomError):
    """There is no such picture of this object; `http_status` says whose fault it is."""

    def __init__(self, comment: str, http_status: int) -> None:
        super().__init__(comment)
        self.http_status = http_status


@dataclass(frozen=True, slots=True)
class Asked:
    """Of one instance: `frames` count from 1, None is all of it; `middle`: the frame in the middle stands for it."""

    media_type: str
    look: Look
    frames: tuple[int, ...] | None = None
    middle: bool = False
    label: str = ""  # where there are no pixels

    @property
    def key(self) -> str:
        return look.key(self.media_type, self.look, self.frames, self.middle, self.label)


def offers(row: Stored) -> tuple[str, ...]:
    """Media types of what the instance looks like, the best first."""
    document = DOCUMENTS.get(row.sop_class_uid)
    if document or row.transfer_syntax_uid in VIDEOS:
        return (document or MP4,)
    return PICTURES


@cache
def _pictures() -> Cache:
    return Cache("pictures", settings.CACHE // 2)


@cache
def _thumbnails() -> Cache:
    return Cache("thumbnails", settings.CACHE // 8)


class Made:
    """A picture on its way: `content` in one piece, kept once it has been taken."""

    def __init__(self, content: bytes, kept: Cache | None = None, key: str = "") -> None:
        self.content = content
        self._kept, self._key = kept, key

    def __iter__(self) -> Iterator[bytes]:
        yield self.content
        if self._kept is not None:  # the disk is waited for when the client has what he wants
            self._kept.write(self._key, [self.content]).close()


def picture(row: Stored, asked: Asked) -> Made:
    """Raises CannotRender, CannotReencode, Gone, OSError."""
    return _kept(_pictures(), f"{row.pk}-{row.revision}-{asked.key}", row, asked)


def _kept(kept: Cache, key: str, row: Stored, asked: Asked) -> Made:
    file = kept.read(key)
    if file is not None:
        with file:
            return Made(file.read())
    return Made(_made(row, asked), kept, key)


def _made(row: Stored, asked: Asked) -> bytes:
    output = os.memfd_create("picture")
    try:
        with archive.open(row) as opened:
            arguments: dict[str, Any] = {
                "dataset_offset": opened.dataset_offset,
                "size": opened.size,
                "transfer_syntax_uid": opened.transfer_syntax_uid,
                "media_type": asked.media_type,
                "frames": None if asked.frames is None else [number - 1 for number in asked.frames],
                "middle": asked.middle,
                "label": asked.label,
            }
            answer = pixels.run("render", opened.fd, output, arguments | asked.look.arguments(), timeout=_SECONDS)
        if "refused" in answer:
            raise CannotRender(answer["comment"], answer["refused"])
        return os.pread(output, answer["size"], 0)
    finally:
        os.close(output)


class Representative(NamedTuple):
    """The instance that stands for a series or a study, and what it stands for."""

    row: Stored
    modality: str
    owner: str  # primary key
    revision: int


def represented(principal: Principal, uids: dict[str, str]) -> Representative:
    """By the UIDs of an address: the instance itself, the one in the middle of the series, that of the first series of
    a study which has images. Raises NotThere, Deleted."""
    rows = visible(Level.IMAGE, principal).filter(series__study__study_instance_uid=uids["StudyInstanceUID"])
    with borrowed():
        if "SeriesInstanceUID" in uids:
            rows = rows.filter(series__series_instance_uid=uids["SeriesInstanceUID"])
        else:
            first = rows.exclude(rows=None).order_by(*BY_NUMBER).values_list("series_id", flat=True).first()
            first = first or rows.order_by(*BY_NUMBER).values_list("series_id", flat=True).first()
            rows = rows.filter(series_id=first)
        if "SOPInstanceUID" in uids:
            rows = rows.filter(sop_instance_uid=uids["SOPInstanceUID"])
        found = _middle(rows, alone="SOPInstanceUID" in uids)
    if found is None:
        raise missing(uids)
    return found


def _middle(rows: QuerySet[Instance], *, alone: bool) -> Representative | None:
    series = ("series__modality", "series_id", "series__revision", "series__number_of_series_related_instances")
    ordered = rows.order_by(*BY_NUMBER).values_list(*COLUMNS, *series)
    first = ordered.first()
    if first is None:
        return None
    count = 1 if alone else first[-1]
    found = (ordered[count // 2 : count // 2 + 1].first() if count > 2 else None) or first
    *columns, modality, owner, revision, _ = found
    row = Stored(*columns)
    # A series' picture is kept with the series: it may be another instance's tomorrow.
    return Representative(row, modality, f"i{row.pk}" if alone else f"s{owner}", row.revision if alone else revision)


def thumbnail(representative: Representative, asked: Asked) -> Made:
    """Raises as `picture` does."""
    letters = "".join(c for c in representative.modality.upper() if c.isascii() and c.isalnum())[:6]
    labelled = replace(asked, middle=asked.frames is None, label=letters or "DICOM")
    key = f"{representative.owner}-{representative.revision}-{labelled.key}"
    return _kept(_thumbnails(), key, representative.row, labelled)


def small(media_type: str, frames: Sequence[int] | None = None, viewport: str = "") -> Asked:
    """A thumbnail; `viewport` as the query has it. Raises InvalidValue."""
    size = {"width": THUMBNAIL, "height": THUMBNAIL}
    if viewport:
        size = look.viewport(viewport, LARGEST_THUMBNAIL)
    return Asked(media_type, Look(viewport=size), None if frames is None else tuple(frames[:1]))


def warm_thumbnail(series: Series) -> None:
    """For the job that looks after a series when it has been quiet for a while: its thumbnail as it is asked for by
    `GET .../series/{uid}/thumbnail` without parameters. What cannot be made is left to who asks for it."""
    with borrowed():
        found = _middle(Instance.objects.filter(series=series), alone=False)
    if found is None:
        return
    try:
        for _ in thumbnail(found, small(JPEG)):
            pass
    except (CannotRender, CannotReencode, Gone, OSError):
        return
