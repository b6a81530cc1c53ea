"""What the header of an image says about its pixels (PS3.3 C.7.6.3), before anybody believes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

from dicom.errors import CannotReencode

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

_NUMBERS: Final = {
    SAMPLES_PER_PIXEL: "samples_per_pixel",
    PLANAR_CONFIGURATION: "planar_configuration",
    ROWS: "rows",
    COLUMNS: "columns",
    BITS_ALLOCATED: "bits_allocated",
    BITS_STORED: "bits_stored",
    PIXEL_REPRESENTATION: "pixel_representation",
}
DESCRIBING: Final = frozenset({*_NUMBERS, PHOTOMETRIC_INTERPRETATION, NUMBER_OF_FRAMES, LOSSY_IMAGE_COMPRESSION})
_MOST_FRAMES: Final = (1 << 31) - 1  # PS3.5 6.2: what an IS holds


@dataclass(frozen=True, slots=True)
class Image:
    """Numbers that are not stated are 0, but for the bits stored, the samples and the frames."""

    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    planar_configuration: int
    photometric_interpretation: str
    number_of_frames: int
    lossy_image_compression: str

    @classmethod
    def of(cls, elements: Mapping[int, bytes], *, little_endian: bool = True) -> Self:
        """From elements of the top level as encoded. Raises CannotReencode."""
        order: Literal["little", "big"] = "little" if little_endian else "big"
        numbers = {name: int.from_bytes(elements.get(tag, b"")[:2], order) for tag, name in _NUMBERS.items()}
        numbers["samples_per_pixel"] = numbers["samples_per_pixel"] or 1
        if BITS_STORED not in elements:
            numbers["bits_stored"] = numbers["bits_allocated"]
        return cls(
            **numbers,
            photometric_interpretation=_text(elements, PHOTOMETRIC_INTERPRETATION),
            number_of_frames=_number_of_frames(_text(elements, NUMBER_OF_FRAMES)),
            lossy_image_compression=_text(elements, LOSSY_IMAGE_COMPRESSION),
        )

    @property
    def decoded_size(self) -> int:
        """Bytes of a decoded frame, every sample by itself."""
        return self.rows * self.columns * self.samples_per_pixel * (self.bits_allocated // 8)

    @property
    def native_bits(self) -> int:
        """Of a frame that is stored without compression (PS3.5 8.1.1, PS3.3 C.7.6.3.1.2)."""
        samples = 2 if self.photometric_interpretation == "YBR_FULL_422" else self.samples_per_pixel
        return self.rows * self.columns * samples * self.bits_allocated


def _text(elements: Mapping[int, bytes], tag: int) -> str:
    return elements.get(tag, b"").decode("latin-1").strip(" \0")


def _number_of_frames(text: str) -> int:
    """One where nothing is said, and for 0, which some programs write into single images."""
    try:
        number = int(text or "1")
    except ValueError:
        number = -1
    if not 0 <= number <= _MOST_FRAMES:
        raise CannotReencode("the number of frames is none")
    return number or 1
