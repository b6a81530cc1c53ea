"""The job "render": a frame or several of a stored data set as one picture. Imported by the pixel helper only."""

import os
import resource
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from PIL import Image
from pydicom.pixels import get_decoder

from dicom.elements import DEFLATED_LITTLE
from dicom.errors import CannotReencode
from dicom.pictures import GIF, Viewport, encoded, placed
from dicom.presentation import Header, Presentation, Window
from dicom.rendering import Picture, Pixels, picture
from dicom.walk import Walker, window_of
from dicom.windows import FileWindow

_MOST_FRAMES: Final = 300  # of a picture that moves
_MOST_PIXELS: Final = 64 << 20  # of all its frames
_COPIES: Final = 8  # of a frame, in bytes: decoded, corrected, as numbers
_LARGEST_INFLATED: Final = 1 << 28
_headers: "OrderedDict[tuple[int, ...], Header]" = OrderedDict()  # of the last files: cine asks for one again and again
_KEPT: Final = 4


def render(
    source: int,
    output: int,
    *,
    dataset_offset: int,
    size: int,
    transfer_syntax_uid: str,
    media_type: str,
    frame: int | None,
    window: Sequence[Any] | None,
    viewport: Sequence[Any] | None,
    quality: int,
) -> dict[str, Any]:
    """Writes a picture of `frame` (the first is 0), or of all frames where the media type moves and it is None.

    `window`: center, width, function; `viewport`: width, height, region. Raises CannotReencode, InvalidDataSet.
    """
    header = _header(source, dataset_offset, size, transfer_syntax_uid)
    if header.pixels is None:
        raise CannotReencode("There are no pixels in this object")
    numbers = [frame or 0] if frame is not None or media_type != GIF else _chosen(header)
    asked = None if window is None else Window(float(window[0]), float(window[1]), str(window[2]))
    port = None if viewport is None else Viewport(int(viewport[0]), int(viewport[1]), tuple(viewport[2]))
    data = FileWindow(source, dataset_offset, size)
    images: list[Image.Image] = []
    for number, pixels, photometric in _decoded(data, header, transfer_syntax_uid, numbers):
        shown = header.frame(number)
        images.append(placed(_picture(pixels, shown, photometric, asked), port, shown.pixel_height))
    milliseconds = header.frame_milliseconds * header.number_of_frames / len(numbers)
    content = encoded(images, media_type, quality=quality, milliseconds=milliseconds)
    with open(output, "wb", closefd=False) as file:
        file.write(content)
    return {"size": len(content), "frames": header.number_of_frames}


def _picture(pixels: Pixels, shown: Presentation, photometric: str, window: Window | None) -> Picture:
    return picture(pixels, shown.decoded_as(photometric), window)


def _chosen(header: Header) -> list[int]:
    """All frames, or as many of them as are bearable, evenly spread."""
    count = header.number_of_frames
    most = min(_MOST_FRAMES, max(1, _MOST_PIXELS // max(1, header.pixels_of_frame)))
    return list(range(count)) if count <= most else [number * count // most for number in range(most)]


def _header(source: int, dataset_offset: int, size: int, transfer_syntax_uid: str) -> Header:
    status = os.fstat(source)
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, dataset_offset)
    found = _headers.get(key)
    if found is None:
        window = window_of(FileWindow(source, dataset_offset, size), transfer_syntax_uid)
        found = Header(Walker(window, transfer_syntax_uid))
        _headers[key] = found
        while len(_headers) > _KEPT:
            _headers.popitem(last=False)
    _headers.move_to_end(key)
    return found


def _decoded(
    data: FileWindow, header: Header, transfer_syntax_uid: str, numbers: Sequence[int]
) -> Iterator[tuple[int, Pixels, str]]:
    """Frames with the colours they are in. Raises CannotReencode, and whatever a codec raises."""
    pixels = header.pixels
    assert pixels is not None
    _check(header, numbers)
    options = header.decoder_options() | {"as_rgb": True}
    if not header.signed:
        options["correct_unused_bits"] = False
    decoder = get_decoder(transfer_syntax_uid)
    if decoder.is_encapsulated != pixels.encapsulated:
        raise CannotReencode("The pixel data is not what its transfer syntax says")
    with open(data.fd, "rb", closefd=False) as file:
        if transfer_syntax_uid == DEFLATED_LITTLE:
            if pixels.length > _LARGEST_INFLATED:
                raise CannotReencode("The deflated image is too large to be shown")
            source: Any = window_of(data, transfer_syntax_uid).pread(pixels.length, pixels.offset)
        else:
            file.seek(data.offset + pixels.offset)
            source = file
        found = decoder.iter_array(source, indices=numbers, **options)
        for number, (frame, properties) in zip(numbers, found, strict=True):
            yield number, frame, str(properties["photometric_interpretation"])


def _check(header: Header, numbers: Sequence[int]) -> None:
    if not header.frame_size:
        raise CannotReencode("The size of the image is not stated")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and header.frame_size * _COPIES > limit:
        raise CannotReencode("A frame is larger than the decoder's memory")
    if max(numbers) >= header.number_of_frames:
        raise CannotReencode(f"There are {header.number_of_frames} frames")
