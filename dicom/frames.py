"""Where the frames of a data set are, without reading their pixels: computed (PS3.5 8.1), by an offset table, or by a
walk over the fragments (PS3.5 A.4). What a header or a table says is checked against what is there.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

from dicom.elements import DEFLATED_LITTLE, EXPLICIT_LITTLE, ITEM, SEQUENCE_DELIMITATION, UNDEFINED, UNITS, swapped
from dicom.errors import CannotReencode, DicomError, InvalidDataSet
from dicom.header import scan
from dicom.image import DESCRIBING, Image
from dicom.sop_classes import is_encapsulated
from dicom.walk import window_of
from dicom.windows import Readable

CHUNK: Final = 1 << 20  # a multiple of every unit of swapping
_LARGEST_UNIT: Final = 8
_MOST_FRAGMENTS: Final = 1 << 22  # a table of them takes 32 MiB
_MOST_OF_A_FRAME: Final = 1 << 18
_WINDOW: Final = 1 << 16
_SMALL: Final = 1 << 11  # fragments so small are cheaper read than stepped over
_EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
_EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE00002
_TOTAL_LENGTH_SIZE: Final = 20  # of (7FE0,0003), which may stand between the tables and the pixels
_FLOATS: Final = {0x7FE00008: ("FloatPixelData", 32), 0x7FE00009: ("DoubleFloatPixelData", 64)}
# What compressed streams begin with: JPEG and JPEG-LS, JPEG 2000 and HTJ2K, a JP2 or JXL file.
_BEGINNINGS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0c")


class NoPixels(DicomError):
    """The data set is no image."""

    http_status = 404


class NoSuchFrame(DicomError):
    """The image has fewer frames."""

    http_status = 404


class TooManyFragments(CannotReencode):
    """More than there is memory for."""

    def __init__(self) -> None:
        super().__init__("the compressed pixel data has too many fragments")


class Native:
    """Frames without compression, one behind the other to the bit; read in little endian."""

    weight = 1

    def __init__(self, image: Image, keyword: str, offset: int, length: int, unit: int) -> None:
        """`keyword` of the element, `unit`: bytes that are swapped together, 0 for none. Raises CannotReencode."""
        if not image.native_bits:
            raise CannotReencode("the size of the image is not stated")
        self.image, self.keyword, self._offset, self._length, self._unit = image, keyword, offset, length, unit

    def check(self, index: int) -> None:
        """Frames count from 0. Raises NoSuchFrame."""
        _check(self.image, index)

    def size(self, index: int) -> int:
        """Bytes of a frame. Raises NoSuchFrame, CannotReencode."""
        self.check(index)
        if ((index + 1) * self.image.native_bits + 7) // 8 > self._length:
            raise CannotReencode("the pixel data is shorter than its header says")
        return (self.image.native_bits + 7) // 8

    def pieces(self, window: Readable, index: int) -> Iterator[bytes]:
        """Its bytes; of single bits from its own first one on. Raises as `size` does."""
        size, bits = self.size(index), self.image.native_bits
        start, shift = divmod(index * bits, 8)
        for at in range(start, start + size, CHUNK):
            stop = min(at + CHUNK, start + size)
            if not shift and not bits % 8:
                yield self._bytes(window, at, stop)
                continue
            number = int.from_bytes(self._bytes(window, at, stop + 1), "little") >> shift
            number &= (1 << min(8 * (stop - at), bits - 8 * (at - start))) - 1
            yield number.to_bytes(stop - at, "little")

    def _bytes(self, window: Readable, start: int, stop: int) -> bytes:
        """Of the value, which ends where it ends."""
        stop = min(stop, self._length)
        if not self._unit:
            return _read(window, stop - start, self._offset + start)
        first, last = start - start % _LARGEST_UNIT, min(self._length, stop + -stop % _LARGEST_UNIT)
        whole = swapped(_read(window, last - first, self._offset + first), self._unit)
        return whole[start - first : stop - first]


class Encapsulated:
    """Frames of compressed streams, each in one fragment or more."""

    keyword = "PixelData"

    def __init__(self, window: Readable, image: Image, offset: int, pixel_offset: int) -> None:
        """`offset` of the Basic Offset Table's item, `pixel_offset` of the element. Raises CannotReencode."""
        self.image = image
        tag, length = _item(_read(window, 8, offset))
        if tag != ITEM or length > window.size - offset - 8:
            raise CannotReencode("the compressed pixel data begins without an offset table")
        self._first = offset + 8 + length
        self._starts = (
            array("Q", [self._first])
            if image.number_of_frames == 1
            else self._basic(window, length)
            or self._extended(window, pixel_offset)
            or _starts(window, self._first, image.number_of_frames)
        )

    @property
    def weight(self) -> int:
        return len(self._starts)

    def check(self, index: int) -> None:
        """Frames count from 0. Raises NoSuchFrame."""
        _check(self.image, index)

    def pieces(self, window: Readable, index: int) -> Iterator[bytes]:
        """The compressed stream of a frame, without what divides it. Raises as `fragments` does."""
        return read_fragments(window, self.fragments(window, index))

    def fragments(self, window: Readable, index: int) -> list[tuple[int, int]]:
        """Offset and length of each. Raises NoSuchFrame, CannotReencode."""
        self.check(index)
        found = self._found(window, index)
        if found is None:  # the table lies
            self._starts = _starts(window, self._first, self.image.number_of_frames)
            found = self._found(window, index)
        if found is None:
            raise CannotReencode("there are fewer frames than the header says")
        return found

    def all_fragments(self, window: Readable) -> list[tuple[int, int]]:
        """Of a stream that is all frames in one, as a video's. Raises CannotReencode."""
        return [(at + 8, length) for at, length, _ in _items(window, self._first)]

    def _found(self, window: Readable, index: int) -> list[tuple[int, int]] | None:
        """None when the items from its start on do not end where the next frame starts."""
        starts = self._starts
        if index >= len(starts):
            return None
        end = starts[index + 1] if index + 1 < len(starts) else None
        found: list[tuple[int, int]] = []
        try:
            for at, length, _ in _items(window, starts[index]):
                if at == end:
                    return found
                found.append((at + 8, length))
                if len(found) > _MOST_OF_A_FRAME:
                    raise TooManyFragments
                if end is not None and at + 8 + length > end:
                    return None
        except TooManyFragments:
            raise
        except CannotReencode:
            return None
        return found if end is None and found else None

    def _basic(self, window: Readable, length: int) -> "array[int] | None":
        """PS3.5 A.4: 32 bits a frame."""
        count = self.image.number_of_frames
        if count > _MOST_FRAGMENTS or length != 4 * count:
            return None
        return self._checked(window, struct.unpack(f"<{count}I", _read(window, length, self._first - length)))

    def _extended(self, window: Readable, pixel_offset: int) -> "array[int] | None":
        """PS3.3 C.7.6.3: 64 bits a frame, in an element shortly before the pixel data."""
        count = self.image.number_of_frames
        size = 12 + 8 * count
        if count > _MOST_FRAGMENTS:
            return None
        for between in (0, _TOTAL_LENGTH_SIZE):
            at = pixel_offset - between - 2 * size
            tags = [_tag(window, at), _tag(window, at + size)] if at > 0 else []
            if tags == [_EXTENDED_OFFSET_TABLE, _EXTENDED_OFFSET_TABLE_LENGTHS]:
                return self._checked(window, struct.unpack(f"<{count}Q", _read(window, 8 * count, at + 12)))
        return None

    def _checked(self, window: Readable, offsets: tuple[int, ...]) -> "array[int] | None":
        """None when it cannot be true; where a frame ends is looked at when it is read."""
        grows = all(here < there for here, there in pairwise(offsets))
        if offsets[0] or not grows or _tag(window, self._first + offsets[-1]) != ITEM:
            return None
        return array("Q", (self._first + offset for offset in offsets))


Frames = Native | Encapsulated


def locate(window: Readable, transfer_syntax_uid: str) -> Frames:
    """`window` shows the data set as `opened` gives it. Raises NoPixels, CannotReencode."""
    syntax = EXPLICIT_LITTLE if transfer_syntax_uid == DEFLATED_LITTLE else transfer_syntax_uid
    try:
        header = scan(window, transfer_syntax_uid=syntax, wanted=DESCRIBING)
    except InvalidDataSet as error:
        raise CannotReencode(f"the stored data set is damaged: {error}") from error
    at = header.pixel_offset
    if at is None:
        raise NoPixels("This instance has no pixel data")
    order = "<" if header.little_endian else ">"
    head = window.pread(12, at).ljust(12, b"\0")
    group, element = struct.unpack_from(f"{order}HH", head)
    image = Image.of(header.elements, little_endian=header.little_endian)
    vr = "OW" if header.implicit else head[4:6].decode("latin-1")
    offset = at + (8 if header.implicit else 12)
    (length,) = struct.unpack_from(f"{order}I", head, offset - at - 4)
    if length == UNDEFINED and is_encapsulated(syntax):
        return Encapsulated(window, image, offset, at)
    if length == UNDEFINED or is_encapsulated(syntax):
        raise CannotReencode("the pixel data is not encoded as its transfer syntax says")
    keyword, bits = _FLOATS.get(group << 16 | element, ("PixelData", image.bits_allocated))
    if bits != image.bits_allocated:
        image = replace(image, bits_allocated=bits, bits_stored=bits)
    return Native(image, keyword, offset, length, 0 if header.little_endian else UNITS.get(vr, 0))


def opened(window: Readable, transfer_syntax_uid: str) -> Readable:
    """What offsets of frames count in: the data set itself, or inflated. Raises CannotReencode."""
    try:
        return window_of(window, transfer_syntax_uid)
    except InvalidDataSet as error:
        raise CannotReencode(f"the stored data set is damaged: {error}") from error


def read_fragments(window: Readable, fragments: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Bytes at these offsets, of these lengths. Raises CannotReencode."""
    for offset, length in fragments:
        for at in range(offset, offset + length, CHUNK):
            yield _read(window, min(CHUNK, offset + length - at), at)


def _check(image: Image, index: int) -> None:
    if not 0 <= index < image.number_of_frames:
        raise NoSuchFrame(f"There is no frame {index + 1}, the last is {image.number_of_frames}")


def _starts(window: Readable, first: int, count: int) -> "array[int]":
    """Of each frame its first item: a fragment a frame, or those that begin as a compressed stream does."""
    items, beginnings = array("Q"), array("Q")
    for at, _, beginning in _items(window, first):
        if len(items) == _MOST_FRAGMENTS:
            raise TooManyFragments
        items.append(at)
        if beginning.startswith(_BEGINNINGS):
            beginnings.append(at)
    if not items:
        raise CannotReencode("the compressed pixel data is empty")
    if len(items) <= count:
        return items
    if len(beginnings) != count or beginnings[0] != items[0]:
        raise CannotReencode("it is not known where each frame begins")
    return beginnings


def _items(window: Readable, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Offset of each item up to the delimiter, length of its value, and its first four bytes. Raises CannotReencode."""
    buffer, start, length = b"", at, UNDEFINED
    while True:
        here = at - start
        if here + 12 > len(buffer):
            buffer, start, here = window.pread(_WINDOW if length <= _SMALL else 12, at), at, 0
        tag, length = _item(buffer[here : here + 8])
        if tag == SEQUENCE_DELIMITATION:
            return
        if tag != ITEM or length > window.size - at - 8:
            raise CannotReencode("the compressed pixel data is cut short")
        yield at, length, buffer[here + 8 : here + 12]
        at += 8 + length


def _item(head: bytes) -> tuple[int, int]:
    """Tag, 0 for what is none, and length."""
    if len(head) < 8:
        return 0, 0
    group, element, length = struct.unpack("<HHI", head)
    return group << 16 | element, length


def _tag(window: Readable, at: int) -> int:
    return _item(window.pread(8, at))[0]


def _read(window: Readable, size: int, offset: int) -> bytes:
    data = window.pread(size, offset)
    if len(data) < size:
        raise CannotReencode("the stored data set is cut short")
    return data
