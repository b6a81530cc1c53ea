"""Pixels decoded, by numpy and the codecs: what the jobs of `dicom.pixels_worker` do. Imported there only."""

import itertools
import os
import resource
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydicom.pixels import get_decoder

from dicom.elements import PIXEL_DATA
from dicom.errors import CannotReencode
from dicom.reencode import Replacements, Streamed, rewrite
from dicom.walk import ELEMENT, ENCAPSULATED, SEQUENCE, Walker
from dicom.windows import FileWindow

SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
PLANAR_CONFIGURATION: Final = 0x00280006
NUMBER_OF_FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
BITS_STORED: Final = 0x00280101
PIXEL_REPRESENTATION: Final = 0x00280103
LOSSY_IMAGE_COMPRESSION: Final = 0x00282110
ICON_IMAGE_SEQUENCE: Final = 0x00880200
EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE00002
ENCAPSULATED_VALUE_TOTAL_LENGTH: Final = 0x7FE00003

_NUMBERS: Final = {
    SAMPLES_PER_PIXEL: "samples_per_pixel",
    PLANAR_CONFIGURATION: "planar_configuration",
    ROWS: "rows",
    COLUMNS: "columns",
    BITS_ALLOCATED: "bits_allocated",
    BITS_STORED: "bits_stored",
    PIXEL_REPRESENTATION: "pixel_representation",
}
_WANTED: Final = frozenset({*_NUMBERS, PHOTOMETRIC_INTERPRETATION, NUMBER_OF_FRAMES, LOSSY_IMAGE_COMPRESSION})
_LONGEST_WANTED: Final = 64
_OFFSET_TABLES: Final = frozenset({EXTENDED_OFFSET_TABLE, EXTENDED_OFFSET_TABLE_LENGTHS})
RLE: Final = "1.2.840.10008.1.2.5"
_LOSSY_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
# Their result is lossy for ever (PS3.3 C.7.6.1.1.5); the others may have been lossless.
_ALWAYS_LOSSY: Final = _LOSSY_JPEG | {"1.2.840.10008.1.2.4.81"}
_COPIES_OF_A_FRAME: Final = 4  # encoded, decoded, corrected, in bytes


@dataclass(frozen=True, slots=True)
class Image:
    """What the header says about the pixels, and where they are in the data set."""

    elements: dict[int, bytes]
    pixel_offset: int
    compressed_icon: bool

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"pixel_keyword": "PixelData", "number_of_frames": self.number_of_frames}
        options |= {"planar_configuration": 0, "pixel_representation": 0, "bits_stored": self.number(BITS_ALLOCATED)}
        options |= {name: self.number(tag) for tag, name in _NUMBERS.items() if tag in self.elements}
        options["photometric_interpretation"] = self.text(PHOTOMETRIC_INTERPRETATION)
        if self.elements.keys() >= _OFFSET_TABLES:
            options["extended_offsets"] = (
                self.elements[EXTENDED_OFFSET_TABLE],
                self.elements[EXTENDED_OFFSET_TABLE_LENGTHS],
            )
        return options

    @property
    def number_of_frames(self) -> int:
        text = self.text(NUMBER_OF_FRAMES)
        return int(text) if text.isdecimal() and int(text) > 0 else 1

    @property
    def frame_size(self) -> int:
        """Bytes of a decoded frame."""
        samples = self.number(ROWS) * self.number(COLUMNS) * (self.number(SAMPLES_PER_PIXEL) or 1)
        return samples * (self.number(BITS_ALLOCATED) // 8)

    def number(self, tag: int) -> int:
        return int.from_bytes(self.elements.get(tag, b"")[:2], "little")

    def text(self, tag: int) -> str:
        return self.elements.get(tag, b"").decode("latin-1").strip(" \0")


def read_image(window: FileWindow, transfer_syntax_uid: str) -> Image | None:
    """Walks the data set for what describes its pixels; None where there are none. Raises InvalidDataSet."""
    elements: dict[int, bytes] = {}
    pixel_offset, top, compressed_icon, native = -1, 0, False, False
    walker = Walker(window, transfer_syntax_uid)
    for kind, tag, _, offset, length, _ in walker.tokens():
        if kind == SEQUENCE and walker.depth == 1:
            top = tag
        elif kind == ENCAPSULATED and walker.depth:
            compressed_icon |= top == ICON_IMAGE_SEQUENCE
        elif kind == ENCAPSULATED and tag == PIXEL_DATA:
            pixel_offset = offset
        elif kind == ELEMENT and not walker.depth:
            native |= tag == PIXEL_DATA
            if tag in _OFFSET_TABLES or (tag in _WANTED and length <= _LONGEST_WANTED):
                elements[tag] = walker.read(offset, length)
    if native:
        raise CannotReencode("the pixel data is not compressed, its transfer syntax says it is")
    return Image(elements, pixel_offset, compressed_icon) if pixel_offset >= 0 else None


def decompress(source: int, output: int, *, dataset_offset: int, size: int, from_syntax: str, to_syntax: str) -> None:
    """Reads the data set at `dataset_offset` of one open file, writes it in a native syntax to another.

    Raises CannotReencode, and whatever a codec raises.
    """
    window = FileWindow(source, dataset_offset, size)
    image = read_image(window, from_syntax)
    if image is None:
        _copy(rewrite(window, from_syntax=from_syntax, to_syntax=to_syntax), output)
        return
    _check(image)
    with open(source, "rb", closefd=False) as encoded:
        encoded.seek(dataset_offset + image.pixel_offset)
        frames = _frames(encoded, image, from_syntax)
        first, properties = next(frames)
        changes = _changes(image, from_syntax, properties, itertools.chain([first], (frame for frame, _ in frames)))
        _copy(rewrite(window, from_syntax=from_syntax, to_syntax=to_syntax, replacements=changes), output)


def _check(image: Image) -> None:
    if not image.frame_size or image.number(BITS_ALLOCATED) % 8:
        raise CannotReencode("the size of the image is not stated")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and image.frame_size * _COPIES_OF_A_FRAME > limit:
        raise CannotReencode("a frame is larger than the decoder's memory")


def _frames(encoded: Any, image: Image, from_syntax: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each frame, little endian and colour by pixel, with what became of its description."""
    signed = image.number(PIXEL_REPRESENTATION) == 1
    sample = np.dtype(f"<{'i' if signed else 'u'}{image.number(BITS_ALLOCATED) // 8}")
    options = image.options()
    # Lossless stays what it was, to the bit above Bits Stored; what JPEG made YBR goes back to RGB.
    options["as_rgb"] = from_syntax in _LOSSY_JPEG
    if from_syntax == RLE or not signed:
        options["correct_unused_bits"] = False
    decoded = get_decoder(from_syntax).iter_array(encoded, **options)
    count = 0
    for frame, properties in itertools.islice(decoded, image.number_of_frames):
        if frame.itemsize > sample.itemsize or frame.size * sample.itemsize != image.frame_size:
            raise CannotReencode("the compressed image is not what its header describes")
        count += 1
        yield frame.astype(sample, copy=False).tobytes(), properties
    if count < image.number_of_frames:
        raise CannotReencode("there are fewer frames than the header says")


def _changes(image: Image, from_syntax: str, properties: dict[str, Any], frames: Iterable[bytes]) -> Replacements:
    """The elements that differ once the pixels are native (PS3.5 8.2, PS3.3 C.7.6.3)."""
    photometric = properties["photometric_interpretation"]
    if photometric == "YBR_FULL_422":
        photometric = "YBR_FULL"  # chrominance has been spread over all pixels
    length = image.frame_size * image.number_of_frames
    changes: dict[int, tuple[str, bytes | Streamed] | None] = {
        PHOTOMETRIC_INTERPRETATION: ("CS", photometric.encode("ascii")),
        EXTENDED_OFFSET_TABLE: None,
        EXTENDED_OFFSET_TABLE_LENGTHS: None,
        ENCAPSULATED_VALUE_TOTAL_LENGTH: None,
        PIXEL_DATA: ("OW" if image.number(BITS_ALLOCATED) > 8 else "OB", Streamed(length, frames)),
    }
    if image.number(SAMPLES_PER_PIXEL) > 1:
        changes[PLANAR_CONFIGURATION] = ("US", b"\0\0")
    if from_syntax in _ALWAYS_LOSSY and not image.text(LOSSY_IMAGE_COMPRESSION):
        changes[LOSSY_IMAGE_COMPRESSION] = ("CS", b"01")
    if image.compressed_icon:
        changes[ICON_IMAGE_SEQUENCE] = None  # optional, and unreadable in a native syntax
    return changes


def _copy(pieces: Iterable[bytes], output: int) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(output, view) :]
