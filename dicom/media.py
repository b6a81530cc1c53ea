"""Media types as DICOMweb clients ask for them (PS3.18 8.7): `Accept` headers, also those that bend the rules."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dicom.errors import DicomError

ANY: Final = "*/*"
MULTIPART: Final = "multipart/related"
JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
DICOM: Final = "application/dicom"
ZIP: Final = "application/zip"
OCTETS: Final = "application/octet-stream"
# PS3.18 Table 8.7.3-5: transfer syntax -> media type of a frame.
COMPRESSED: Final = {
    f"1.2.840.10008.1.2.4.{number}": media_type
    for media_type, numbers in (
        ("image/jpeg", (50, 51, 57, 70)),
        ("image/jls", (80, 81)),
        ("image/jp2", (90, 91)),
        ("image/jpx", (92, 93)),
        ("image/jphc", (201, 202, 203)),
        ("image/jxl", (110, 111, 112)),
    )
    for number in numbers
} | {"1.2.840.10008.1.2.5": "image/dicom-rle"}
JSON_OFFERS: Final = (JSON, "application/json")
_INNER = re.compile(r"\s*;\s*transfer-syntax=", re.ASCII)
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class NotAcceptable(DicomError):
    """Status 406; `str()` says what there is."""

    http_status = 406


class Unsatisfiable(Exception):
    """Status 416."""


@dataclass(frozen=True, slots=True)
class MediaRange:
    """`parameters` without `q`, names in small letters; a type that is no type at all is asked for as it is."""

    type: str
    parameters: dict[str, str] = field(default_factory=dict)
    quality: float = 1.0

    @property
    def part(self) -> str:
        """The type of the parts of `multipart/related; type="..."`; dicomweb-client's default is `*/*`."""
        return _INNER.split(self.parameters.get("type", ANY))[0].lower()

    @property
    def transfer_syntax(self) -> str:
        """A UID, `*`, or empty; some write it within the quotes of the type."""
        inner = _INNER.split(self.parameters.get("type", ""))[1:]
        return self.parameters.get("transfer-syntax", "".join(inner))

    def covers(self, media_type: str) -> bool:
        return covers(self.type, media_type)


def covers(wanted: str, media_type: str) -> bool:
    """`image/*` covers `image/jpeg`."""
    major, _, minor = wanted.partition("/")
    return wanted in (ANY, "*", media_type) or (minor == "*" and media_type.startswith(f"{major}/"))


def accepted(headers: Iterable[str]) -> list[MediaRange]:
    """The best first; of equal quality the more specific, then in the order they were named. None said: anything."""
    ranges = [media for header in headers for media in _ranges(header)]
    if not ranges:
        return [MediaRange(ANY)]
    wanted = [media for media in ranges if media.quality > 0]
    return sorted(wanted, key=lambda media: (-media.quality, media.type.count("*"), -len(media.parameters)))


def takes_gzip(accept_encoding: str) -> bool:
    """RFC 9110 12.5.3"""
    return any(coding.type in ("gzip", "x-gzip") for coding in accepted([accept_encoding]))


def _ranges(header: str) -> Iterator[MediaRange]:
    for part in split(header, ","):
        name, *parameters = (piece.strip() for piece in split(part, ";"))
        if not name:
            continue
        pairs = {key.strip().lower(): _unquoted(value) for key, _, value in (p.partition("=") for p in parameters)}
        yield MediaRange(
            name.lower(), {key: value for key, value in pairs.items() if key and key != "q"}, _quality(pairs)
        )


def _quality(pairs: dict[str, str]) -> float:
    try:
        return min(1.0, max(0.0, float(pairs.get("q", "1"))))
    except ValueError:
        return 1.0


def _unquoted(text: str) -> str:
    return text.strip().strip('"')


def split(text: str, separator: str) -> list[str]:
    """At separators outside of quotes."""
    parts, quoted, start = [], False, 0
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def choose(ranges: Sequence[MediaRange], offers: Sequence[str]) -> str:
    """The best of the offers, which are in our order of preference. Raises NotAcceptable."""
    for media in ranges:
        for offer in offers:
            if media.covers(offer):
                return offer
    raise NotAcceptable(f"There is only {', '.join(offers)}")


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and end of the one range asked for (RFC 9110 14.1.2); None where the whole is to be sent.

    Raises Unsatisfiable."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None  # several ranges, another unit: may be ignored
    first, last = match[1], match[2]
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return None
    if start >= stop:
        raise Unsatisfiable
    return start, stop
