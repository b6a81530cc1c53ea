"""What a data set says about how its pixels are shown: PS3.3 C.11.1, C.11.2, C.7.6.3, C.7.9, and the functional groups
of enhanced multi-frame (C.7.6.16.2.9, C.7.6.16.2.10). Tables, windows and slopes; no pixel is touched here.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dicom.elements import UNITS, swapped
from dicom.walk import ELEMENT, ITEM_END, ITEM_START, SEQUENCE, SEQUENCE_END, Walker

RECOMMENDED_DISPLAY_FRAME_RATE: Final = 0x00082144
CINE_RATE: Final = 0x00180040
FRAME_TIME: Final = 0x00181063
FRAME_TIME_VECTOR: Final = 0x00181065
IMAGER_PIXEL_SPACING: Final = 0x00181164
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
NUMBER_OF_FRAMES: Final = 0x00280008
PIXEL_SPACING: Final = 0x00280030
PIXEL_ASPECT_RATIO: Final = 0x00280034
BITS_ALLOCATED: Final = 0x00280100
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
PIXEL_REPRESENTATION: Final = 0x00280103
SMALLEST_IMAGE_PIXEL_VALUE: Final = 0x00280106
LARGEST_IMAGE_PIXEL_VALUE: Final = 0x00280107
PIXEL_PADDING_VALUE: Final = 0x00280120
PIXEL_PADDING_RANGE_LIMIT: Final = 0x00280121
WINDOW_CENTER: Final = 0x00281050
WINDOW_WIDTH: Final = 0x00281051
RESCALE_INTERCEPT: Final = 0x00281052
RESCALE_SLOPE: Final = 0x00281053
VOI_LUT_FUNCTION: Final = 0x00281056
PALETTE_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
PALETTE_DATA: Final = (0x00281201, 0x00281202, 0x00281203)
SEGMENTED_PALETTE_DATA: Final = (0x00281221, 0x00281222, 0x00281223)
MODALITY_LUT_SEQUENCE: Final = 0x00283000
LUT_DESCRIPTOR: Final = 0x00283002
LUT_DATA: Final = 0x00283006
VOI_LUT_SEQUENCE: Final = 0x00283010
PIXEL_MEASURES_SEQUENCE: Final = 0x00289110
FRAME_VOI_LUT_SEQUENCE: Final = 0x00289132
PIXEL_VALUE_TRANSFORMATION_SEQUENCE: Final = 0x00289145
PRESENTATION_LUT_SHAPE: Final = 0x20500020
SHARED_FUNCTIONAL_GROUPS_SEQUENCE: Final = 0x52009229
PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE: Final = 0x52009230

_SHORT: Final = frozenset(
    {RECOMMENDED_DISPLAY_FRAME_RATE, CINE_RATE, FRAME_TIME, IMAGER_PIXEL_SPACING, PHOTOMETRIC_INTERPRETATION}
    | {NUMBER_OF_FRAMES, PIXEL_SPACING, PIXEL_ASPECT_RATIO, BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION}
    | {SMALLEST_IMAGE_PIXEL_VALUE, LARGEST_IMAGE_PIXEL_VALUE, PIXEL_PADDING_VALUE, PIXEL_PADDING_RANGE_LIMIT}
    | {WINDOW_CENTER, WINDOW_WIDTH, RESCALE_INTERCEPT, RESCALE_SLOPE, VOI_LUT_FUNCTION, PRESENTATION_LUT_SHAPE}
    | {*PALETTE_DESCRIPTORS, LUT_DESCRIPTOR}
)
_TABLES: Final = frozenset({*PALETTE_DATA, *SEGMENTED_PALETTE_DATA, LUT_DATA})
_LONG: Final = _TABLES | {FRAME_TIME_VECTOR}
_SEQUENCES: Final = frozenset(
    {MODALITY_LUT_SEQUENCE, VOI_LUT_SEQUENCE, PIXEL_MEASURES_SEQUENCE, FRAME_VOI_LUT_SEQUENCE}
    | {PIXEL_VALUE_TRANSFORMATION_SEQUENCE, SHARED_FUNCTIONAL_GROUPS_SEQUENCE, PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE}
)
_LONGEST_SHORT: Final = 1024  # windows may be many
_LONGEST_LONG: Final = 1 << 20
_MOST_ITEMS: Final = 200_000

LINEAR, LINEAR_EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """PS3.3 C.11.2.1.2, C.11.2.1.3."""

    center: float
    width: float
    function: str = LINEAR

    @property
    def is_valid(self) -> bool:
        least = 1.0 if self.function == LINEAR else math.ulp(0.0)
        return math.isfinite(self.center) and math.isfinite(self.width) and self.width >= least


@dataclass(frozen=True, slots=True)
class Table:
    """PS3.3 C.11.1.1: `data` as little endian, one or two bytes an entry; `first` is the value mapped to entry 0."""

    entries: int
    first: int
    bits: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Presentation:
    """Of one frame. `modality` and `voi` are the first of what there is, None where nothing is said."""

    photometric_interpretation: str
    bits_stored: int
    high_bit: int
    signed: bool
    modality: Table | tuple[float, float] | None  # slope and intercept
    voi: Table | Window | None
    inverted: bool
    extremes: tuple[int, int] | None  # stored values that all frames lie between
    padding: tuple[int, int] | None  # stored values that are no image
    palette: tuple[Table, Table, Table] | None
    palette_is_segmented: bool
    pixel_height: float  # of a pixel as wide as 1

    def decoded_as(self, photometric_interpretation: str) -> "Presentation":
        """Once a codec has changed the colours."""
        return replace(self, photometric_interpretation=photometric_interpretation)


class Item:
    """A data set or an item: the values that matter here, and its sequences."""

    __slots__ = ("sequences", "values")

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}  # little endian
        self.sequences: dict[int, list[Item]] = {}

    def first(self, tag: int) -> "Item | None":
        items = self.sequences.get(tag)
        return items[0] if items else None

    def number(self, tag: int, otherwise: int = 0, *, signed: bool = False) -> int:
        """US or SS."""
        value = self.values.get(tag, b"")
        return int.from_bytes(value[:2], "little", signed=signed) if len(value) >= 2 else otherwise

    def text(self, tag: int) -> str:
        return self.values.get(tag, b"").decode("latin-1").strip(" \0")

    def decimals(self, tag: int) -> list[float]:
        """Of DS and IS; what is no number ends the list."""
        found = []
        for part in self.text(tag).split("\\"):
            try:
                number = float(part)
            except ValueError:
                break
            if not math.isfinite(number):
                break
            found.append(number)
        return found

    def decimal(self, tag: int) -> float | None:
        return next(iter(self.decimals(tag)), None)


class Header:
    """What a data set says, read once for all its frames."""

    def __init__(self, walker: Walker) -> None:
        """Raises InvalidDataSet."""
        self._top = _Collected(walker).top

    def frame(self, number: int) -> Presentation:
        """The first is 0."""
        top, groups = self._top, tuple(self._groups(number))
        signed = top.number(PIXEL_REPRESENTATION) == 1
        photometric = top.text(PHOTOMETRIC_INTERPRETATION).upper()
        bits = top.number(BITS_STORED) or top.number(BITS_ALLOCATED) or 8
        modality = _modality(_found(groups, PIXEL_VALUE_TRANSFORMATION_SEQUENCE) or top, top, signed)
        voi = _voi(_found(groups, FRAME_VOI_LUT_SEQUENCE), modality) or _voi(top, modality)
        palette, segmented = _palette(top, signed)
        return Presentation(
            photometric_interpretation=photometric,
            bits_stored=bits,
            high_bit=top.number(HIGH_BIT, bits - 1),
            signed=signed,
            modality=modality,
            voi=voi,
            inverted=photometric == "MONOCHROME1" or top.text(PRESENTATION_LUT_SHAPE).upper() == "INVERSE",
            extremes=_extremes(top, signed),
            padding=_padding(top, signed),
            palette=palette,
            palette_is_segmented=segmented,
            pixel_height=_pixel_height(_found(groups, PIXEL_MEASURES_SEQUENCE) or top, top),
        )

    @property
    def frame_milliseconds(self) -> float:
        """How long a frame of a multi-frame image is shown (PS3.3 C.7.6.5); a tenth of a second where nothing says."""
        top = self._top
        vector = top.decimals(FRAME_TIME_VECTOR)[1:]  # the first is before the first frame
        for milliseconds in (top.decimal(FRAME_TIME), sum(vector) / len(vector) if vector else None):
            if milliseconds and milliseconds > 0:
                return milliseconds
        for rate in (top.decimal(RECOMMENDED_DISPLAY_FRAME_RATE), top.decimal(CINE_RATE)):
            if rate and rate > 0:
                return 1000 / rate
        return 100.0

    def _groups(self, number: int) -> Iterator[Item]:
        """Functional groups of a frame, its own before those that all share."""
        own = self._top.sequences.get(PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, [])
        yield from own[number : number + 1]
        yield from self._top.sequences.get(SHARED_FUNCTIONAL_GROUPS_SEQUENCE, [])[:1]


class _Collected:
    """Wanted elements at every level, wanted sequences with their items; the rest of the data set is walked over."""

    def __init__(self, walker: Walker) -> None:
        self.top = Item()
        self._levels: list[Item | None] = [self.top]  # None: below a sequence nobody wants
        self._tags: list[int] = []
        self._items = 0
        for kind, tag, vr, offset, length, little in walker.tokens():
            if kind == ELEMENT:
                level = self._levels[-1]
                if level is not None and length <= _longest(tag):
                    level.values[tag] = _little(walker.read(offset, length), tag, vr, little)
            elif kind == SEQUENCE:
                self._tags.append(tag)
            elif kind == SEQUENCE_END:
                self._tags.pop()
            elif kind == ITEM_START:
                self._levels.append(self._item(self._levels[-1], self._tags[-1]))
            elif kind == ITEM_END:
                self._levels.pop()

    def _item(self, level: Item | None, tag: int) -> Item | None:
        if level is None or tag not in _SEQUENCES or self._items >= _MOST_ITEMS:
            return None
        self._items += 1
        item = Item()
        level.sequences.setdefault(tag, []).append(item)
        return item


def _longest(tag: int) -> int:
    """Bytes of a value that is read."""
    return _LONGEST_SHORT if tag in _SHORT else _LONGEST_LONG if tag in _LONG else -1


def _little(value: bytes, tag: int, vr: str, little: bool) -> bytes:
    unit = 0 if little else 2 if tag in _TABLES and vr == "OW" else UNITS.get(vr, 0)
    return swapped(value, unit) if unit else value


def _found(groups: tuple[Item, ...], tag: int) -> Item | None:
    return next((item for group in groups if (item := group.first(tag)) is not None), None)


def _modality(item: Item, top: Item, signed: bool) -> Table | tuple[float, float] | None:
    table = _table(item.first(MODALITY_LUT_SEQUENCE) or top.first(MODALITY_LUT_SEQUENCE), signed=signed)
    if table is not None:
        return table
    slope, intercept = item.decimal(RESCALE_SLOPE), item.decimal(RESCALE_INTERCEPT)
    if slope is None or intercept is None:
        return None
    return (slope, intercept) if slope else None


def _voi(item: Item | None, modality: Table | tuple[float, float] | None) -> Table | Window | None:
    if item is None:
        return None
    # PS3.3 C.11.2.1.1: signed when what the table maps may be.
    table = _table(item.first(VOI_LUT_SEQUENCE), signed=not isinstance(modality, Table))
    if table is not None:
        return table
    center, width = item.decimal(WINDOW_CENTER), item.decimal(WINDOW_WIDTH)
    if center is None or width is None or width <= 0:
        return None
    function = item.text(VOI_LUT_FUNCTION).upper()
    function = function if function in (LINEAR_EXACT, SIGMOID) else LINEAR
    # A linear window narrower than 1 is not defined: it was meant for values between whole numbers.
    return Window(center, width, LINEAR_EXACT if function == LINEAR and width < 1 else function)


def _table(item: Item | None, *, signed: bool) -> Table | None:
    return None if item is None else _described(item.values, LUT_DESCRIPTOR, LUT_DATA, signed)


def _described(values: Mapping[int, bytes], descriptor: int, data: int, signed: bool) -> Table | None:
    """None where descriptor or data are missing."""
    numbers, entries = values.get(descriptor, b""), values.get(data, b"")
    if len(numbers) < 6 or not entries:
        return None
    count = int.from_bytes(numbers[:2], "little") or 1 << 16
    first = int.from_bytes(numbers[2:4], "little", signed=signed)
    return Table(count, first, int.from_bytes(numbers[4:6], "little"), entries)


def _palette(top: Item, signed: bool) -> tuple[tuple[Table, Table, Table] | None, bool]:
    for segmented, data in ((False, PALETTE_DATA), (True, SEGMENTED_PALETTE_DATA)):
        red, green, blue = (
            _described(top.values, descriptor, tag, signed)
            for descriptor, tag in zip(PALETTE_DESCRIPTORS, data, strict=True)
        )
        if red and green and blue:
            return (red, green, blue), segmented
    return None, False


def _extremes(top: Item, signed: bool) -> tuple[int, int] | None:
    """Only where frames should not each be stretched on their own."""
    frames = top.decimal(NUMBER_OF_FRAMES)
    if frames is None or frames < 2:
        return None
    low = top.number(SMALLEST_IMAGE_PIXEL_VALUE, signed=signed)
    high = top.number(LARGEST_IMAGE_PIXEL_VALUE, signed=signed)
    return (low, high) if low < high else None


def _padding(top: Item, signed: bool) -> tuple[int, int] | None:
    """PS3.3 C.7.5.1.1.2."""
    if len(top.values.get(PIXEL_PADDING_VALUE, b"")) < 2:
        return None
    one = top.number(PIXEL_PADDING_VALUE, signed=signed)
    other = top.number(PIXEL_PADDING_RANGE_LIMIT, one, signed=signed)
    return min(one, other), max(one, other)


def _pixel_height(item: Item, top: Item) -> float:
    """Rows before columns, as in all these attributes."""
    ratios: tuple[list[float], ...] = (
        item.decimals(PIXEL_SPACING),
        top.decimals(PIXEL_SPACING),
        top.decimals(IMAGER_PIXEL_SPACING),
        top.decimals(PIXEL_ASPECT_RATIO),
    )
    for ratio in ratios:
        if len(ratio) >= 2 and ratio[0] > 0 and ratio[1] > 0:
            height = ratio[0] / ratio[1]
            return height if 0.01 <= height <= 100 else 1.0
    return 1.0
