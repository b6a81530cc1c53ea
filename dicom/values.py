"""Values as text: read whatever was sent, normalise what is searched, judge what identifies."""

import re
import unicodedata
import uuid
from collections.abc import Sequence
from datetime import date, time

from dicom.character_sets import ESC, decode_bytes, encode_text

_NEVER_TEXT = {0: None, 0x1B: None}
_TEXT_VRS = frozenset({"ST", "LT", "UT"})  # one value, leading spaces count


def decode(raw: bytes, character_sets: Sequence[str] = (), vr: str = "LO") -> str:
    """The text of an element, without padding, NUL and escapes; several values stay separated by backslashes."""
    if raw.isascii() and ESC not in raw:
        text = raw.decode("ascii")
    else:
        text = decode_bytes(raw, tuple(character_sets), vr).translate(_NEVER_TEXT)
    if "\0" in text:
        text = text.replace("\0", "")
    if vr in _TEXT_VRS:
        return text.rstrip(" ")
    if "\\" in text:
        return "\\".join(value.strip() for value in text.split("\\"))
    return text.strip()


def encode(text: str, character_sets: Sequence[str] = ()) -> bytes | None:
    """The bytes of `text`, not padded; None if these character sets cannot carry it without loss."""
    return encode_text(text, tuple(character_sets))


def name_groups(pn: str) -> tuple[str, str, str]:
    """Alphabetic, ideographic and phonetic group of a person name (PS3.5 6.2.1); of several names, the first."""
    groups = [group.strip() for group in pn.partition("\\")[0].split("=", 2)]
    alphabetic, ideographic, phonetic = (*groups, "", "")[:3]
    return alphabetic, ideographic, phonetic.partition("=")[0].strip()


# Letters that Unicode does not decompose, though people type them without.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ı": "i", "ŧ": "t", "ŋ": "n"}
    | {"ƒ": "f", "ƶ": "z", "ɨ": "i", "ʉ": "u", "ɓ": "b", "ɗ": "d"}
)
# Accents of Latin, Greek and Cyrillic; not the marks of Indic scripts, Thai or kana, which make another word.
_ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")


def fold(text: str) -> str:
    """Without case, accents and width (`ＤＯＥ` is `doe`); spaces and separators as they are."""
    if text.isascii():
        return text.lower()
    # Until it rests: folding the case of some letters brings forth new accents.
    for _ in range(4):
        folded = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN)
        folded = unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)))
        if folded == text:
            break
        text = folded
    return text


def name_key(group: str) -> str:
    """What names are searched by: folded, components trimmed, empty ones at the end dropped (PS3.4 C.2.2.2.1)."""
    folded = "^".join(fold(component).replace("^", "") for component in group.replace("\0", "").split("^"))
    return "^".join(" ".join(component.split()) for component in folded.split("^")).rstrip("^")


_DATE = re.compile(r"(\d{4})([.\-/]?)(\d\d)\2(\d\d)", re.ASCII)  # 1997.04.22: ACR-NEMA, PS3.5 Table 6.2-1
_TIME = re.compile(r"(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(?:\.(\d+)?)?)?)?", re.ASCII)
_INTEGER = re.compile(r"([+-]?\d{1,19})(?:\.0*)?", re.ASCII)


def parse_date(text: str) -> date | None:
    """DA; None for what is no day of the calendar."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None


def parse_time(text: str) -> time | None:
    """TM, also cut short or with colons; None for what no clock shows."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[3] or 0), int(match[4] or 0)
    microsecond = int((match[5] or "")[:6].ljust(6, "0"))
    if second == 60:  # a leap second, which Python's clock does not know
        second, microsecond = 59, 999_999
    try:
        return time(hour, minute, second, microsecond)
    except ValueError:
        return None


def parse_number(text: str) -> int | None:
    """IS, within 64 bits; `1.0` counts as 1."""
    match = _INTEGER.fullmatch(text.strip())
    if match is None:
        return None
    number = int(match[1])
    return number if -(1 << 63) <= number < 1 << 63 else None


def new_uid() -> str:
    """One that nobody has: derived from a UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


_UID = re.compile(r"[0-9][0-9.]{0,63}")


def clean_uid(uid: str | bytes) -> str:
    """Without the NUL or spaces it was padded with; a NUL inside becomes a space, which makes it no UID."""
    if isinstance(uid, bytes):
        uid = uid.decode("latin_1")
    return uid.strip(" \0\t\r\n").replace("\0", " ")


def is_uid(uid: str) -> bool:
    """Fit to identify: only digits and dots, 1 to 64 of them; leading zeros and empty components are tolerated."""
    return _UID.fullmatch(uid) is not None
