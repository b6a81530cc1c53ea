"""Pixels decoded, by numpy and the codecs: what the jobs of `dicom.pixels_worker` do. Imported there only."""

import itertools
import os
import resource
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from pydicom.pixels import get_decoder

from dicom.elements import EXPLICIT_LITTLE, PIXEL_DATA
from dicom.errors import CannotReencode
from dicom.frames import Frames, Native, NoPixels, locate, opened
from dicom.image import LOSSY_IMAGE_COMPRESSION, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, Image
from dicom.reencode import Replacements, Streamed, rewrite
from dicom.walk import ENCAPSULATED, SEQUENCE, Walker
from dicom.windows import FileWindow, Readable

ICON_IMAGE_SEQUENCE: Final = 0x00880200
EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE00002
ENCAPSULATED_VALUE_TOTAL_LENGTH: Final = 0x7FE00003

RLE: Final = "1.2.840.10008.1.2.5"
_LOSSY_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
# Their result is lossy for ever (PS3.3 C.7.6.1.1.5); the others may have been lossless.
_ALWAYS_LOSSY: Final = _LOSSY_JPEG | {"1.2.840.10008.1.2.4.81"}
_COPIES_OF_A_FRAME: Final = 4  # encoded, decoded, corrected, in bytes
_FLOATS: Final = {"FloatPixelData": "<f4", "DoubleFloatPixelData": "<f8"}
# Of JPEG and JPEG-LS (ISO 10918-1 B.1.1.3).
_JPEG_START: Final = b"\xff\xd8\xff"
_JPEG_END: Final = b"\xff\xd9"
_LONGEST_PADDING: Final = 16
_ITEM: Final = struct.Struct("<HHI").pack

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
# What became of the description of a frame when it was decoded, by pydicom's names.
Properties = dict[str, Any]


def frames(
    source: int, output: int, *, dataset_offset: int, size: int, transfer_syntax_uid: str, indexes: list[int]
) -> dict[str, Any]:
    """The job: these frames, which count from 0, as native ones are, one behind the other.

    Raises NoPixels, NoSuchFrame, CannotReencode, and whatever a codec raises.
    """
    window = opened(FileWindow(source, dataset_offset, size), transfer_syntax_uid)
    where = locate(window, transfer_syntax_uid)
    photometric = where.image.photometric_interpretation
    for frame, properties in decoded(window, where, transfer_syntax_uid, indexes):
        photometric = _photometric(properties)
        _copy([frame.tobytes()], output)
    return {"photometric_interpretation": photometric}


def decoded(
    window: Readable, where: Frames, transfer_syntax_uid: str, indexes: Iterable[int]
) -> Iterator[tuple[Array, Properties]]:
    """Frames as rows, columns and samples, in little endian. What was compressed without loss stays what it was, to
    the bit above Bits Stored; what JPEG made YBR is RGB again."""
    image, native = where.image, isinstance(where, Native)
    _check(image, native=native)
    sample = _sample(image, where.keyword)
    decoder = get_decoder(EXPLICIT_LITTLE if native else transfer_syntax_uid)
    options = _options(image, where.keyword, transfer_syntax_uid, native=native)
    for index in indexes:
        frame, properties = next(decoder.iter_array(_encoded(window, where, index), **options))
        if frame.itemsize > sample.itemsize or frame.size != image.rows * image.columns * image.samples_per_pixel:
            raise CannotReencode("the compressed image is not what its header describes")
        yield frame.astype(sample, copy=False), properties


def _check(image: Image, *, native: bool) -> None:
    if not image.native_bits or (image.bits_allocated % 8 and not native):
        raise CannotReencode("the size of the image is not stated")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and image.decoded_size * _COPIES_OF_A_FRAME > limit:
        raise CannotReencode("a frame is larger than the decoder's memory")


def _sample(image: Image, keyword: str) -> "np.dtype[Any]":
    kind = "i" if image.pixel_representation == 1 else "u"
    return np.dtype(_FLOATS.get(keyword) or f"<{kind}{max(image.bits_allocated // 8, 1)}")


def _options(image: Image, keyword: str, transfer_syntax_uid: str, *, native: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "pixel_keyword": keyword,
        "number_of_frames": 1,
        "rows": image.rows,
        "columns": image.columns,
        "samples_per_pixel": image.samples_per_pixel,
        "bits_allocated": image.bits_allocated,
        "bits_stored": image.bits_stored,
        "pixel_representation": image.pixel_representation,
        "planar_configuration": image.planar_configuration,
        "photometric_interpretation": image.photometric_interpretation,
        "as_rgb": transfer_syntax_uid in _LOSSY_JPEG,
    }
    if native or transfer_syntax_uid == RLE or not image.pixel_representation:
        options["correct_unused_bits"] = False
    return options


def _encoded(window: Readable, where: Frames, index: int) -> bytes:
    """A frame as pydicom takes it: native, or encapsulated and all of its pixel data."""
    frame = b"".join(where.pieces(window, index))
    if isinstance(where, Native):
        return frame
    if frame.startswith(_JPEG_START) and _JPEG_END not in frame.rstrip(b"\0")[-_LONGEST_PADDING:]:
        raise CannotReencode("the compressed image is cut short")  # some codecs would make up what is missing
    return b"".join(
        (_ITEM(0xFFFE, 0xE000, 0), _ITEM(0xFFFE, 0xE000, len(frame)), frame, _ITEM(0xFFFE, 0xE0DD, 0))
    )  # fmt: skip


def decompress(source: int, output: int, *, dataset_offset: int, size: int, from_syntax: str, to_syntax: str) -> None:
    """The job: the data set at `dataset_offset` of one open file, in a native syntax, as another.

    Raises CannotReencode, and whatever a codec raises.
    """
    window = FileWindow(source, dataset_offset, size)
    changes: Replacements | None = None
    try:
        where = locate(window, from_syntax)
    except NoPixels:
        pass
    else:
        decoding = decoded(window, where, from_syntax, range(where.image.number_of_frames))
        frame, properties = next(decoding)
        all_frames = itertools.chain([frame], (frame for frame, _ in decoding))
        changes = _changes(where.image, from_syntax, properties, (frame.tobytes() for frame in all_frames))
        if _has_compressed_icon(window, from_syntax):
            changes = {**changes, ICON_IMAGE_SEQUENCE: None}  # optional, and unreadable in a native syntax
    _copy(rewrite(window, from_syntax=from_syntax, to_syntax=to_syntax, replacements=changes), output)


def _has_compressed_icon(window: Readable, transfer_syntax_uid: str) -> bool:
    walker, top = Walker(window, transfer_syntax_uid), 0
    for kind, tag, *_ in walker.tokens():
        if kind == SEQUENCE and walker.depth == 1:
            top = tag
        if kind == ENCAPSULATED and walker.depth and top == ICON_IMAGE_SEQUENCE:
            return True
    return False


def _photometric(properties: Properties) -> str:
    photometric = str(properties["photometric_interpretation"])
    # Chrominance has been spread over all pixels.
    return "YBR_FULL" if photometric == "YBR_FULL_422" else photometric


def _changes(image: Image, from_syntax: str, properties: Properties, frames: Iterable[bytes]) -> Replacements:
    """The elements that differ once the pixels are native (PS3.5 8.2, PS3.3 C.7.6.3)."""
    length = image.decoded_size * image.number_of_frames
    changes: dict[int, tuple[str, bytes | Streamed] | None] = {
        PHOTOMETRIC_INTERPRETATION: ("CS", _photometric(properties).encode("ascii")),
        EXTENDED_OFFSET_TABLE: None,
        EXTENDED_OFFSET_TABLE_LENGTHS: None,
        ENCAPSULATED_VALUE_TOTAL_LENGTH: None,
        PIXEL_DATA: ("OW" if image.bits_allocated > 8 else "OB", Streamed(length, frames)),
    }
    if image.samples_per_pixel > 1:
        changes[PLANAR_CONFIGURATION] = ("US", b"\0\0")
    if from_syntax in _ALWAYS_LOSSY and not image.lossy_image_compression:
        changes[LOSSY_IMAGE_COMPRESSION] = ("CS", b"01")
    return changes


def _copy(pieces: Iterable[bytes], output: int) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(output, view) :]
