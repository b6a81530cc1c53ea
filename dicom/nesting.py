"""Steps over what has no length: sequences nested as deep as they like, counted, not followed."""

from dicom.cursor import DELIMITERS, LAYOUTS, ODD_COST, VR_CODES, Cursor, Layout
from dicom.elements import UNDEFINED

_ITEM, _SEQUENCE_END = 0xE000, 0xE0DD


class Nesting:
    """`depth` is the number of open sequences of undefined length; items are not counted, their ends mean nothing."""

    __slots__ = ("_cursor", "_depth", "_floor", "_layout", "_outer")

    def __init__(self, cursor: Cursor, layout: Layout) -> None:
        self._cursor, self._layout, self._depth = cursor, layout, 1
        # A UN of undefined length has a layout of its own; what was before is valid again at the depth `floor`.
        self._outer, self._floor = layout, 0

    def skip(self, *, unknown: bool) -> int:
        """From the first item on; the cursor ends behind the delimiter. Returns the offset of the delimiter.

        `unknown`: the VR is UN. Raises EOFError when the data set ends first.
        """
        cursor = self._cursor
        if unknown and cursor.more():
            self._layout = self._inner_layout()
        while True:
            if not cursor.more():
                raise EOFError
            odd = self._run_implicit() if self._layout.implicit else self._run_explicit()
            if odd:
                self._one()
            elif self._depth <= self._floor:
                if not self._depth:
                    return cursor.offset - 8
                self._layout, self._floor = self._outer, 0

    def _inner_layout(self) -> Layout:
        """PS3.5 6.2.2: implicit VR little endian; but some write what they know to be explicit."""
        buffer, position = self._cursor.buffer, self._cursor.position
        little_endian = buffer[position : position + 2] != b"\xff\xfe"
        return LAYOUTS[buffer[position + 12 : position + 14] not in VR_CODES, little_endian]

    def _run_explicit(self) -> bool:
        """Whether it stopped at an element that needs a look."""
        cursor, layout, depth, floor, count, odd = self._cursor, self._layout, self._depth, self._floor, 0, False
        buffer, position, limit = cursor.buffer, cursor.position, cursor.end - 12
        head, u32, short, long, un = layout.head, layout.u32, layout.short, layout.long, layout.un
        for count in range(cursor.budget):  # noqa: B007
            if position > limit or depth <= floor:
                break
            group, element, vr, length = head(buffer, position)
            if group == DELIMITERS:
                position += 8
                if element == _SEQUENCE_END:
                    depth -= 1
                elif element == _ITEM and (length := u32(buffer, position - 4)[0]) != UNDEFINED:
                    position += length
            elif vr in short:
                position += 8 + length
            elif vr in long and not length and (vr != un or u32(buffer, position + 8)[0] != UNDEFINED):
                (length,) = u32(buffer, position + 8)
                position += 12
                if length == UNDEFINED:
                    depth += 1
                else:
                    position += length
            else:
                odd = True
                break
        cursor.position, self._depth = position, depth
        cursor.spend(count + 1)
        return odd

    def _run_implicit(self) -> bool:
        cursor, layout, depth, floor, count = self._cursor, self._layout, self._depth, self._floor, 0
        buffer, position, limit, head = cursor.buffer, cursor.position, cursor.end - 12, layout.implicit_head
        for count in range(cursor.budget):  # noqa: B007
            if position > limit or depth <= floor:
                break
            group, element, length = head(buffer, position)
            position += 8
            if group == DELIMITERS and element != _ITEM:
                if element == _SEQUENCE_END:
                    depth -= 1
            elif length != UNDEFINED:
                position += length
            elif group != DELIMITERS:
                depth += 1
        cursor.position, self._depth = position, depth
        cursor.spend(count + 1)
        return False

    def _one(self) -> None:
        cursor = self._cursor
        cursor.spend(ODD_COST)
        layout, start, length = cursor.form(self._layout)
        unknown = not layout.implicit and cursor.vr() == b"UN"
        cursor.position += start
        if length != UNDEFINED:
            cursor.position += length
            return
        if (unknown or layout is not self._layout) and not self._floor and cursor.more():
            self._outer, self._floor = self._layout, self._depth
            self._layout = self._inner_layout() if unknown else layout
        self._depth += 1
