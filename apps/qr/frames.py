"""Frames of a stored instance (PS3.18 10.4.1.1.6): the form they go in, where they are, their bytes."""

import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from threading import Lock
from typing import Final

from apps.qr.retrieve import Stored
from apps.storage import archive
from apps.storage.archive import Gone, OpenInstance
from dicom import pixels
from dicom.elements import EXPLICIT_LITTLE, NATIVE
from dicom.errors import CannotReencode, InvalidValue
from dicom.frames import Frames, Native, locate, opened, read_fragments
from dicom.media import ANY, COMPRESSED, MULTIPART, OCTETS, MediaRange, NotAcceptable, covers
from dicom.windows import FileWindow, Readable

_LIST = re.compile(r"[0-9]{1,10}(,[0-9]{1,10})*", re.ASCII)
_AS_STORED: Final = "*"
_MPEG: Final = [f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109)]
VIDEOS: Final = frozenset({*_MPEG, *(f"{uid}.1" for uid in _MPEG)})
_BATCH: Final = 64 << 20  # bytes that are decoded before the first of them is sent
_DECODE_SECONDS: Final = 60
_LARGE: Final = 1 << 16  # bytes of a piece that is worth a write of its own
_MOST_KNOWN: Final = 256
_MOST_WEIGHT: Final = 1 << 22  # offsets, 32 MiB

_Key = tuple[int, int, int, int]  # of the file


@dataclass(frozen=True, slots=True)
class Form:
    """`media_type` and `transfer_syntax_uid` of a frame, `multipart` of the answer."""

    media_type: str
    transfer_syntax_uid: str
    decode: bool = False
    multipart: bool = True

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"


def parse_numbers(text: str) -> list[int]:
    """`1,3,5`. Raises InvalidValue."""
    numbers = [int(part) for part in text.split(",")] if _LIST.fullmatch(text) else [0]
    if 0 in numbers:
        raise InvalidValue("Frames are named by their numbers, from 1 on, with commas between")
    return numbers


def choose_form(ranges: Iterable[MediaRange], stored: str, count: int) -> Form:
    """How so many frames, stored in this transfer syntax, go to who accepts this. Raises NotAcceptable."""
    if stored in VIDEOS:
        raise NotAcceptable("A video has no frames of its own; the instance and its bulk data can be retrieved")
    for media in ranges:
        multipart = media.type.startswith("multipart/") or media.type in (ANY, "*")
        if not multipart and count > 1:
            continue
        form = _form(media.part if media.type == MULTIPART else media.type, media.transfer_syntax, stored)
        if form:
            return replace(form, multipart=multipart)
    offers = " and ".join(form.content_type for form in _forms(stored))
    raise NotAcceptable(f"There is only {MULTIPART} of {offers}, and a single frame by itself")


def _forms(stored: str) -> list[Form]:
    """Decoded first, where that can be: PS3.18 8.7.3.3.1, 8.7.3.3.2."""
    plain = Form(OCTETS, EXPLICIT_LITTLE, decode=stored not in NATIVE)
    if stored in NATIVE:
        return [plain]
    kept = Form(COMPRESSED.get(stored, OCTETS), stored)
    return [plain, kept] if pixels.can_decompress(stored, EXPLICIT_LITTLE) else [kept]


def _form(wanted: str, asked: str, stored: str) -> Form | None:
    """Who asks for octets in the syntax they are stored in gets them, called what they are: viewers do."""
    for form in _forms(stored):
        takes = covers(wanted, form.media_type) or covers(wanted, OCTETS)
        if takes and (asked in ("", form.transfer_syntax_uid) or (asked == _AS_STORED and not form.decode)):
            return form
    return None


class Remembered:
    """Where the frames of the files asked for last are: viewers come for one after the other."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[_Key, Frames] = OrderedDict()
        self._weight = 0

    def locate(self, instance: OpenInstance, window: Readable) -> Frames:
        """Raises NoPixels, CannotReencode."""
        status = os.fstat(instance.fd)
        key = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        with self._lock:
            known = self._known.get(key)
            if known:
                self._known.move_to_end(key)
                return known
        found = locate(window, instance.transfer_syntax_uid)
        with self._lock:
            if key not in self._known:
                self._known[key] = found
                self._weight += found.weight
            while len(self._known) > _MOST_KNOWN or (self._weight > _MOST_WEIGHT and len(self._known) > 1):
                self._weight -= self._known.popitem(last=False)[1].weight
        return found


_remembered = Remembered()


class OpenFrames:
    """Frames of these numbers, which count from 1, open until it is closed: their `sizes`; iterate over their bytes."""

    def __init__(self, row: Stored, numbers: Sequence[int], *, decode: bool) -> None:
        """What cannot be decoded fails when it begins. Raises DicomError, OSError."""
        indexes = [number - 1 for number in numbers]
        with ExitStack() as stack:
            self._instance = stack.enter_context(archive.open(row))
            if self._instance.transfer_syntax_uid != row.transfer_syntax_uid:
                raise Gone("Another version of this instance has taken its place")
            file = FileWindow(self._instance.fd, self._instance.dataset_offset, self._instance.size)
            window = opened(file, row.transfer_syntax_uid)
            where = _remembered.locate(self._instance, window)
            for index in indexes:
                where.check(index)
            self._frames: Generator[Iterator[bytes]]
            if decode:
                self.sizes = [where.image.decoded_size] * len(indexes)
                self._frames = self._decoded(indexes, where.image.decoded_size)
            elif isinstance(where, Native):
                self.sizes = [where.size(index) for index in indexes]
                self._frames = (where.pieces(window, index) for index in indexes)
            else:
                found = [where.fragments(window, index) for index in indexes]
                self.sizes = [sum(length for _, length in fragments) for fragments in found]
                self._frames = (read_fragments(window, fragments) for fragments in found)
            self._stack = stack.pop_all()
        self._content = self._framed([b""] * len(indexes), b"")

    def begin(self, heads: Sequence[bytes], end: bytes) -> None:
        """With these bytes before each of them and after the last; the first piece is read. Raises CannotReencode."""
        content = self._framed(heads, end)
        self._content = chain([next(content)], content)

    def __iter__(self) -> Iterator[bytes]:
        return self._content

    def close(self) -> None:
        """As a response does at its end, or before."""
        self._frames.close()
        self._stack.close()

    def _framed(self, heads: Sequence[bytes], end: bytes) -> Iterator[bytes]:
        """What is large is not copied, what is small is not sent by itself."""
        waiting = bytearray()
        for head, pieces in zip(heads, self._frames, strict=True):
            waiting += head
            for piece in pieces:
                if len(piece) >= _LARGE:
                    if waiting:
                        yield bytes(waiting)
                        waiting.clear()
                    yield piece
                    continue
                waiting += piece
                if len(waiting) >= _LARGE:
                    yield bytes(waiting)
                    waiting.clear()
        yield bytes(waiting) + end

    def _decoded(self, indexes: Sequence[int], size: int) -> Generator[Iterator[bytes]]:
        """A few in one job, so that neither the first waits for the last nor all of them are on the disk."""
        most = max(1, _BATCH // max(size, 1))
        for batch in (indexes[at : at + most] for at in range(0, len(indexes), most)):
            with tempfile.TemporaryFile() as output:
                arguments = {
                    "dataset_offset": self._instance.dataset_offset,
                    "size": self._instance.size,
                    "transfer_syntax_uid": self._instance.transfer_syntax_uid,
                    "indexes": batch,
                }
                pixels.run("frames", self._instance.fd, output.fileno(), arguments, timeout=_DECODE_SECONDS)
                window = FileWindow(output.fileno(), 0, len(batch) * size)
                if os.fstat(output.fileno()).st_size != window.size:
                    raise CannotReencode("the decoder gave fewer bytes than the image has")
                for number in range(len(batch)):
                    yield read_fragments(window, [(number * size, size)])
