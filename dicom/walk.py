"""A data set walked element by element, however deep and however large: no recursion, no value read unless asked for.

Survives what real files hold (group lengths, stray delimiters, implicit VR inside explicit sequences, UN of undefined
length); what would have to be guessed is an InvalidDataSet.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from dicom.dictionary import dictionary_vr
from dicom.elements import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    VRS,
)
from dicom.errors import InvalidDataSet
from dicom.windows import Readable, _window_bits

WINDOW: Final = 1 << 16
INFLATED_LIMIT: Final = 1 << 32  # bytes; a data set of more is not inflated

DATA_SET_START, ELEMENT, ENCAPSULATED, SEQUENCE, SEQUENCE_END, ITEM_START, ITEM_END = range(7)
# Kind, tag, VR (ambiguous ones as the dictionary has them), offset and length of the value, little endian or not.
Token = tuple[int, int, str, int, int, bool]
Head = tuple[str, int, int]

_FORMS: Final = {vr.encode("ascii"): (vr, vr in LONG_VRS) for vr in VRS}
_EXPLICIT: Final = {True: struct.Struct("<HH2sHI").unpack_from, False: struct.Struct(">HH2sHI").unpack_from}
_IMPLICIT: Final = {True: struct.Struct("<HHI").unpack_from, False: struct.Struct(">HHI").unpack_from}


class Walker:
    """`tokens` walks the data set once; `read` gives the value of a token, cheaply while it is the current one."""

    def __init__(self, window: Readable, transfer_syntax_uid: str, *, ahead: int = WINDOW) -> None:
        """The window shows the data set inflated, if its transfer syntax is the deflated one. `ahead`: bytes read at
        once."""
        self._window, self._ahead = window, ahead
        self._buffer, self._start, self._filled = b"", 0, 0
        self._at, self._end = 0, window.size
        self._kind, self._open, self._pixels_passed = DATA_SET_START, False, False
        self._little = transfer_syntax_uid != EXPLICIT_BIG
        self._implicit = transfer_syntax_uid == IMPLICIT_LITTLE
        self._step_over_preamble()
        if self._little and self._end - self._at >= 8:
            self._implicit = not self._has_explicit_vr()  # WIRE 9: as it is, not as it should be
        self._levels: list[tuple[int, int, bool, bool, bool]] = []

    def _step_over_preamble(self) -> None:
        """Of a file that was sent as it is (WIRE 9), and its file meta information."""
        self._near(132)
        if self._buffer[128:132] != b"DICM":
            return
        self._at = 132
        while self._at < self._end:
            group, _, letters, length, long_length = _EXPLICIT[True](self._buffer, self._near(12))
            form = _FORMS.get(letters)
            if group != 0x0002 or form is None:
                return
            self._at += 12 + long_length if form[1] else 8 + length

    @property
    def implicit(self) -> bool:
        """What the current level is really encoded in."""
        return self._implicit

    @property
    def little(self) -> bool:
        return self._little

    @property
    def depth(self) -> int:
        return len(self._levels)

    @property
    def position(self) -> int:
        """Where the next token begins."""
        return self._at

    def skip(self, raw: bytes) -> bool:
        """Past these bytes, between two elements, if they are what comes next."""
        at = self._at - self._start
        if at < 0 or at + len(raw) > self._filled:
            at = self._near(len(raw))
        if not raw or at + len(raw) > self._filled or not self._buffer.startswith(raw, at):
            return False
        self._at += len(raw)
        return True

    def tokens(self) -> Iterator[Token]:
        try:
            yield from self._tokens()
        except InvalidDataSet:
            if self._levels or not self._pixels_passed:
                raise  # what follows the pixel data of the image and is no data set says nothing, as in the scan

    def _tokens(self) -> Iterator[Token]:
        while True:
            if self._at >= self._end:
                if not self._levels:
                    return
                yield self._close_at_end()
                continue
            token = self._in_sequence() if self._kind == SEQUENCE else self._in_data_set()
            if token:
                yield token

    def read(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at >= 0 and at + length <= self._filled:
            return self._buffer[at : at + length]
        value = self._window.pread(length, offset)
        if len(value) < length:
            raise InvalidDataSet("the data set is cut short")
        return value

    def _near(self, size: int) -> int:
        """Where the current position is in the buffer, with at least `size` bytes after it, zeros beyond the end."""
        at = self._at - self._start
        if at < 0 or at + size > self._filled:
            data = self._window.pread(max(size, self._ahead), self._at)
            self._buffer, self._start, self._filled, at = data + b"\0" * 16, self._at, len(data), 0
        return at

    def _close_at_end(self) -> Token:
        if self._open and self._kind == SEQUENCE:
            raise InvalidDataSet("the data set ends inside a sequence")
        return self._close()  # also an item whose delimiter is missing, at the end of its sequence

    def _close(self) -> Token:
        kind = ITEM_END if self._kind == ITEM_START else SEQUENCE_END
        self._kind, self._end, self._open, self._implicit, self._little = self._levels.pop()
        return kind, 0, "", self._at, 0, self._little

    def _descend(self, kind: int, length: int) -> None:
        self._levels.append((self._kind, self._end, self._open, self._implicit, self._little))
        self._kind, self._open = kind, length == UNDEFINED
        if length != UNDEFINED:
            self._end = self._at + length

    def _in_sequence(self) -> Token | None:
        at = self._near(8)
        group, number, length = _IMPLICIT[self._little](self._buffer, at)
        tag = group << 16 | number
        self._at += 8
        if tag == SEQUENCE_DELIMITATION:
            return self._close() if self._open else None
        if tag == ITEM_DELIMITATION:
            return None
        if tag != ITEM or self._at + (0 if length == UNDEFINED else length) > self._end:
            raise InvalidDataSet("a sequence holds what is no item")
        self._descend(ITEM_START, length)
        if not self._implicit and length >= 8 and not self._has_explicit_vr() and not self._at_delimiter():
            self._implicit = True  # explicit outside, implicit inside: private sequences of some vendors
        return ITEM_START, ITEM, "", self._at, length, self._little

    def _in_data_set(self) -> Token | None:
        at = self._near(12)
        left = self._end - self._at
        if left < 8:
            self._leave_padding(at, left)
            return None
        if self._implicit:
            group, number, length = _IMPLICIT[self._little](self._buffer, at)
            vr, head = "", 8
            if length > left - 8 and length != UNDEFINED and self._buffer[at + 4 : at + 6] in _FORMS:
                vr, head, length = self._unusual_header(at)  # this one element is in explicit VR
        else:
            group, number, letters, length, long_length = _EXPLICIT[self._little](self._buffer, at)
            form = _FORMS.get(letters)
            if form is None or (form[1] and length):
                vr, head, length = self._unusual_header(at)
            elif form[1]:
                vr, head, length = form[0], 12, long_length
            else:
                vr, head = form[0], 8
        tag = group << 16 | number
        if group == 0xFFFE:
            return self._delimiter(tag)
        self._at += head
        if length > self._end - self._at or length == UNDEFINED:
            return self._without_length(tag, vr, length)
        if (vr or dictionary_vr(tag)) == "SQ" and self._holds_items(length):
            return self._sequence(tag, length)
        offset, self._at = self._at, self._at + length
        if tag == PIXEL_DATA and not self._levels:
            self._pixels_passed = True
        return ELEMENT, tag, vr or dictionary_vr(tag), offset, length, self._little

    def _leave_padding(self, at: int, left: int) -> None:
        if self._levels or self._buffer[at : at + left].strip(b"\0"):
            raise InvalidDataSet("the data set ends inside the head of an element")
        self._at = self._end

    def _unusual_header(self, at: int) -> Head:
        """VR, size of the head and length of an element whose VR is none that we know, is not there, or has not the
        length that belongs to it: the likeliest, as the scan for the index has it (`Cursor.form`)."""
        group, number, letters, short, long = _EXPLICIT[self._little](self._buffer, at)
        implicit: Head = "", 8, _IMPLICIT[self._little](self._buffer, at)[2]
        if group == 0xFFFE:
            return implicit
        vr, is_long = _FORMS.get(letters, ("UN", True))
        if letters in _FORMS:
            heads = [(vr, 12, long), (vr, 8, short)] if is_long else [(vr, 8, short)]
        else:
            # PS3.5 6.2.2: VRs to come have the long form, whose two reserved bytes are zero.
            heads = [(vr, 8, short)] if short else [(vr, 12, long), (vr, 8, 0)]
            heads = [*heads, implicit] if letters.isalpha() else [implicit, *heads]
        fitting = [head for head in heads if head[2] == UNDEFINED or head[2] <= self._end - self._at - head[1]]
        return next((head for head in fitting if self._continues(group << 16 | number, head)), (fitting or heads)[0])

    def _continues(self, tag: int, head: Head) -> bool:
        """Whether what would follow looks like an element."""
        vr, size, length = head
        after = self._at + size + (0 if length == UNDEFINED else length)
        if after == self._end:
            return True
        if after + 8 > self._end:
            return False
        inside = 0 <= after - self._start <= self._filled - 8
        if not inside and isinstance(self._window, RewindingInflation):
            return False  # it would have to be inflated once more
        group, number, letters = _EXPLICIT[self._little](self.read(after, 8) + b"\0" * 4, 0)[:3]
        if length == UNDEFINED or group == 0xFFFE:
            return bool(group == 0xFFFE)
        return group << 16 | number > tag and (not vr or letters in _FORMS)

    def _delimiter(self, tag: int) -> Token | None:
        if tag == ITEM_DELIMITATION and self._kind == ITEM_START and self._open:
            self._at += 8
            return self._close()
        if tag in (SEQUENCE_DELIMITATION, ITEM) and self._kind == ITEM_START and self._open:
            return self._close()  # the item's own delimiter is missing
        if tag == ITEM:
            raise InvalidDataSet("an item outside of a sequence")
        self._at += 8  # after a level of known length, where none belongs
        return None

    def _without_length(self, tag: int, vr: str, length: int) -> Token:
        if length != UNDEFINED:
            raise InvalidDataSet("the value is cut short", offending_element=tag)
        if tag == PIXEL_DATA or vr in ("OB", "OW"):
            offset = self._at
            self._skip_fragments(tag)
            self._pixels_passed = self._pixels_passed or (tag == PIXEL_DATA and not self._levels)
            return ENCAPSULATED, tag, vr or "OB", offset, self._at - offset, self._little
        token = self._sequence(tag, length)
        if vr == "UN":
            self._implicit, self._little = True, True  # PS3.5 6.2.2 note 1
        return token

    def _sequence(self, tag: int, length: int) -> Token:
        self._descend(SEQUENCE, length)
        return SEQUENCE, tag, "SQ", self._at, length, self._little

    def _skip_fragments(self, tag: int) -> None:
        while True:
            at = self._near(8)
            group, number, length = _IMPLICIT[self._little](self._buffer, at)
            self._at += 8
            if self._at > self._end:
                raise InvalidDataSet("the compressed pixel data is cut short", offending_element=tag)
            if group << 16 | number == SEQUENCE_DELIMITATION:
                return
            if group << 16 | number != ITEM or length > self._end - self._at:
                raise InvalidDataSet("the compressed pixel data is cut short", offending_element=tag)
            self._at += length

    def _holds_items(self, length: int) -> bool:
        """What is an SQ by its VR and begins otherwise is opaque."""
        if length == 0:
            return True
        at = self._near(8)
        group, number, _ = _IMPLICIT[self._little](self._buffer, at)
        return length >= 8 and group << 16 | number in (ITEM, SEQUENCE_DELIMITATION)

    def _has_explicit_vr(self) -> bool:
        at = self._near(6)
        return all(0x41 <= letter <= 0x5A for letter in self._buffer[at + 4 : at + 6])

    def _at_delimiter(self) -> bool:
        at = self._near(8)
        return int(_IMPLICIT[self._little](self._buffer, at)[0]) == 0xFFFE


class RewindingInflation:
    """A deflated data set as a window: read forwards, or again from the start. Memory is bounded, whatever it holds."""

    _KEPT: Final = 4 * WINDOW  # how far back a reader may step without starting again

    def __init__(self, source: Readable) -> None:
        """Inflates once to learn the size. Raises InvalidDataSet."""
        self._source = source
        self._rewind()
        while self._inflate():
            if self._end > INFLATED_LIMIT:
                raise InvalidDataSet("the deflated data set is too large")
        self.size = self._end

    def pread(self, size: int, offset: int, /) -> bytes:
        if offset < self._end - len(self._kept):
            self._rewind()
        parts: list[bytes] = []
        while size > 0:
            if offset >= self._end:
                if not self._inflate():
                    break
                continue
            at = offset - (self._end - len(self._kept))
            part = bytes(self._kept[at : at + size])
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def _rewind(self) -> None:
        self._inflater = zlib.decompressobj(wbits=_window_bits(self._source.pread(2, 0)))
        self._kept = bytearray()  # the last bytes before _end
        self._at, self._end, self._pending = 0, 0, b""

    def _inflate(self) -> bool:
        """Some more bytes; False at the end."""
        if self._inflater.eof:
            return False
        if not self._pending:
            self._pending = self._source.pread(WINDOW, self._at)
            self._at += len(self._pending)
        try:
            data = self._inflater.decompress(self._pending, WINDOW)
        except zlib.error:
            raise InvalidDataSet("the data set is not deflated as its transfer syntax says") from None
        if not self._pending and not data and not self._inflater.eof:
            raise InvalidDataSet("the deflated data set is cut short")
        self._pending = self._inflater.unconsumed_tail
        if len(self._kept) > self._KEPT:
            del self._kept[: -self._KEPT // 2]
        self._kept += data
        self._end += len(data)
        return True


def window_of(source: Readable, transfer_syntax_uid: str) -> Readable:
    """The source itself, or the inflated view of a deflated one."""
    return RewindingInflation(source) if transfer_syntax_uid == DEFLATED_LITTLE else source
