"""What the headers of a JPEG stream say (ITU-T T.81 annex B), for pixel data that comes without its description."""

from dataclasses import dataclass
from typing import Final

from dicom.dicomjson import Json

_START: Final = b"\xff\xd8"
_START_OF_SCAN: Final = 0xDA
_ADOBE: Final = 0xEE
_LOSSLESS: Final = 0xC3
_PROCESSES: Final = {
    0xC0: "1.2.840.10008.1.2.4.50",
    0xC1: "1.2.840.10008.1.2.4.51",
    _LOSSLESS: "1.2.840.10008.1.2.4.57",
}
_FIRST_ORDER: Final = "1.2.840.10008.1.2.4.70"  # the lossless process with selection value 1


@dataclass(frozen=True, slots=True)
class Frame:
    transfer_syntax_uid: str
    bits: int
    rows: int
    columns: int
    samples: int
    photometric_interpretation: str

    def described(self) -> Json:
        """PS3.3 C.7.6.3: the attributes that a sender of JPEG may leave out (PS3.18 Table 10.5.2-1)."""
        allocated = 8 if self.bits <= 8 else 16
        numbers = {
            "00280002": self.samples,
            "00280010": self.rows,
            "00280011": self.columns,
            "00280100": allocated,
            "00280101": self.bits,
            "00280102": self.bits - 1,
            "00280103": 0,
        }
        if self.samples > 1:
            numbers["00280006"] = 0
        return {tag: {"vr": "US", "Value": [number]} for tag, number in numbers.items()} | {
            "00280004": {"vr": "CS", "Value": [self.photometric_interpretation]}
        }


def read_frame(beginning: bytes) -> Frame | None:
    """By the first bytes of a stream; None for what is no JPEG, or of a process that DICOM does not have."""
    at, process, header, has_colours = 2, 0, b"", True
    if beginning[:2] != _START:
        return None
    while at + 4 <= len(beginning) and beginning[at] == 0xFF:
        marker = beginning[at + 1]
        segment = beginning[at + 4 : at + 2 + int.from_bytes(beginning[at + 2 : at + 4], "big")]
        if marker in _PROCESSES and len(segment) >= 6:
            process, header = marker, segment
        elif marker == _ADOBE and segment[:5] == b"Adobe" and len(segment) >= 12:
            has_colours = segment[11] != 0
        elif marker == _START_OF_SCAN:
            return _frame(process, header, segment, has_colours) if header and segment else None
        at += 4 + len(segment)
    return None


def _frame(process: int, header: bytes, scan: bytes, has_colours: bool) -> Frame:
    samples = header[5]
    uid = _PROCESSES[process]
    selection = scan[1 + 2 * scan[0] : 2 + 2 * scan[0]]
    if process == _LOSSLESS and selection == b"\1":
        uid = _FIRST_ORDER
    colour = "YBR_FULL_422" if has_colours and process != _LOSSLESS else "RGB"
    return Frame(
        uid,
        header[0],
        int.from_bytes(header[1:3], "big"),
        int.from_bytes(header[3:5], "big"),
        samples,
        "MONOCHROME2" if samples == 1 else colour,
    )
