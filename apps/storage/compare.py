"""Whether two files hold the same object though their bytes differ: other transfer syntax, group lengths, padding.

Two digests answer that, of the pixel data and of all other elements, in a form that does not depend on the encoding.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from apps.storage import placement
from apps.storage.received import Received
from apps.storage.store import Away, store
from dicom import pixels
from dicom.elements import DATA_SET_TRAILING_PADDING, EXPLICIT_LITTLE, PIXEL_DATA, UNITS, swapped
from dicom.errors import CannotReencode, InvalidDataSet
from dicom.sop_classes import is_encapsulated
from dicom.walk import ELEMENT, ENCAPSULATED, Token, Walker, window_of
from dicom.windows import FileWindow

log = logging.getLogger(__name__)

_LARGEST = 1 << 30  # bytes; of more nobody says whether they are the same: both are kept
_CHUNK = 1 << 18  # a multiple of every unit of swapping
_DECODE_SECONDS = 120
_FIRST_PIXEL_GROUP = 0x7FE0


@dataclass(frozen=True, slots=True)
class _Digests:
    elements: bytes
    pixels: bytes
    encapsulated: bool


def is_same_object(one: Received, other: Received) -> bool:
    """WIRE 16. What cannot be read or decoded is not the same."""
    if one.sop_class_uid != other.sop_class_uid or max(one.size, other.size) > _LARGEST:
        return False
    try:
        with data_set_of(one) as walker:
            first = _digests(walker)
        with data_set_of(other) as walker:
            second = _digests(walker)
        if first.elements != second.elements:
            return False
        if first.encapsulated != second.encapsulated or one.transfer_syntax_uid != other.transfer_syntax_uid:
            return _decoded_pixels(one, first) == _decoded_pixels(other, second)
        return first.pixels == second.pixels
    except Away:
        raise
    except (InvalidDataSet, CannotReencode, OSError) as error:
        log.info("two versions of %s cannot be compared: %s", one.sop_instance_uid, error)
        return False


@contextmanager
def data_set_of(received: Received) -> Iterator[Walker]:
    """To be walked once, as long as the block lasts."""
    with _window(store().open(placement.place_of(received.name)), received.dataset_offset) as window:
        yield Walker(window_of(window, received.transfer_syntax_uid), received.transfer_syntax_uid)


def says_nothing(token: Token) -> bool:
    """Group lengths and padding, which no two encoders write alike."""
    kind, tag = token[:2]
    return kind == ELEMENT and (not tag & 0xFFFF or tag == DATA_SET_TRAILING_PADDING)


def feed(digest: blake3, walker: Walker, token: Token) -> None:
    """What a token says, in a form that does not depend on the encoding."""
    kind, tag = token[:2]
    digest.update(kind.to_bytes(1, "big") + tag.to_bytes(4, "big"))
    if kind in (ELEMENT, ENCAPSULATED):
        length = _update(digest, walker, token)
        digest.update(length.to_bytes(8, "big"))


@contextmanager
def _window(fd: int, offset: int) -> Iterator[FileWindow]:
    """Closed with the block."""
    try:
        yield FileWindow(fd, offset, os.fstat(fd).st_size - offset)
    finally:
        os.close(fd)


def _decoded_pixels(received: Received, digests: _Digests) -> bytes:
    if not (digests.encapsulated and is_encapsulated(received.transfer_syntax_uid)):
        return digests.pixels
    with tempfile.TemporaryDirectory(prefix="compare-") as directory:
        output = Path(directory) / "decoded"
        with _window(store().open(placement.place_of(received.name)), 0) as stored:
            pixels.decompress(
                stored.fd,
                received.dataset_offset,
                received.transfer_syntax_uid,
                EXPLICIT_LITTLE,
                output,
                timeout=_DECODE_SECONDS,
            )
        with _window(os.open(output, os.O_RDONLY), 0) as window:
            return _digests(Walker(window, EXPLICIT_LITTLE)).pixels


def _digests(walker: Walker) -> _Digests:
    elements, pixel_data = blake3(), blake3()
    encapsulated = False
    for token in walker.tokens():
        if says_nothing(token):
            continue
        kind, tag = token[:2]
        if tag >> 16 == _FIRST_PIXEL_GROUP and walker.depth == 0:
            encapsulated = encapsulated or kind == ENCAPSULATED
            pixel_data.update(_update(pixel_data, walker, token).to_bytes(8, "big"))
        else:
            feed(elements, walker, token)
    return _Digests(elements.digest(), pixel_data.digest(), encapsulated)


def _update(digest: blake3, walker: Walker, token: Token) -> int:
    """The value without its padding, in little endian; how long it is."""
    _, tag, vr, offset, length, little = token
    unit = 0 if little else UNITS.get(vr, 0)
    taken = 0
    for at in range(offset, offset + length, _CHUNK):
        piece = walker.read(at, min(_CHUNK, offset + length - at))
        piece = swapped(piece, unit) if unit else piece
        if at + _CHUNK >= offset + length and tag != PIXEL_DATA:
            piece = piece.rstrip(b"\0 ")
        digest.update(piece)
        taken += len(piece)
    return taken
