"""The job "render": a frame or several of a stored data set as one picture. Imported by the pixel helper only."""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from PIL import Image

from dicom.decoding import decoded
from dicom.elements import NATIVE
from dicom.frames import Frames, NoPixels, locate, opened
from dicom.image import Image as Described
from dicom.pictures import GIF, MOST_PIXELS, Refused, Viewport, card, encoded, placed
from dicom.pixels import DECOMPRESSIBLE
from dicom.presentation import Header, Window
from dicom.rendering import picture
from dicom.walk import Walker
from dicom.windows import FileWindow

_MOST_FRAMES: Final = 300  # of a picture that moves
_images: "OrderedDict[tuple[int, ...], tuple[Header, Frames]]" = OrderedDict()  # cine asks for one again and again
_KEPT: Final = 4


def render(source: int, output: int, **arguments: Any) -> dict[str, Any]:
    """Writes a picture; `refused` is a status and `comment` the reason where there cannot be one of what is asked for.

    Raises CannotReencode, InvalidDataSet, and whatever a codec raises.
    """
    try:
        content = _rendered(source, **arguments)
    except Refused as error:
        return {"refused": error.http_status, "comment": str(error)}
    with open(output, "wb", closefd=False) as target:
        target.write(content)
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
    `window`: center, width, function. `label` is shown where there are no pixels to be seen."""
    file = FileWindow(source, dataset_offset, size)
    readable = transfer_syntax_uid in DECOMPRESSIBLE | NATIVE
    image = _known(file, transfer_syntax_uid) if readable else None
    if image is None:
        if not label:
            what = "are no pixels in this object" if readable else "is no codec for this object, a video perhaps"
            raise Refused(f"There {what}", 406)
        return encoded([card(label)], media_type, quality=quality, milliseconds=0)
    header, where = image
    numbers = _numbers(where.image, frames, middle=middle, moves=media_type == GIF)
    asked = None if window is None else Window(float(window[0]), float(window[1]), str(window[2]))
    port = None if viewport is None else Viewport(**viewport)
    images: list[Image.Image] = []
    decoding = decoded(opened(file, transfer_syntax_uid), where, transfer_syntax_uid, numbers)
    for number, (frame, properties) in zip(numbers, decoding, strict=True):
        shown = header.frame(number).decoded_as(str(properties["photometric_interpretation"]))
        images.append(placed(picture(frame, shown, asked), port, shown.pixel_height, many=len(numbers)))
    shared = 1 if frames is not None else where.image.number_of_frames / len(numbers)
    return encoded(images, media_type, quality=quality, milliseconds=header.frame_milliseconds * shared)


def _numbers(image: Described, frames: Sequence[int] | None, *, middle: bool, moves: bool) -> list[int]:
    count = image.number_of_frames
    if frames is not None:
        if max(frames) >= count or min(frames) < 0:
            raise Refused(f"There {'is' if count == 1 else 'are'} {count} frame{'s' * (count > 1)} in this image", 404)
        return list(frames) if moves else [frames[0]]
    if moves and not middle:
        return _chosen(image)
    return [count // 2 if middle else 0]


def _chosen(image: Described) -> list[int]:
    """All frames, or as many of them as are bearable, evenly spread, at the speed they have together."""
    count = image.number_of_frames
    most = min(_MOST_FRAMES, max(1, MOST_PIXELS // max(1, image.rows * image.columns)))
    return list(range(count)) if count <= most else [number * count // most for number in range(most)]


def _known(file: FileWindow, transfer_syntax_uid: str) -> tuple[Header, Frames] | None:
    """What the header says and where the frames are; None where there are none. Raises CannotReencode."""
    status = os.fstat(file.fd)
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, file.offset)
    found = _images.get(key)
    if found is None:
        window = opened(file, transfer_syntax_uid)
        try:
            where = locate(window, transfer_syntax_uid)
        except NoPixels:
            return None
        if where.image.photometric_interpretation == "" and where.image.samples_per_pixel == 1:
            where.image = replace(where.image, photometric_interpretation="MONOCHROME2")  # what else could it be
        found = _images[key] = Header(Walker(window, transfer_syntax_uid)), where
        while len(_images) > _KEPT:
            _images.popitem(last=False)
    _images.move_to_end(key)
    return found
