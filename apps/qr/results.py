"""Rows -> data sets of query answers: exactly the keys asked for, and those that PS3.4 C.4.1.1.3.2 adds."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from apps.accounts.principal import Principal
from apps.qr import items
from apps.qr.attributes import (
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    Source,
)
from apps.qr.query import Query, Return
from apps.qr.rows import Row, character_set_column, column, pages
from dicom.character_sets import repertoire
from dicom.dictionary import dictionary_vr
from dicom.encoding import ElementIn, encode_elements
from dicom.values import encode

UNICODE: Final = "ISO_IR 192"
_LOCAL_NAMESPACE_ENTITY_ID: Final = 0x00400031

Encode = Callable[[str], bytes]
Value = bytes | None | Sequence[Sequence[ElementIn]]


@dataclass(frozen=True, slots=True)
class _Part:
    """One element of every answer, made of the row's value at `index`."""

    tag: int
    vr: str
    index: int
    value: Callable[[Any, Encode], Value]


class Answers:
    """The answers to a query, encoded, read from the database as they are taken."""

    def __init__(self, query: Query, principal: Principal, *, transfer_syntax_uid: str, retrieve_ae_title: str) -> None:
        self.limit_reached = False  # once all are taken: there were more
        self._query = query
        self._principal = principal
        self._transfer_syntax_uid = transfer_syntax_uid
        constants = {
            QUERY_RETRIEVE_LEVEL: ("CS", query.level.name),
            RETRIEVE_AE_TITLE: ("AE", retrieve_ae_title),
            INSTANCE_AVAILABILITY: ("CS", "ONLINE"),
        }
        parts = [
            *(_part(index, returned) for index, returned in enumerate(query.returns)),
            *(_Part(tag, vr, 0, partial(_constant, text.encode())) for tag, (vr, text) in constants.items()),
        ]
        self._parts = sorted(parts, key=lambda part: part.tag)
        self._columns = [
            *(column(query, returned.attribute) for returned in query.returns),
            character_set_column(query),
        ]
        self._declared = next((name for name in query.character_sets if _is_known(name)), "")

    def __iter__(self) -> Iterator[bytes]:
        limit = self._query.limit
        given = 0
        for page in pages(self._query, self._columns, self._principal):
            for row in page:
                if limit and given == limit:
                    self.limit_reached = True
                    return
                given += 1
                yield self._encoded(row)

    def _encoded(self, row: Row) -> bytes:
        character_set = self._character_set(row)
        to_bytes = _encoder(character_set)
        elements: list[ElementIn] = [(part.tag, part.vr, part.value(row[part.index], to_bytes)) for part in self._parts]
        if character_set:
            elements.insert(0, (SPECIFIC_CHARACTER_SET, "CS", character_set.encode()))
        return encode_elements(elements, self._transfer_syntax_uid)

    def _character_set(self, row: Row) -> str:
        """The first set that loses nothing: the preferred ones, the data's, Unicode; "" where ASCII says it all."""
        asked = len(self._query.returns)
        texts = [text for value in row[:asked] for text in _texts(value) if not text.isascii()]
        if not texts:
            return self._declared
        for name in (*self._query.character_sets, row[asked] or ""):
            if _is_known(name) and all(_encode(text, name) is not None for text in texts):
                return str(name)
        return UNICODE


def _part(index: int, returned: Return) -> _Part:
    attribute = returned.attribute
    if attribute.source is Source.SEQUENCE:
        return _Part(attribute.tag, "SQ", index, partial(_sequence, returned.items))
    if attribute.source is Source.ISSUER:
        return _Part(attribute.tag, "SQ", index, partial(_issuer, returned.items))
    if attribute.vr == "US":
        return _Part(attribute.tag, "US", index, _unsigned)
    return _Part(attribute.tag, attribute.vr, index, _number if attribute.vr == "IS" else _text)


def _constant(value: bytes, _: Any, to_bytes: Encode) -> Value:
    return value


def _text(value: str | None, to_bytes: Encode) -> Value:
    return to_bytes(value) if value else None


def _number(value: str | int | None, to_bytes: Encode) -> Value:
    return None if value is None else to_bytes(str(value))


def _unsigned(value: int | None, to_bytes: Encode) -> Value:
    return None if value is None or value > 0xFFFF else struct.pack("<H", value)


def _sequence(wanted: tuple[int, ...], value: Any, to_bytes: Encode) -> Value:
    return [items.elements(item, to_bytes, dictionary_vr, wanted) for item in value or ()]


def _issuer(wanted: tuple[int, ...], value: str, to_bytes: Encode) -> Value:
    """PS3.3 Table 10-17: HL7v2 Hierarchic Designator."""
    if not value:
        return None
    held = {_LOCAL_NAMESPACE_ENTITY_ID: ("UT", to_bytes(value))}
    return [[(tag, *held.get(tag, (dictionary_vr(tag), b""))) for tag in wanted or held]]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from items.texts(item)


@lru_cache(maxsize=64)
def _encoder(character_set: str) -> Encode:
    sets = tuple(character_set.split("\\"))

    def to_bytes(text: str) -> bytes:
        return text.encode() if text.isascii() else encode(text, sets) or b""

    return to_bytes


def _encode(text: str, character_set: str) -> bytes | None:
    return encode(text, tuple(character_set.split("\\")))


@lru_cache(maxsize=256)
def _is_known(character_set: str) -> bool:
    """Whether it has more than ASCII, as far as we know."""
    known = repertoire(tuple(character_set.split("\\")))
    return known.alone is not None or bool(known.extensions)
