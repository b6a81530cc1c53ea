"""The fast scan: what the index needs of a data set, up to its pixel data, in about 0.1 ms and bounded memory."""

from collections.abc import Collection
from dataclasses import dataclass
from struct import unpack
from typing import Any, Self

from dicom.cursor import LAYOUTS
from dicom.dicomjson import Json
from dicom.items import read_items
from dicom.scanner import Scanner
from dicom.sop_classes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_deflated,
    is_encapsulated,
    is_implicit,
)
from dicom.values import clean_uid, decode, parse_number
from dicom.windows import BytesWindow, FileWindow, InflatedWindow, Readable

__all__ = ["INDEXED", "BytesWindow", "FileWindow", "Header", "Readable", "scan"]

_SPECIFIC_CHARACTER_SET = 0x00080005

_VRS = {
    _SPECIFIC_CHARACTER_SET: "CS",
    0x00080008: "CS",  # Image Type
    0x00080016: "UI",  # SOP Class UID
    0x00080018: "UI",  # SOP Instance UID
    0x00080020: "DA",  # Study Date
    0x00080021: "DA",  # Series Date
    0x00080022: "DA",  # Acquisition Date
    0x00080023: "DA",  # Content Date
    0x00080030: "TM",  # Study Time
    0x00080031: "TM",  # Series Time
    0x00080032: "TM",  # Acquisition Time
    0x00080033: "TM",  # Content Time
    0x00080050: "SH",  # Accession Number
    0x00080051: "SQ",  # Issuer of Accession Number Sequence
    0x00080060: "CS",  # Modality
    0x00080070: "LO",  # Manufacturer
    0x00080080: "LO",  # Institution Name
    0x00080090: "PN",  # Referring Physician's Name
    0x00080201: "SH",  # Timezone Offset From UTC
    0x00081010: "SH",  # Station Name
    0x00081030: "LO",  # Study Description
    0x0008103E: "LO",  # Series Description
    0x00081040: "LO",  # Institutional Department Name
    0x00081050: "PN",  # Performing Physician's Name
    0x00081060: "PN",  # Name of Physician(s) Reading Study
    0x00081070: "PN",  # Operators' Name
    0x00081080: "LO",  # Admitting Diagnoses Description
    0x00081090: "LO",  # Manufacturer's Model Name
    0x00100010: "PN",  # Patient's Name
    0x00100020: "LO",  # Patient ID
    0x00100021: "LO",  # Issuer of Patient ID
    0x00100030: "DA",  # Patient's Birth Date
    0x00100032: "TM",  # Patient's Birth Time
    0x00100040: "CS",  # Patient's Sex
    0x00101000: "LO",  # Other Patient IDs
    0x00101001: "PN",  # Other Patient Names
    0x00101002: "SQ",  # Other Patient IDs Sequence
    0x00101010: "AS",  # Patient's Age
    0x00101020: "DS",  # Patient's Size
    0x00101030: "DS",  # Patient's Weight
    0x00102160: "SH",  # Ethnic Group
    0x00104000: "LT",  # Patient Comments
    0x00180015: "CS",  # Body Part Examined
    0x00181030: "LO",  # Protocol Name
    0x0020000D: "UI",  # Study Instance UID
    0x0020000E: "UI",  # Series Instance UID
    0x00200010: "SH",  # Study ID
    0x00200011: "IS",  # Series Number
    0x00200012: "IS",  # Acquisition Number
    0x00200013: "IS",  # Instance Number
    0x00200060: "CS",  # Laterality
    0x00280008: "IS",  # Number of Frames
    0x00280010: "US",  # Rows
    0x00280011: "US",  # Columns
    0x00280100: "US",  # Bits Allocated
    0x00400244: "DA",  # Performed Procedure Step Start Date
    0x00400245: "TM",  # Performed Procedure Step Start Time
    0x00400253: "SH",  # Performed Procedure Step ID
    0x00400254: "LO",  # Performed Procedure Step Description
    0x00400275: "SQ",  # Request Attributes Sequence
}
# The elements behind the columns of the index.
INDEXED: frozenset[int] = frozenset(_VRS)
_SEQUENCES = frozenset(tag for tag, vr in _VRS.items() if vr == "SQ")
_NOT_TEXT = frozenset({"US", "SQ"})
_UINT = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Header:
    """What a scan found: wanted top-level elements as encoded, of a sequence its content; read by the methods.

    `implicit` and `little_endian` are as really found. `pixel_offset` is that of the pixel data element's tag in the
    data set; None without one, and in a deflated data set, where there is nothing to seek.
    """

    elements: dict[int, bytes]
    transfer_syntax_uid: str
    little_endian: bool
    implicit: bool
    pixel_offset: int | None
    warnings: tuple[str, ...]
    default_character_set: str = ""

    @property
    def actual_transfer_syntax_uid(self) -> str:
        """As the data set is really encoded, where that contradicts what was negotiated or declared."""
        declared = self.transfer_syntax_uid
        if is_encapsulated(declared) or is_deflated(declared):
            return declared
        if not self.little_endian:
            return EXPLICIT_VR_BIG_ENDIAN
        if self.implicit:
            return IMPLICIT_VR_LITTLE_ENDIAN
        return EXPLICIT_VR_LITTLE_ENDIAN if is_implicit(declared) or is_big_endian(declared) else declared

    @property
    def character_sets(self) -> tuple[str, ...]:
        """The values of Specific Character Set, or the peer's default where the data set has none."""
        declared = self.elements.get(_SPECIFIC_CHARACTER_SET, b"").strip(b" \0").decode("latin_1")
        return tuple((declared or self.default_character_set).split("\\"))

    def text(self, tag: int) -> str:
        """Without padding and NUL, several values separated by backslashes; empty when absent."""
        raw = self.elements.get(tag)
        if not raw:
            return ""
        vr = _VRS.get(tag, "LO")
        if vr in _NOT_TEXT:
            return "" if (number := self.integer(tag)) is None else str(number)
        return decode(raw, () if raw.isascii() and b"\x1b" not in raw else self.character_sets, vr)

    def integer(self, tag: int) -> int | None:
        """Of a binary VR or of digits; None when absent or no number."""
        raw = self.elements.get(tag, b"")
        if _VRS.get(tag) == "US" and len(raw) in _UINT and not (len(raw) > 2 and raw.strip().isdigit()):
            number: int = unpack(f"{'<' if self.little_endian else '>'}{_UINT[len(raw)]}", raw)[0]
            return number if number < 1 << 63 else None
        return parse_number(decode(raw))

    def uid(self, tag: int) -> str:
        return clean_uid(self.elements.get(tag, b""))

    def sequence(self, tag: int) -> list[Json]:
        """The items of a wanted sequence in the DICOM JSON model (PS3.18 F.2); what cannot be read is left out."""
        raw = self.elements.get(tag)
        if not raw:
            return []
        return read_items(raw, LAYOUTS[self.implicit, self.little_endian], self.character_sets)

    def dump(self) -> tuple[Any, ...]:
        """For `load`; of types that marshal takes."""
        return (
            self.elements,
            self.transfer_syntax_uid,
            self.little_endian,
            self.implicit,
            self.pixel_offset,
            self.warnings,
            self.default_character_set,
        )

    @classmethod
    def load(cls, dump: tuple[Any, ...]) -> Self:
        return cls(*dump)


def scan(
    source: Readable,
    *,
    transfer_syntax_uid: str,
    wanted: Collection[int] = INDEXED,
    default_character_set: str = "",
    until: int | None = None,
) -> Header:
    """Reads `wanted` top-level elements (values up to 4 KiB, sequences up to 64 KiB) of a data set; of what comes after
    the element `until`, nothing.

    Raises InvalidDataSet, with the offending element, when the data set ends within an element.
    """
    layout = LAYOUTS[is_implicit(transfer_syntax_uid), not is_big_endian(transfer_syntax_uid)]
    if is_deflated(transfer_syntax_uid):
        source = InflatedWindow(source)
    scanner = Scanner(source, layout, wanted=wanted, sequences=_SEQUENCES, until=until)
    scanner.run()
    if scanner.encapsulated and not is_encapsulated(transfer_syntax_uid):
        scanner.warn("Encapsulated pixel data against the transfer syntax")
    return Header(
        elements=scanner.elements,
        transfer_syntax_uid=transfer_syntax_uid,
        little_endian=scanner.layout.little_endian,
        implicit=scanner.layout.implicit,
        pixel_offset=scanner.pixel_offset,
        warnings=tuple(scanner.warnings),
        default_character_set=default_character_set,
    )
