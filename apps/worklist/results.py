"""Rows -> data sets of worklist answers: exactly the keys asked for (PS3.4 K.4.1.3.2)."""

import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from threading import Lock
from time import monotonic
from typing import Any, Final, NamedTuple

from apps.accounts.principal import Principal
from apps.network.answering import BATCH
from apps.worklist import rows
from apps.worklist.attributes import (
    BY_NAME,
    PATHS,
    SCHEDULED_PROCEDURE_STEP_SEQUENCE,
    SPECIFIC_CHARACTER_SET,
    Level,
)
from apps.worklist.query import ON_THE_WIRE, STATUS, Query, Return, Returns
from apps.worklist.rows import HEAD, Row, View
from dicom.answers import Encode, elements, issuer, lossless
from dicom.dicomjson import Json
from dicom.dictionary import dictionary_vr
from dicom.encoding import ElementIn, encode_elements

Others = Mapping[Level, Json]
_Part = Callable[[Sequence[Any], Others, Encode], ElementIn]

_STATION: Final = BY_NAME["scheduled_station_ae_title"]
_CHARACTER_SET: Final = f"{SPECIFIC_CHARACTER_SET:08X}"
_NEVER_EMPTY: Final = frozenset(
    BY_NAME[name].tag for name in ("requested_procedure_code_sequence", "scheduled_protocol_code_sequence")
)
_NOTHING: Final = frozenset({"{}", "[]"})
_REMEMBERED: Final = 8192  # answers of this process
_SHORT: Final = 8192  # bytes of one
_TRUSTED: Final = 10.0  # seconds; so long who changes rows above steps by other means than `entities` may go unseen


class Answers:
    """The answers to a query, encoded, read from the database as they are taken."""

    def __init__(
        self, query: Query, view: View, principal: Principal, *, transfer_syntax_uid: str, limit: int = 0
    ) -> None:
        self.limit_reached = False  # once all are taken: there were more
        self.has_unsupported = bool(query.unsupported)
        self._query, self._view, self._principal, self._limit = query, view, principal, limit
        self._layout = _layout(query.returns, transfer_syntax_uid)
        self._station = rows.station_of(query, view) or ""

    def batches(self) -> Iterator[list[bytes]]:
        """As many as leave in one write."""
        left = self._limit or sys.maxsize
        # Of many steps most were encoded lately: it is enough to know which they are.
        wanted = self._layout.columns if rows.names_few(self._query) else ()
        for page in rows.pages(self._query, self._view, self._principal, wanted=wanted, limit=self._limit):
            shown = self._encoded(page[:left], whole=bool(wanted))
            while batch := list(islice(shown, BATCH)):
                yield batch
            if len(page) > left:
                self.limit_reached = True
                return
            left -= len(page)

    def _encoded(self, page: Sequence[Row], *, whole: bool) -> Iterator[bytes]:
        """Of steps that were not encoded lately the columns are read; one that is gone meanwhile is left out."""
        found, doubtful = self._known(page)
        if doubtful:
            found |= self._known(rows.of_steps(doubtful, ()))[0]
        missing: Iterable[Row] = (row for row in page if row[0] not in found)
        if not whole:
            missing = rows.of_steps([row[0] for row in missing], self._layout.columns)
        unread = {row[0]: row for row in missing}
        for row in page:
            if row[0] in found:
                yield found[row[0]]
            elif row[0] in unread:
                yield self._made(unread[row[0]])

    def _known(self, page: Sequence[Row]) -> tuple[dict[int, bytes], list[int]]:
        """Answers that hold, by step; and the steps whose answer may hold, if nothing above them has changed."""
        found: dict[int, bytes] = {}
        doubtful = []
        trusted = monotonic() - _TRUSTED
        for row, kept in zip(page, _remembered.get(self._layout, page), strict=True):
            if kept is None:
                continue
            if rows.is_whole(row):
                if rows.version(row) == kept.version:
                    found[row[0]] = kept.answer
                    self._keep(row, kept.answer)
            elif rows.is_of_version(row, kept.version):
                if kept.changes == rows.changes(row) and kept.at >= trusted:
                    found[row[0]] = kept.answer
                else:
                    doubtful.append(row[0])
        return found, doubtful

    def _made(self, row: Row) -> bytes:
        answer, lasting = self._layout.encode(row, self._station)
        if lasting and len(answer) <= _SHORT:
            self._keep(row, answer)
        return answer

    def _keep(self, row: Row, answer: bytes) -> None:
        _remembered.put(self._layout, row[0], _Kept(rows.version(row), rows.changes(row), monotonic(), answer))


class _Kept(NamedTuple):
    """An answer, the version of the step that it is of, and when and at which number of changes above steps that was
    so."""

    version: Row
    changes: int | None
    at: float
    answer: bytes


class _Lately:
    """The answers that were used last, so many of them: one of a step for each layout."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[tuple[_Layout, int], _Kept] = OrderedDict()

    def get(self, layout: "_Layout", page: Sequence[Row]) -> list[_Kept | None]:
        kept, found = self._kept, []
        with self._lock:
            for row in page:
                if (one := kept.get((layout, row[0]))) is not None:
                    kept.move_to_end((layout, row[0]))
                found.append(one)
        return found

    def put(self, layout: "_Layout", step: int, answer: _Kept) -> None:
        with self._lock:
            self._kept[layout, step] = answer
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


_remembered = _Lately(_REMEMBERED)


class _Layout:
    """How a row becomes the answer to queries that ask for the same elements."""

    def __init__(self, returns: Returns, transfer_syntax_uid: str) -> None:
        self.columns: list[str] = []
        self._returns = returns
        self._transfer_syntax_uid = transfer_syntax_uid
        self._others: dict[Level, int] = {}
        self._keep_others(Level.STEP)  # where the character set is
        self._station = self._index(_STATION.column)
        self._outside = [self._part(returned) for returned in returns.outside]
        self._step = [self._part(returned) for returned in returns.step or ()]

    def _keep_others(self, level: Level) -> None:
        self._others[level] = self._index(f"{PATHS[level]}other_attributes")

    def _index(self, column: str) -> int:
        """Where in a row its value is."""
        name = rows.columns()[column]
        if name not in self.columns:
            self.columns.append(name)
        return HEAD + self.columns.index(name)

    def _part(self, returned: Return) -> _Part:
        attribute = returned.attribute
        if attribute is None:
            self._keep_others(returned.level)
            return partial(_other, returned, f"{returned.tag:08X}")
        make = _MAKERS.get(attribute.name) or (_codes if attribute.vr == "SQ" else _text)
        return partial(make, returned, attribute.vr, self._index(attribute.column))

    def encode(self, row: Row, station: str) -> tuple[bytes, bool]:
        """The answer, and whether it is the same whoever asks: `station` stands where the step names none."""
        values = list(row)
        names_station = bool(values[self._station])
        if not names_station:
            values[self._station] = station
        others: Others = {level: _json(values[index]) or {} for level, index in self._others.items()}
        answer, character_set = lossless(
            lambda encode: self._elements(values, others, encode),
            preferred=self._returns.character_sets,
            of_data=_text_of(others[Level.STEP].get(_CHARACTER_SET)),
        )
        if character_set:
            answer.append((SPECIFIC_CHARACTER_SET, "CS", character_set.encode()))
            answer.sort(key=_tag)
        return encode_elements(answer, self._transfer_syntax_uid), names_station

    def _elements(self, values: Sequence[Any], others: Others, encode: Encode) -> list[ElementIn]:
        found = _present(part(values, others, encode) for part in self._outside)
        if self._returns.step is not None:
            item = _present(part(values, others, encode) for part in self._step)
            if self._returns.whole_step:
                kept = {tag: entry for tag, entry in others[Level.STEP].items() if tag != _CHARACTER_SET}
                item += elements(kept, encode, dictionary_vr, ())
                item.sort(key=_tag)
            found.append((SCHEDULED_PROCEDURE_STEP_SEQUENCE, "SQ", [item]))
            found.sort(key=_tag)
        return found


def _present(made: Iterable[ElementIn]) -> list[ElementIn]:
    """Without empty sequences of type 1C (PS3.4 Table K.6-1): they have items or are not there."""
    return [element for element in made if element[2] or element[0] not in _NEVER_EMPTY]


_layout = lru_cache(maxsize=256)(_Layout)


def _text(returned: Return, vr: str, index: int, values: Sequence[Any], others: Others, encode: Encode) -> ElementIn:
    value = values[index]
    if not value:
        return returned.tag, vr, None
    return returned.tag, vr, value.encode() if value.isascii() else encode(value)


def _status(returned: Return, vr: str, index: int, values: Sequence[Any], others: Others, encode: Encode) -> ElementIn:
    return returned.tag, vr, encode(ON_THE_WIRE[values[index]])


def _codes(returned: Return, vr: str, index: int, values: Sequence[Any], others: Others, encode: Encode) -> ElementIn:
    items = _json(values[index]) or ()
    return returned.tag, vr, [elements(item, encode, dictionary_vr, returned.items) for item in items]


def _issuer(returned: Return, vr: str, index: int, values: Sequence[Any], others: Others, encode: Encode) -> ElementIn:
    return returned.tag, vr, issuer(values[index], encode, returned.items)


def _other(returned: Return, tag: str, values: Sequence[Any], others: Others, encode: Encode) -> ElementIn:
    entry = others[returned.level].get(tag)
    if entry and entry["vr"] == "SQ":
        items = entry.get("Value", ())
        return returned.tag, "SQ", [elements(item, encode, dictionary_vr, returned.items) for item in items]
    (made,) = elements({tag: entry} if entry else {}, encode, dictionary_vr, (returned.tag,))
    return made


_MAKERS: Final = {STATUS.name: _status, BY_NAME["issuer_of_accession_number"].name: _issuer}


def _json(value: Any) -> Any:
    """A column of JSON as drivers give it: SQLite's as text, a step's without a visit as nothing."""
    if not isinstance(value, str):
        return value
    return None if value in _NOTHING else json.loads(value)


def _text_of(entry: Json | None) -> str:
    return "\\".join(str(value) for value in (entry or {}).get("Value", ()) if value is not None)


def _tag(element: ElementIn) -> int:
    return element[0]
