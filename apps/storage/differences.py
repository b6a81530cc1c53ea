"""Where two versions of an instance differ, element by element, for whoever decides between them."""

from dataclasses import dataclass, field
from struct import Struct

from blake3 import blake3

from apps.storage.compare import data_set_of, feed, says_nothing
from apps.storage.received import Received
from dicom.dicomjson import BINARY, NUMBERS
from dicom.dictionary import keyword
from dicom.values import decode
from dicom.walk import ELEMENT, ENCAPSULATED, ITEM_START, SEQUENCE, Token, Walker

_SHOWN = 160  # bytes of a value


@dataclass(frozen=True, slots=True)
class Difference:
    """`ours` and `theirs` are texts for people; None where the element is absent."""

    name: str
    ours: str | None
    theirs: str | None


@dataclass(slots=True)
class _Element:
    shown: str = ""
    items: int = 0
    digest: blake3 = field(default_factory=blake3)


def differences(ours: Received, theirs: Received) -> list[Difference]:
    """Group lengths left out, in order of the tags. Raises InvalidDataSet, OSError."""
    one, other = _elements(ours), _elements(theirs)
    found = []
    for tag in sorted(one.keys() | other.keys()):
        first, second = one.get(tag), other.get(tag)
        if first is None or second is None or first.digest.digest() != second.digest.digest():
            found.append(Difference(_name(tag), _shown(first), _shown(second)))
    return found


def _name(tag: int) -> str:
    return keyword(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _shown(element: _Element | None) -> str | None:
    if element is None:
        return None
    if not element.items:
        return element.shown
    return f"{element.items} item{'s' if element.items > 1 else ''}"


def _elements(received: Received) -> dict[int, _Element]:
    """Of the outermost level; a sequence with all that is in it."""
    found: dict[int, _Element] = {}
    with data_set_of(received) as walker:
        current = _Element()
        for token in walker.tokens():
            if says_nothing(token):
                continue
            kind, tag = token[:2]
            if walker.depth == 0 and kind in (ELEMENT, ENCAPSULATED):
                current = found[tag] = _Element(_text(walker, token, received.header.character_sets))
            elif walker.depth == 1 and kind == SEQUENCE:
                current = found[tag] = _Element()
            elif walker.depth == 2 and kind == ITEM_START:
                current.items += 1
            feed(current.digest, walker, token)
    return found


def _text(walker: Walker, token: Token, character_sets: tuple[str, ...]) -> str:
    """The beginning of a value as people read it; of binary ones the length."""
    kind, _, vr, offset, length, little = token
    if kind == ENCAPSULATED or vr in BINARY or vr == "AT":
        return f"{length} bytes"
    raw = walker.read(offset, min(length, _SHOWN))
    if vr in NUMBERS:
        number = Struct(f"{'<' if little else '>'}{NUMBERS[vr]}")
        shown = "\\".join(str(value) for (value,) in number.iter_unpack(raw[: len(raw) - len(raw) % number.size]))
    else:
        shown = decode(raw, character_sets, vr)
    return f"{shown}…" if length > _SHOWN else shown
