"""Rows -> data sets of query answers: exactly the keys asked for, and those that PS3.4 C.4.1.1.3.2 adds."""

import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from apps.accounts.principal import Principal
from apps.network.answering import BATCH
from apps.qr.attributes import (
    INSTANCE_AVAILABILITY,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    Source,
)
from apps.qr.query import Query, Return
from apps.qr.rows import Row, character_set_column, column, pages
from dicom.answers import Encode, elements, issuer, lossless
from dicom.dictionary import dictionary_vr
from dicom.encoding import ElementIn, encode_elements

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
        self.has_unsupported = bool(query.unsupported)
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

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self.batches())

    def batches(self) -> Iterator[list[bytes]]:
        """As many as leave in one write."""
        left = self._query.limit or sys.maxsize
        for page in pages(self._query, self._columns, self._principal):
            for at in range(0, min(left, len(page)), BATCH):
                yield [self._encoded(row) for row in page[at : min(at + BATCH, left)]]
            if len(page) > left:
                self.limit_reached = True
                return
            left -= len(page)

    def _encoded(self, row: Row) -> bytes:
        def made(to_bytes: Encode) -> list[ElementIn]:
            return [(part.tag, part.vr, part.value(row[part.index], to_bytes)) for part in self._parts]

        of_data = row[len(self._query.returns)] or ""
        answer, character_set = lossless(made, preferred=self._query.character_sets, of_data=of_data)
        if character_set:
            answer.insert(0, (SPECIFIC_CHARACTER_SET, "CS", character_set.encode()))
        return encode_elements(answer, self._transfer_syntax_uid)


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
    return [elements(item, to_bytes, dictionary_vr, wanted) for item in value or ()]


def _issuer(wanted: tuple[int, ...], value: str, to_bytes: Encode) -> Value:
    return issuer(value, to_bytes, wanted)
