"""A decoded frame as an 8-bit picture: the pixel transformations of PS3.4 N.2 up to a display of 256 grey values.

Not done: overlays, presentation states, supplemental palettes (PS3.3 C.7.6.19), ICC profiles. Imported by the pixel
helper only, as whatever imports numpy.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import convert_color_space

from dicom.errors import CannotReencode
from dicom.presentation import LINEAR, SIGMOID, Presentation, Table, Window

Pixels = NDArray[Any]
Picture = NDArray[np.uint8]  # rows, columns; and three samples for colour

_WHITE: Final = 255
_MOST_ENTRIES: Final = 1 << 16
_YBR: Final = ("YBR_FULL", "YBR_FULL_422")
_RGB: Final = ("RGB", "YBR_RCT", "YBR_ICT")  # the latter as codecs give them


def picture(frame: Pixels, shown: Presentation, window: Window | None = None) -> Picture:
    """`frame`: rows, columns, and samples if there are several; `window` is for grey values and replaces that of the
    image. Raises CannotReencode for colours we do not know."""
    photometric = shown.photometric_interpretation
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[:, :, 0]
    if frame.ndim == 2:
        if photometric == "PALETTE COLOR":
            return _palette(frame, shown)
        return _grey(frame, shown, window)
    if photometric in _YBR and frame.dtype == np.uint8:
        frame, photometric = convert_color_space(frame, photometric, "RGB"), "RGB"
    if frame.shape[2] != 3 or photometric not in _RGB:
        raise CannotReencode(f"There is no picture of {frame.shape[2]} samples of {photometric[:16] or 'nothing'}")
    return _eight_bits(frame, shown.bits_stored)


def _grey(frame: Pixels, shown: Presentation, window: Window | None) -> Picture:
    if not np.issubdtype(frame.dtype, np.integer):
        return _displayed(frame.astype(np.float64), _limits(frame, shown), shown, window)
    stored = _stored(frame, shown)
    low, high = int(stored.min()), int(stored.max())
    limits = _limits(stored, shown) if window is None and shown.voi is None else (low, high)
    if high - low >= max(stored.size, _MOST_ENTRIES):
        return _displayed(stored, limits, shown, window)
    # What becomes of a value is the same everywhere: worked out once for each that occurs.
    table = _displayed(np.arange(low, high + 1, dtype=np.int64), limits, shown, window)
    return np.take(table, stored if low == 0 else np.subtract(stored, low, dtype=np.int64))


def _stored(frame: Pixels, shown: Presentation) -> Pixels:
    """Without what lies above High Bit or below Bits Stored: overlays of old (PS3.5 8.1.1)."""
    allocated = frame.dtype.itemsize * 8
    unused = allocated - 1 - shown.high_bit
    if shown.bits_stored >= allocated or unused < 0 or shown.high_bit + 1 < shown.bits_stored:
        return frame
    left, right = unused, allocated - shown.bits_stored
    kept = np.left_shift(frame, frame.dtype.type(left)) if left else frame
    shifted: Pixels = np.right_shift(kept, kept.dtype.type(right))
    return shifted


def _limits(stored: Pixels, shown: Presentation) -> tuple[float, float]:
    """Stored values between which the whole scale of grey lies when nothing else says so."""
    if shown.bits_stored <= 8 and np.issubdtype(stored.dtype, np.unsignedinteger):
        return 0, (1 << shown.bits_stored) - 1
    if shown.extremes and np.issubdtype(stored.dtype, np.integer):
        return shown.extremes
    counted = stored[np.isfinite(stored)] if np.issubdtype(stored.dtype, np.floating) else stored
    if shown.padding is not None:
        image = counted[(counted < shown.padding[0]) | (counted > shown.padding[1])]
        counted = image if image.size else counted
    return (float(counted.min()), float(counted.max())) if counted.size else (0, 1)


def _displayed(values: Pixels, limits: tuple[float, float], shown: Presentation, window: Window | None) -> Picture:
    """Stored values -> modality -> values of interest -> grey."""
    real = _modality(values, shown)
    voi = window or shown.voi
    if isinstance(voi, Table):
        entries = _entries(voi)
        scale = _looked_up(real, voi, entries) / _largest(voi, entries)
    elif voi is not None:
        scale = _windowed(real, voi)
    else:
        ends = _modality(np.array(limits).astype(values.dtype), shown)
        scale = _stretched(real, float(ends.min()), float(ends.max()))
    if shown.inverted:
        scale = 1 - scale
    grey = np.floor(scale * _WHITE + 0.5)
    picture: Picture = np.clip(np.nan_to_num(grey, nan=0), 0, _WHITE).astype(np.uint8)
    return picture


def _modality(values: Pixels, shown: Presentation) -> NDArray[np.float64]:
    modality = shown.modality
    if isinstance(modality, Table):
        return _looked_up(values, modality, _entries(modality)).astype(np.float64)
    real = values.astype(np.float64)
    return real if modality is None else real * modality[0] + modality[1]


def _windowed(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """From 0 to 1."""
    center, width = window.center, window.width
    if window.function == SIGMOID:
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (values - center) / width)))
    if window.function == LINEAR:
        center, width = center - 0.5, width - 1
    if not width:
        return (values > center).astype(np.float64)
    return np.asarray(np.clip((values - center) / width + 0.5, 0, 1))


def _stretched(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    if not low < high:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


def _entries(table: Table) -> Pixels:
    """As many as are there, whatever the descriptor says."""
    size = 1 if len(table.data) < 2 * table.entries and len(table.data) >= table.entries else 2
    return np.frombuffer(table.data, f"<u{size}", count=min(len(table.data) // size, table.entries))


def _looked_up(values: Pixels, table: Table, entries: Pixels) -> Pixels:
    """PS3.3 C.11.1.1.1: below the first the first, beyond the last the last."""
    if not entries.size:
        raise CannotReencode("A look-up table of the image is empty")
    at = np.clip(np.nan_to_num(values) - table.first, 0, entries.size - 1)
    return np.asarray(entries[at.astype(np.intp)])


def _largest(table: Table, entries: Pixels) -> float:
    """What white is; some descriptors are lower than what they describe."""
    bits = table.bits if 1 <= table.bits <= 16 else 16
    return float(max((1 << bits) - 1, int(entries.max())))


def _palette(frame: Pixels, shown: Presentation) -> Picture:
    if shown.palette is None:
        raise CannotReencode("The palette of the image is missing")
    colours = []
    for table in shown.palette:
        entries = _segments(table) if shown.palette_is_segmented else _entries(table)
        colours.append((table, (entries >> 8 if entries.size and int(entries.max()) > _WHITE else entries)))
    stored = _stored(frame, shown).astype(np.int64)
    return np.stack([_looked_up(stored, table, entries).astype(np.uint8) for table, entries in colours], axis=-1)


def _segments(table: Table) -> Pixels:
    """PS3.3 C.7.9.2: discrete, linear and indirect segments."""
    size = 1 if table.bits == 8 else 2
    data = np.frombuffer(table.data, f"<u{size}", count=len(table.data) // size).tolist()
    found: list[int] = []
    _expand(data, 0, found, size=size, segments=len(data))
    return np.array(found[: table.entries], dtype=f"<u{size}")


def _expand(data: list[int], at: int, found: list[int], *, size: int, segments: int, nested: bool = False) -> None:
    """Appends what the segments from `at` on stand for; one that is none ends them."""
    wide = 4 // size  # of an offset, in entries
    while segments > 0 and at + 2 < len(data) and len(found) < _MOST_ENTRIES:
        kind, count = data[at], data[at + 1]
        if kind == 0:
            found += data[at + 2 : at + 2 + count]
            at += 2 + count
        elif kind == 1 and found:
            found += np.rint(np.linspace(found[-1], data[at + 2], count + 1)[1:]).astype(int).tolist()
            at += 3
        elif kind == 2 and not nested:
            offset = sum(part << 8 * size * step for step, part in enumerate(data[at + 2 : at + 2 + wide]))
            _expand(data, offset // size, found, size=size, segments=count, nested=True)
            at += 2 + wide
        else:
            return
        segments -= 1


def _eight_bits(samples: Pixels, bits: int) -> Picture:
    """Colour as eight bits a sample."""
    if samples.dtype == np.uint8 and bits == 8:
        return samples
    if bits > 8:
        return (samples >> (bits - 8)).clip(0, _WHITE).astype(np.uint8)
    return (samples.astype(np.float64) * _WHITE / ((1 << bits) - 1) + 0.5).clip(0, _WHITE).astype(np.uint8)
