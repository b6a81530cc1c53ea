"""8-bit pictures, scaled and encoded as JPEG, PNG and GIF. Imported by the pixel helper only."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from dicom.errors import CannotReencode
from dicom.rendering import Picture

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
GIF: Final = "image/gif"
_LONGEST_SIDE: Final = {JPEG: 65_500, PNG: 1 << 20, GIF: 65_535}
_FINE: Final = 90  # quality from which colour is kept for each pixel
_SHORTEST_FRAME: Final = 20  # ms; browsers slow down what is faster


@dataclass(frozen=True, slots=True)
class Viewport:
    """PS3.18 8.3.5.1.3: the picture is as large as fits in `width` x `height`; before that, `region` (x, y, width,
    height in pixels of the image) is cut out; None stands for its own default, a negative size mirrors."""

    width: int
    height: int
    region: tuple[float | None, float | None, float | None, float | None] = (None, None, None, None)


def placed(picture: Picture, viewport: Viewport | None, pixel_height: float) -> Image.Image:
    """As it is shown: without a viewport each pixel of the image is one of the picture; in a viewport, pixels that are
    not square come out as they should. Raises CannotReencode for a region outside of the image."""
    image = Image.fromarray(picture)
    if viewport is None:
        return image
    x, y, width, height = viewport.region
    left, top = x or 0.0, y or 0.0
    wide = width if width is not None else image.width - left
    high = height if height is not None else image.height - top
    box = (max(left, 0.0), max(top, 0.0), min(left + abs(wide), image.width), min(top + abs(high), image.height))
    shown = box[2] - box[0], (box[3] - box[1]) * pixel_height
    if shown[0] <= 0 or shown[1] <= 0:
        raise CannotReencode("The viewport's region lies outside of the image")
    scale = min(viewport.width / shown[0], viewport.height / shown[1])
    size = max(1, round(shown[0] * scale)), max(1, round(shown[1] * scale))
    if size != image.size or box != (0, 0, *image.size):
        image = image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    if wide < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if high < 0 else image


def encoded(images: Sequence[Image.Image], media_type: str, *, quality: int, milliseconds: float) -> bytes:
    """One picture, or several as a GIF that moves. Raises CannotReencode for what the format cannot hold."""
    first = images[0]
    if max(first.size) > _LONGEST_SIDE[media_type]:
        raise CannotReencode(f"The picture is too large for {media_type}")
    output = io.BytesIO()
    options: dict[str, Any] = {"format": media_type.partition("/")[2].upper()}
    if media_type == JPEG:
        options |= {"quality": quality, "subsampling": 0 if quality >= _FINE else 2}
    elif media_type == PNG:
        options |= {"compress_level": 3}  # the default takes three times as long for a tenth less
    elif len(images) > 1:
        duration = round(max(_SHORTEST_FRAME, milliseconds))
        options |= {"save_all": True, "append_images": images[1:], "duration": duration, "loop": 0, "optimize": False}
    first.save(output, **options)
    return output.getvalue()
