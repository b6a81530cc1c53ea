"""What PS3.5 says about single elements: the forms of VRs on the wire, padding, what is swapped in big endian."""

from array import array
from typing import Final

ITEM: Final = 0xFFFEE000
ITEM_DELIMITATION: Final = 0xFFFEE00D
SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD
DATA_SET_TRAILING_PADDING: Final = 0xFFFCFFFC
PIXEL_DATA: Final = 0x7FE00010
UNDEFINED: Final = 0xFFFFFFFF

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_LITTLE, EXPLICIT_BIG})

# PS3.5 Table 7.1-1: explicit VRs with two reserved bytes and a length of 32 bits.
LONG_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
SHORT_VRS: Final = frozenset(
    {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI"}
    | {"UL", "US"}
)
VRS: Final = LONG_VRS | SHORT_VRS
# PS3.5 7.3: what is swapped between byte orders, in bytes. AT is two numbers of 16 bits.
UNITS: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
# PS3.5 6.2: text is padded with a space, UIDs and what is not text with NUL.
PADDING: Final = {
    vr: b"\0" if vr in UNITS or vr in {"OB", "SQ", "UI", "UN"} else b" " for vr in VRS
}  # fmt: skip
_ARRAY_CODES: Final = {2: "H", 4: "I", 8: "Q"}


def swapped(value: bytes | memoryview, unit: int) -> bytes:
    """The same numbers in the other byte order; what is left over at the end stays as it is."""
    whole = len(value) - len(value) % unit
    numbers = array(_ARRAY_CODES[unit], bytes(value[:whole]))
    numbers.byteswap()
    return numbers.tobytes() + bytes(value[whole:])
