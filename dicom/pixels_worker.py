"""The process that runs pixel codecs: one job at a time from `dicom.pixels`, under limits that the kernel keeps.

A codec that crashes, hangs or wants all memory ends this process and nothing else. Never imported by the others: numpy
and the codecs stay out of their memory.
"""

import argparse
import fcntl
import itertools
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydicom.pixels import get_decoder

from dicom.elements import PIXEL_DATA
from dicom.errors import CannotReencode, DicomError
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


def perform(request: dict[str, Any], source: int, output: int) -> str:
    """Does a job; "" or why it cannot be done."""
    try:
        decompress(
            source,
            output,
            dataset_offset=request["dataset_offset"],
            size=request["size"],
            from_syntax=request["from_syntax"],
            to_syntax=request["to_syntax"],
        )
    except DicomError as error:
        return str(error)
    except MemoryError:
        return "the image needs more memory than the decoder may use"
    except OSError as error:
        return f"the decompressed image cannot be written: {error.strerror}"
    except Exception as error:  # noqa: BLE001 - codecs raise anything; this is where it is answered
        reason = " ".join(str(error).split())[:300]
        return f"the codec failed: {type(error).__name__}: {reason}"
    return ""


def limit_process(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold an image


def limit_job(client: socket.socket, seconds: float) -> None:
    """Kernel's alarms with their default action, so that not even a codec that never returns outlives them."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))
    # The client says nothing while we work: any event on the socket is its end, and SIGIO ours.
    fcntl.fcntl(client, fcntl.F_SETOWN, os.getpid())
    _notify(client, True)
    if _has_gone(client):
        sys.exit(0)


def unlimit_job(client: socket.socket) -> None:
    _notify(client, False)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _notify(client: socket.socket, wanted: bool) -> None:
    flags = fcntl.fcntl(client, fcntl.F_GETFL)
    fcntl.fcntl(client, fcntl.F_SETFL, flags | os.O_ASYNC if wanted else flags & ~os.O_ASYNC)


def _has_gone(client: socket.socket) -> bool:
    try:
        return not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def serve(client: socket.socket) -> None:
    """Jobs until the client closes its end: a line of JSON with two open files in, a line of JSON out."""
    while True:
        data, files, _, _ = socket.recv_fds(client, 1 << 16, 2)
        if not data:
            return
        request = json.loads(data)
        try:
            limit_job(client, request["seconds"])
            comment = perform(request, *files)
            unlimit_job(client)
        finally:
            for file in files:
                os.close(file)
        client.sendall(json.dumps({"comment": comment}).encode() + b"\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="dicom.pixels_worker", description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="an inherited Unix socket")
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # pydicom logs what it then raises
    limit_process(options.memory)
    serve(socket.socket(fileno=options.socket))


if __name__ == "__main__":
    main(sys.argv[1:])
