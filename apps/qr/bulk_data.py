"""One value of a stored instance as bytes (PS3.18 10.4.1.1.5): what a Bulk Data URI of its metadata leads to."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, Final, Self

from apps.qr.in_part import InPart
from apps.qr.retrieve import Stored
from apps.storage import archive
from apps.storage.archive import Damaged
from apps.storage.encoded import encoded
from dicom.dicomjson import Json
from dicom.dimse import FileSlice
from dicom.elements import EXPLICIT_LITTLE, UNITS, swapped
from dicom.errors import CannotReencode, DicomError, InvalidDataSet
from dicom.walk import ELEMENT, ENCAPSULATED, ITEM_START, SEQUENCE, SEQUENCE_END, Token, Walker, window_of
from dicom.windows import FileWindow

_CHUNK: Final = 1 << 18  # a multiple of every unit of swapping
_LARGEST_UNIT: Final = 8
_WAY = re.compile(r"([0-9A-Fa-f]{8}/\d{1,6}/)*[0-9A-Fa-f]{8}", re.ASCII)


class NoSuchValue(DicomError):
    """The instance has no element there."""

    http_status = 404


def parse_way(text: str) -> list[int]:
    """`00081110/0/00420011`: tag, number of the item, tag. Raises NoSuchValue."""
    if not _WAY.fullmatch(text):
        raise NoSuchValue("A value is named by its tag, with sequences and numbers of items before it")
    return [int(step, 10 if number % 2 else 16) for number, step in enumerate(text.split("/"))]


def addresses(dataset: Json) -> Iterator[str]:
    """The Bulk Data URIs of metadata, as they come."""
    waiting: list[Any] = [dataset]
    while waiting:
        for element in waiting.pop().values():
            if "BulkDataURI" in element:
                yield element["BulkDataURI"]
            elif element["vr"] == "SQ":
                waiting.extend(reversed(element.get("Value", [])))


def find(walker: Walker, way: list[int]) -> Token | None:
    """The element that a way leads down to, unless it is a sequence itself. Raises InvalidDataSet."""
    here: list[int] = []
    for token in walker.tokens():
        kind, tag = token[:2]
        if kind in (ELEMENT, ENCAPSULATED):
            if [*here, tag] == way:
                return token
        elif kind == SEQUENCE:
            here += [tag, -1]
        elif kind == ITEM_START:
            here[-1] += 1
        elif kind == SEQUENCE_END:
            del here[-2:]
    return None


class BulkValue(InPart):
    """In little endian; compressed pixel data decoded, unless `as_stored`: then with the items it is made of, and
    `transfer_syntax_uid` says how it is compressed."""

    def __init__(self, row: Stored, way: list[int], *, as_stored: bool = False) -> None:
        """Raises NoSuchValue, CannotReencode, Gone, Damaged, OSError."""
        self.transfer_syntax_uid = ""
        with ExitStack() as stack:
            opened = stack.enter_context(archive.open(row))
            syntax, window = opened.transfer_syntax_uid, FileWindow(opened.fd, opened.dataset_offset, opened.size)
            try:
                self._walker = Walker(window_of(window, syntax), syntax)
                token = find(self._walker, way)
            except InvalidDataSet as error:
                raise Damaged(error) from error
            if token and token[0] == ENCAPSULATED and as_stored:
                self.transfer_syntax_uid = syntax
            elif token and token[0] == ENCAPSULATED:
                self._walker = Walker(_decoded(stack, opened), EXPLICIT_LITTLE)
                token = find(self._walker, way)
            if token is None:
                raise NoSuchValue("There is no such value in this instance")
            _, _, vr, self._offset, size, little = token
            self._unit = 0 if little else UNITS.get(vr, 0)
            self._keep_open(stack, size)

    def framed(self, before: bytes, after: bytes) -> Self:
        """Iterate over these bytes around it."""
        self._pieces = chain([before], self._pieces, [after])
        return self

    def _read(self, start: int, stop: int) -> Iterator[bytes]:
        at = start - start % _LARGEST_UNIT  # numbers are swapped whole
        end = min(self.size, stop + -stop % _LARGEST_UNIT)
        while at < stop:
            piece = self._walker.read(self._offset + at, min(_CHUNK, end - at))
            piece = swapped(piece, self._unit) if self._unit else piece
            yield piece[max(0, start - at) : stop - at]
            at += len(piece)


def _decoded(stack: ExitStack, opened: archive.OpenInstance) -> FileWindow:
    data = stack.enter_context(encoded(opened, EXPLICIT_LITTLE))
    if not isinstance(data, FileSlice):
        raise CannotReencode("This is not compressed pixel data")
    return FileWindow(data.fd, data.offset, data.size)
