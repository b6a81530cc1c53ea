"""The job "render": a frame or several of a stored data set as one picture. Imported by the pixel helper only."""

import os
import resource
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from PIL import Image
from pydicom.pixels import get_decoder

from dicom.elements import DEFLATED_LITTLE
from dicom.errors import CannotReencode
from dicom.pictures import GIF, MOST_PIXELS, Refused, Viewport, card, encoded, placed
from dicom.presentation import Header, Window
from dicom.rendering import Pixels, picture
from dicom.walk import Walker, window_of
from dicom.windows import FileWindow

_MOST_FRAMES: Final = 300  # of a picture that moves
_COPIES: Final = 8  # of a frame, in bytes: decoded, corrected, as numbers
_LARGEST_INFLATED: Final = 1 << 28
_headers: "OrderedDict[tuple[int, ...], Header]" = OrderedDict()  # of the last files: cine asks for one again and again
_KEPT: Final = 4


def render(source: int, output: int, **arguments: Any) -> dict[str, Any]:
    """Writes a picture; `refused` is a status and `comment` the reason where there cannot be one of what is asked for.

    Raises CannotReencode, InvalidDataSet, and whatever a codec raises.
    """
    try:
        content = _rendered(source, **arguments)
    except Refused as error:
        return {"refused": error.http_status, "comment": str(error)}
    with open(output, "wb", closefd=False) as file:
        file.write(content)
    return {"size": len(content)}


def _rendered(
    source: int,
    *,
    dataset_offset: int,
    size: int,
    transfer_syntax_uid: str,
    media_type: str,
    frames: Sequence[int] | None = None,
    middle: bool = False,
    window: Sequence[Any] | None = None,
    viewport: Mapping[str, Any] | None = None,
    quality: int = 90,
    label: str = "",
) -> bytes:
    """`frames` count from 0, None is all of them: the first, or the `middle` one, where the media type does not move.
    `window`: center, width, function. `label` is shown where there are no pixels."""
    header = _header(source, dataset_offset, size, transfer_syntax_uid)
    if header.pixels is None:
        if not label:
            raise Refused("There are no pixels in this object", 406)
        return encoded([card(label)], media_type, quality=quality, milliseconds=0)
    numbers = _numbers(header, frames, middle=middle, moves=media_type == GIF)
    asked = None if window is None else Window(float(window[0]), float(window[1]), str(window[2]))
    port = None if viewport is None else Viewport(**viewport)
    images: list[Image.Image] = []
    for number, pixels, photometric in _decoded(
        FileWindow(source, dataset_offset, size), header, transfer_syntax_uid, numbers
    ):
        shown = header.frame(number).decoded_as(photometric)
        images.append(placed(picture(pixels, shown, asked), port, shown.pixel_height, many=len(numbers)))
    shared = 1 if frames is not None else header.number_of_frames / len(numbers)
    return encoded(images, media_type, quality=quality, milliseconds=header.frame_milliseconds * shared)


def _numbers(header: Header, frames: Sequence[int] | None, *, middle: bool, moves: bool) -> list[int]:
    count = header.number_of_frames
    if frames is not None:
        if max(frames) >= count or min(frames) < 0:
            raise Refused(f"There {'is' if count == 1 else 'are'} {count} frame{'s' * (count > 1)} in this image", 404)
        return list(frames) if moves else [frames[0]]
    if moves and not middle:
        return _chosen(header)
    return [count // 2 if middle else 0]


def _chosen(header: Header) -> list[int]:
    """All frames, or as many of them as are bearable, evenly spread, at the speed they have together."""
    count = header.number_of_frames
    most = min(_MOST_FRAMES, max(1, MOST_PIXELS // max(1, header.pixels_of_frame)))
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
    _check(header)
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


def _check(header: Header) -> None:
    if not header.frame_size:
        raise CannotReencode("The size of the image is not stated")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and header.frame_size * _COPIES > limit:
        raise CannotReencode("A frame is larger than the decoder's memory")
