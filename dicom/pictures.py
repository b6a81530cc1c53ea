"""8-bit pictures, scaled and encoded as JPEG, PNG and GIF. Imported by the pixel helper only."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

from dicom.errors import CannotReencode
from dicom.rendering import Picture

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
GIF: Final = "image/gif"
_LONGEST_SIDE: Final = {JPEG: 65_500, PNG: 1 << 20, GIF: 65_535}
MOST_PIXELS: Final = 64 << 20  # of a picture, all its frames together
_FINE: Final = 90  # quality from which colour is kept for each pixel
_CARD: Final = (128, 128)
_GREY, _LETTERS = 40, 170
_SAMPLES: Final = 8  # pictures whose colours are looked at
_SHORTEST_FRAME: Final = 20  # ms; browsers slow down what is faster


class Refused(CannotReencode):
    """What is asked for does not fit the image; `http_status` says how."""

    def __init__(self, comment: str, http_status: int) -> None:
        super().__init__(comment)
        self.http_status = http_status


@dataclass(frozen=True, slots=True)
class Viewport:
    """PS3.18 8.3.5.1.3, 9.4: the picture is as large as fits in `width` x `height`, where they are given. Before that,
    `region` is cut out: x, y, width, height, in pixels of the image or `relative` to its size; None stands for its own
    default, a size below zero mirrors."""

    width: int | None = None
    height: int | None = None
    region: Sequence[float | None] = (None, None, None, None)
    relative: bool = False


def placed(picture: Picture, viewport: Viewport | None, pixel_height: float, *, many: int = 1) -> Image.Image:
    """As it is shown: in its own size each pixel of the image is one of the picture; in that of a viewport, pixels that
    are not square come out as they should. Raises Refused for a region outside of the image, and when so many of these
    are too large together."""
    image = Image.fromarray(picture)
    if viewport is None:
        _check(image.size, many)
        return image
    unit = image.size if viewport.relative else (1, 1)
    x, y, width, height = (
        None if part is None else part * unit[number % 2] for number, part in enumerate(viewport.region)
    )
    left, top = x or 0.0, y or 0.0
    wide = width if width is not None else image.width - left
    high = height if height is not None else image.height - top
    box = (max(left, 0.0), max(top, 0.0), min(left + abs(wide), image.width), min(top + abs(high), image.height))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise Refused("The region lies outside of the image", 400)
    size = _size(viewport, box[2] - box[0], box[3] - box[1], pixel_height)
    _check(size, many)
    if size != image.size or box != (0, 0, *image.size):
        image = image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    if wide < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if high < 0 else image


def _size(viewport: Viewport, width: float, height: float, pixel_height: float) -> tuple[int, int]:
    """Of what of the image has this size."""
    if viewport.width is None and viewport.height is None:
        return max(1, round(width)), max(1, round(height))
    height *= pixel_height
    scales = (viewport.width or math.inf) / width, (viewport.height or math.inf) / height
    scale = min(scales)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _check(size: tuple[int, int], many: int) -> None:
    if size[0] * size[1] * many > MOST_PIXELS:
        raise Refused("The picture is too large; a viewport makes it smaller", 413)


def card(text: str) -> Image.Image:
    """In place of a picture: a few letters on grey."""
    image = Image.new("L", _CARD, _GREY)
    font = ImageFont.load_default(size=36)
    ImageDraw.Draw(image).text((_CARD[0] / 2, _CARD[1] / 2), text, fill=_LETTERS, font=font, anchor="mm")
    return image


def encoded(images: Sequence[Image.Image], media_type: str, *, quality: int, milliseconds: float) -> bytes:
    """One picture, or several as a GIF that moves. Raises CannotReencode for what the format cannot hold."""
    if max(images[0].size) > _LONGEST_SIDE[media_type]:
        raise CannotReencode(f"The picture is too large for {media_type}")
    output = io.BytesIO()
    options: dict[str, Any] = {"format": media_type.partition("/")[2].upper()}
    if media_type == JPEG:
        options |= {"quality": quality, "subsampling": 0 if quality >= _FINE else 2}
    elif media_type == PNG:
        options |= {"compress_level": 3}  # the default takes three times as long for a tenth less
    elif len(images) > 1:
        images = _of_one_palette(images)
        duration = round(max(_SHORTEST_FRAME, milliseconds))
        options |= {"save_all": True, "append_images": images[1:], "duration": duration, "loop": 0, "optimize": False}
    images[0].save(output, **options)
    return output.getvalue()


def _of_one_palette(images: Sequence[Image.Image]) -> Sequence[Image.Image]:
    """256 colours for all, from some of them: a choice for each takes ten times as long."""
    if images[0].mode != "RGB":
        return images
    width, height = images[0].size
    samples = images[:: max(1, len(images) // _SAMPLES)]
    together = Image.new("RGB", (width, height * len(samples)))
    for number, sample in enumerate(samples):
        together.paste(sample, (0, height * number))
    palette = together.reduce(min(2, width, height)).quantize(256, Image.Quantize.MEDIANCUT)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
