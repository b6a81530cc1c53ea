"""The walk over a data set up to its pixel data: by offset, window by window, without recursion.

Two hot loops take what is regular; whatever is not (the end of the window, an undefined length, the pixel data, an
unknown VR, disorder) leaves them and is looked at one element at a time.
"""

from collections.abc import Collection

from dicom.cursor import DELIMITERS, FIRST_GROUP, ODD_COST, WINDOW, Cursor, Layout
from dicom.elements import PIXEL_DATA, UNDEFINED
from dicom.errors import InvalidDataSet
from dicom.nesting import Nesting
from dicom.windows import Readable

VALUE_CAP = 4096  # bytes kept of a value; of a sequence, a window

_MOST_WARNINGS = 8
_FLOAT_PIXEL_DATA, _DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00008, 0x7FE00009
_PIXELS = frozenset({_FLOAT_PIXEL_DATA, _DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA})
_BEFORE = (FIRST_GROUP << 16) - 1


def tag_name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


class Scanner:
    """One pass; afterwards `elements`, `layout`, `pixel_offset` and `warnings` hold what was found."""

    __slots__ = (
        "_cursor",
        "_finished",
        "_last",
        "_pixels_seen",
        "_sequences",
        "_stop",
        "_wanted",
        "elements",
        "encapsulated",
        "layout",
        "pixel_offset",
        "warnings",
    )

    def __init__(
        self,
        source: Readable,
        layout: Layout,
        *,
        wanted: Collection[int],
        sequences: Collection[int],
        until: int | None = None,
    ) -> None:
        self._cursor, self._wanted, self._sequences = Cursor(source), wanted, sequences
        self._last, self._finished, self._pixels_seen = _BEFORE, False, False
        self._stop = _FLOAT_PIXEL_DATA if until is None else min(until + 1, _FLOAT_PIXEL_DATA)
        self.layout = layout
        self.elements: dict[int, bytes] = {}
        self.pixel_offset: int | None = None
        self.encapsulated = False
        self.warnings: list[str] = []

    def run(self) -> None:
        """Raises InvalidDataSet when the data set ends within an element."""
        self._begin()
        try:
            while not self._finished and self._cursor.more():
                if self._run_implicit() if self.layout.implicit else self._run_explicit():
                    self._one()
            if not self._finished:
                self._end()
        except InvalidDataSet:
            if not self._pixels_seen:
                raise
            self.warn("What follows the pixel data cannot be read")

    def warn(self, warning: str) -> None:
        if warning not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(warning)

    def _truncated(self, tag: int) -> InvalidDataSet:
        if tag <= _BEFORE:
            return InvalidDataSet("Data set cannot be read from its first element on")
        return InvalidDataSet(f"Data set ends within {tag_name(tag)}", offending_element=tag)

    # What is regular

    def _run_explicit(self) -> bool:
        """Whether it stopped at something that needs a look, not only at the end of the window."""
        cursor, last, wanted, elements, count, odd = self._cursor, self._last, self._wanted, self.elements, 0, True
        buffer, position, end, layout = cursor.buffer, cursor.position, cursor.end, self.layout
        head, u32, short, long, limit = layout.head, layout.u32, layout.short, layout.long, end - 12
        beyond = self._stop
        for count in range(cursor.budget):  # noqa: B007
            if position > limit:
                odd = False
                break
            group, element, vr, length = head(buffer, position)
            tag = group << 16 | element
            if tag <= last or tag >= beyond:
                break
            if vr in short:
                start = position + 8
            elif vr in long and not length:
                (length,) = u32(buffer, position + 8)
                if length == UNDEFINED:
                    break
                start = position + 12
            else:
                break
            stop = start + length
            if tag in wanted:
                if stop > end or length > VALUE_CAP:
                    break
                elements[tag] = buffer[start:stop]
            position, last = stop, tag
        cursor.position, self._last = position, last
        cursor.spend(count + 1)
        return odd

    def _run_implicit(self) -> bool:
        cursor, last, wanted, elements, count, odd = self._cursor, self._last, self._wanted, self.elements, 0, True
        buffer, position, end, head = cursor.buffer, cursor.position, cursor.end, self.layout.implicit_head
        limit, size, beyond = end - 12, cursor.size - cursor.base, self._stop
        for count in range(cursor.budget):  # noqa: B007
            if position > limit:
                odd = False
                break
            group, element, length = head(buffer, position)
            tag = group << 16 | element
            start = position + 8
            stop = start + length
            if tag <= last or tag >= beyond or stop > size or length == UNDEFINED:
                break
            if tag in wanted:
                if stop > end or length > VALUE_CAP:
                    break
                elements[tag] = buffer[start:stop]
            position, last = stop, tag
        cursor.position, self._last = position, last
        cursor.spend(count + 1)
        return odd

    # What is not

    def _begin(self) -> None:
        """Steps over what does not belong into a data set and finds out how it is really encoded."""
        cursor, declared = self._cursor, self.layout
        cursor.load(0)
        if cursor.buffer[128:132] == b"DICM":
            self.warn("File preamble in the data set")
            cursor.position = 132
        while not self._finished and cursor.more() and cursor.tag(declared) <= _BEFORE:
            self._one()
        if self._finished or not cursor.more():
            return
        self.layout = cursor.detect(declared)
        if self.layout is not declared:
            found = "Implicit" if self.layout.implicit else "Explicit"
            order = "Little" if self.layout.little_endian else "Big"
            self.warn(f"Encoded as {found} VR {order} Endian against the transfer syntax")

    def _end(self) -> None:
        """Less than an element is left."""
        cursor = self._cursor
        if cursor.remaining < 0 or cursor.buffer.strip(b"\0"):
            raise self._truncated(self._last)
        if cursor.remaining:
            self.warn("Zeros behind the last element")

    def _one(self) -> None:
        cursor = self._cursor
        cursor.spend(ODD_COST)
        tag = cursor.tag(self.layout)
        if tag >> 16 == DELIMITERS:
            self.warn("Stray item or delimiter")
            cursor.position += 8
            return
        if tag >= self._stop < _FLOAT_PIXEL_DATA:
            self._finished = True
            return
        if not any(cursor.buffer[cursor.position : cursor.position + 8]):
            self.warn("Zeros behind the last element")
            self._finished = True
            return
        try:
            layout, start, length = cursor.form(self.layout)
        except EOFError:
            raise self._truncated(tag) from None
        if tag <= _BEFORE:
            self.warn(f"Group {tag >> 16:04X} in the data set")
        elif tag <= self._last:
            self.warn(f"Elements out of order at {tag_name(tag)}")
        self._last = max(tag, _BEFORE)
        if tag in _PIXELS and not self._pixels_seen:
            self._pixels(tag, layout, start, length)
        elif length == UNDEFINED:
            self._undefined(tag, layout, start)
        else:
            self._defined(tag, start, length)

    def _defined(self, tag: int, start: int, length: int) -> None:
        cursor = self._cursor
        if not cursor.fits(start, length):
            raise self._truncated(tag)
        cursor.position += start
        if tag in self._wanted:
            kept = min(length, WINDOW if tag in self._sequences else VALUE_CAP)
            if kept < length:
                self.warn(f"{tag_name(tag)} is very long")
            if cursor.position + kept > cursor.end:
                cursor.load(cursor.offset)
            self.elements[tag] = cursor.buffer[cursor.position : cursor.position + kept]
        cursor.position += length

    def _undefined(self, tag: int, layout: Layout, start: int) -> None:
        """Keeps the content, without the delimiter, if wanted."""
        cursor, unknown = self._cursor, not layout.implicit and self._cursor.vr() == b"UN"
        cursor.position += start
        if tag in self._wanted and cursor.end - cursor.position < WINDOW // 2:
            cursor.load(cursor.offset)
        window, first, offset = cursor.buffer, cursor.position, cursor.offset
        try:
            stop = first + Nesting(cursor, layout).skip(unknown=unknown) - offset
        except EOFError:
            raise self._truncated(tag) from None
        if tag in self._wanted:
            if stop > len(window):
                self.warn(f"{tag_name(tag)} is very long")
            self.elements[tag] = window[first:stop]

    def _pixels(self, tag: int, layout: Layout, start: int, length: int) -> None:
        cursor = self._cursor
        offset, self.encapsulated = cursor.offset, length == UNDEFINED
        if cursor.sequential:  # nothing can be read from an offset, and what follows would have to be inflated
            self._finished = self._pixels_seen = True
            return
        if length != UNDEFINED:
            self._defined(tag, start, length)
        elif self._ends_with_delimiter():
            self._finished = True
        else:
            self._undefined(tag, layout, start)
        self.pixel_offset, self._pixels_seen = offset, True

    def _ends_with_delimiter(self) -> bool:
        """The usual end of encapsulated pixel data: no need to look at thousands of fragments."""
        delimiter = b"\xfe\xff\xdd\xe0\0\0\0\0" if self.layout.little_endian else b"\xff\xfe\xe0\xdd\0\0\0\0"
        return self._cursor.source.pread(8, self._cursor.size - 8) == delimiter
