"""Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1): decoding that never fails, encoding that never loses."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

ESC = b"\x1b"


@dataclass(frozen=True, slots=True)
class CodeElement:
    """A set that an escape sequence calls into G0 (low bytes) or G1 (high bytes); `codec` decodes it as high bytes."""

    escape: bytes
    codec: str
    g0: bool = False
    prefix: bytes = b""  # what EUC puts before each character of this set
    width: int = 1


_ASCII = CodeElement(b"\x1b(B", "ascii", g0=True)
_JIS_X_0201_ROMAN = CodeElement(b"\x1b(J", "ascii", g0=True)
_JIS_X_0201_KATAKANA = CodeElement(b"\x1b)I", "shift_jis")
_JIS_X_0208 = CodeElement(b"\x1b$B", "euc_jp", g0=True, width=2)

# PS3.3 Tables C.12-2 to C.12-5, by registration number, which is what all spellings have in common.
_SETS: dict[int, CodeElement] = {
    6: _ASCII,
    13: _JIS_X_0201_KATAKANA,
    100: CodeElement(b"\x1b-A", "latin_1"),
    101: CodeElement(b"\x1b-B", "iso8859_2"),
    109: CodeElement(b"\x1b-C", "iso8859_3"),
    110: CodeElement(b"\x1b-D", "iso8859_4"),
    126: CodeElement(b"\x1b-F", "iso8859_7"),
    127: CodeElement(b"\x1b-G", "iso8859_6"),
    138: CodeElement(b"\x1b-H", "iso8859_8"),
    144: CodeElement(b"\x1b-L", "iso8859_5"),
    148: CodeElement(b"\x1b-M", "iso8859_9"),
    166: CodeElement(b"\x1b-T", "iso8859_11"),
    203: CodeElement(b"\x1b-b", "iso8859_15"),
    87: _JIS_X_0208,
    159: CodeElement(b"\x1b$(D", "euc_jp", g0=True, prefix=b"\x8f", width=2),
    149: CodeElement(b"\x1b$)C", "euc_kr", width=2),
    58: CodeElement(b"\x1b$)A", "gb2312", width=2),
}
# Those that are used alone, without code extensions.
_ALONE = {
    "ISO IR 192": "utf_8",
    "UTF 8": "utf_8",
    "UTF8": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 GBK": "gbk",
    "GB2312": "gbk",
}
_BY_ESCAPE = {element.escape: element for element in (*_SETS.values(), _JIS_X_0201_ROMAN)}
_BY_ESCAPE[b"\x1b$@"] = _JIS_X_0208  # JIS C 6226-1978
_ESCAPE = re.compile(b"(" + b"|".join(re.escape(escape) for escape in _BY_ESCAPE) + b")")

_RUNS_OF_ONE = re.compile(rb"[\x80-\xff]+|[^\x80-\xff]+")
_RUNS_OF_TWO = re.compile(rb"(?:[\x21-\x7e]{2})+|[\x80-\xff]+|[^\x80-\xff]")
_HIGH = bytes(byte | 0x80 for byte in range(256))
_LOW = bytes(byte & 0x7F for byte in range(256))
# PS3.5 6.1.2.5.3: what ends the reach of an escape sequence.
_RESETS = re.compile(rb"[\t\n\f\r]")
_RESETS_IN_VALUES = re.compile(rb"[\t\n\f\r\\]")
_RESETS_IN_NAMES = re.compile(rb"[\t\n\f\r\\^=]")
_TEXTS = frozenset({"ST", "LT", "UT"})  # one value: a backslash is a character
_DELIMITERS = frozenset("\t\n\f\r\\^=")


@dataclass(frozen=True, slots=True)
class Repertoire:
    """A Specific Character Set, resolved."""

    alone: str | None  # codec
    g0: CodeElement
    g1: CodeElement | None
    extensions: tuple[CodeElement, ...]


@lru_cache(maxsize=256)
def repertoire(character_sets: tuple[str, ...]) -> Repertoire:
    """`character_sets` are the values of (0008,0005); unknown names count as not there."""
    names = [" ".join(name.upper().replace("_", " ").replace("-", " ").split()) for name in character_sets]
    if names and names[0] in _ALONE:
        return Repertoire(_ALONE[names[0]], _ASCII, None, ())
    elements = [_element(name) for name in names]
    first = elements[0] if elements else None
    return Repertoire(
        alone=None,
        g0=_JIS_X_0201_ROMAN if first is _JIS_X_0201_KATAKANA else _ASCII,
        g1=first if first is not None and not first.g0 else None,
        extensions=tuple(element for element in elements if element is not None and element is not _ASCII),
    )


def _element(name: str) -> CodeElement | None:
    number = re.search(r"(\d+)$", name)
    return _SETS.get(int(number[1])) if number and len(number[1]) < 4 else None


def decode_bytes(raw: bytes, character_sets: tuple[str, ...], vr: str) -> str:
    """Never raises; what the declared sets cannot read is read as UTF-8 or Latin-1."""
    declared = repertoire(character_sets)
    if declared.alone is not None:
        return _decode_alone(raw, declared.alone)
    if ESC not in raw and declared.g1 is not None and declared.g1.width == 1:
        return _decode_declared(raw, declared.g1.codec)
    if ESC not in raw and not declared.extensions:
        return _decode_undeclared(raw)
    return _decode_extended(raw, declared, vr)


def _decode_alone(raw: bytes, codec: str) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        pass
    # A value cut in the middle of a character keeps the rest; one without any such character was never in this set.
    text = raw.decode(codec, "replace")
    if any(character > "\x7f" and character != "\ufffd" for character in text):
        return text
    return raw.decode("latin_1") if codec == "utf_8" else _decode_undeclared(raw)


def _decode_declared(raw: bytes, codec: str) -> str:
    for candidate in (codec, "utf_8"):
        try:
            return raw.decode(candidate)
        except UnicodeDecodeError:
            continue
    return raw.decode(codec, "replace")


def _decode_undeclared(raw: bytes) -> str:
    try:
        return raw.decode("utf_8")
    except UnicodeDecodeError:
        return raw.decode("latin_1")


def _decode_extended(raw: bytes, declared: Repertoire, vr: str) -> str:
    """ISO 2022 with what PS3.5 6.1.2.5 allows, and escapes of sets that were not declared."""
    resets = _RESETS_IN_NAMES if vr == "PN" else _RESETS if vr in _TEXTS else _RESETS_IN_VALUES
    g0, g1, latest = declared.g0, declared.g1, None
    parts: list[str] = []
    for piece in _ESCAPE.split(raw):
        called = _BY_ESCAPE.get(piece)
        if called is not None:
            if called.g0:
                g0 = called
            else:
                g1 = latest = called
            continue
        for run in (_RUNS_OF_TWO if g0.width == 2 else _RUNS_OF_ONE).findall(piece):
            if run[0] >= 0x80:
                # Many senders forget to repeat the escape after a delimiter.
                parts.append(_decode_high(run, g1 or latest, declared))
            elif g0.width == 2 and len(run) > 1:
                parts.append(_decode_g0(run, g0))
            else:
                parts.append(run.decode("ascii"))
                if resets.search(run):
                    g0, g1 = declared.g0, declared.g1
    return "".join(parts)


def _decode_g0(run: bytes, g0: CodeElement) -> str:
    high = run.translate(_HIGH)
    if g0.prefix:
        high = b"".join(g0.prefix + high[i : i + 2] for i in range(0, len(high), 2))
    return high.decode(g0.codec, "replace")


def _decode_high(run: bytes, g1: CodeElement | None, declared: Repertoire) -> str:
    if g1 is None:
        for element in declared.extensions:
            if not element.g0:
                try:
                    return run.decode(element.codec)
                except UnicodeDecodeError:
                    continue
        return _decode_undeclared(run)
    return _decode_declared(run, g1.codec)


def encode_text(text: str, character_sets: tuple[str, ...]) -> bytes | None:
    """`text` in these character sets; None when a character would be lost."""
    if text.isascii():
        return text.encode("ascii")
    declared = repertoire(character_sets)
    if declared.alone is not None:
        try:
            return text.encode(declared.alone)
        except UnicodeEncodeError:
            return None
    return _encode_extended(text, declared, extended=len(character_sets) > 1)


def _encode_extended(text: str, declared: Repertoire, *, extended: bool) -> bytes | None:
    g0, g1 = declared.g0, declared.g1
    out = bytearray()
    candidates = declared.extensions if extended else tuple(e for e in (declared.g1,) if e is not None)
    for character in text:
        if character < "\x80":
            if character in _DELIMITERS:
                out += _back_to_start(declared, g0, g1)
                g0, g1 = declared.g0, declared.g1
            elif g0.width == 2:
                g0 = declared.g0
                out += g0.escape
            out += character.encode("ascii")
            continue
        chosen = _choose(character, g0, g1, candidates)
        if chosen is None:
            return None
        element, encoded = chosen
        if element is not g0 and element is not g1:
            out += element.escape
        g0, g1 = (element, g1) if element.g0 else (g0, element)
        out += encoded
    return bytes(out + _back_to_start(declared, g0, g1))


def _back_to_start(declared: Repertoire, g0: CodeElement, g1: CodeElement | None) -> bytes:
    """PS3.5 6.1.2.5.3: the sets of the start are active again before a delimiter and at the end."""
    back = declared.g0.escape if g0 is not declared.g0 else b""
    if g1 is not declared.g1 and declared.g1 is not None:
        back += declared.g1.escape
    return back


def _choose(
    character: str, g0: CodeElement, g1: CodeElement | None, candidates: Sequence[CodeElement]
) -> tuple[CodeElement, bytes] | None:
    """The set that is active, else the first declared one, that has the character."""
    for element in (g1, g0, *candidates):
        encoded = _encode_character(character, element) if element is not None else None
        if element is not None and encoded is not None:
            return element, encoded
    return None


def _encode_character(character: str, element: CodeElement) -> bytes | None:
    try:
        encoded = character.encode(element.codec)
    except UnicodeEncodeError:
        return None
    encoded, found = encoded.removeprefix(element.prefix), encoded.startswith(element.prefix)
    if not found or len(encoded) != element.width or min(encoded) < (0xA1 if element.width == 2 else 0x80):
        return None  # of another set in the same codec
    return encoded.translate(_LOW) if element.g0 else encoded
