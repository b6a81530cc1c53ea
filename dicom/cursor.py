"""A place in a data set: a window of its bytes, and how the element there is encoded, also when not as promised."""

from struct import Struct

from dicom.elements import LONG_VRS, SHORT_VRS, UNDEFINED, VRS
from dicom.errors import InvalidDataSet
from dicom.windows import InflatedWindow, Readable

WINDOW = 1 << 16
ELEMENT_BUDGET = 20_000_000  # some seconds; nothing real has as many before its pixels
ODD_COST = 30  # of an element that has to be looked at

DELIMITERS = 0xFFFE
FIRST_GROUP = 0x0008  # groups below belong to commands and file meta information
VR_CODES = frozenset(vr.encode() for vr in VRS)


class Layout:
    """How elements are encoded; VRs are compared as the 16-bit numbers they are in this byte order."""

    __slots__ = ("head", "implicit", "implicit_head", "little_endian", "long", "short", "u32", "un")

    def __init__(self, *, implicit: bool, little_endian: bool) -> None:
        self.implicit, self.little_endian = implicit, little_endian
        order = "<" if little_endian else ">"
        self.head = Struct(f"{order}HHHH").unpack_from
        self.implicit_head = Struct(f"{order}HHI").unpack_from
        self.u32 = Struct(f"{order}I").unpack_from
        number = Struct(f"{order}H").unpack
        self.short = frozenset(number(vr.encode())[0] for vr in SHORT_VRS)
        self.long = frozenset(number(vr.encode())[0] for vr in LONG_VRS)
        self.un: int = number(b"UN")[0]


LAYOUTS = {
    (implicit, little_endian): Layout(implicit=implicit, little_endian=little_endian)
    for implicit in (False, True)
    for little_endian in (False, True)
}

# An element's encoding, where its value starts (counted from its tag), its length.
Form = tuple[Layout, int, int]


class Cursor:
    """Reads forward only, `WINDOW` bytes at a time; `position` counts from `base`, the offset of `buffer`."""

    __slots__ = ("base", "budget", "buffer", "end", "position", "sequential", "size", "source")

    def __init__(self, source: Readable) -> None:
        self.source, self.size = source, source.size
        self.sequential = isinstance(source, InflatedWindow)
        self.buffer, self.base, self.position, self.end = b"", 0, 0, 0
        self.budget = ELEMENT_BUDGET

    @property
    def offset(self) -> int:
        return self.base + self.position

    @property
    def remaining(self) -> int:
        """Negative when an element reached beyond the end."""
        return self.size - self.base - self.position

    def load(self, offset: int) -> None:
        self.buffer = self.source.pread(WINDOW, offset)
        self.base, self.position, self.end = offset, 0, len(self.buffer)
        self.size = self.source.size
        if self.end < WINDOW and offset + self.end < self.size:  # a file shorter than it was said to be
            self.size = offset + self.end

    def more(self) -> bool:
        """Whether an element can start here; then twelve bytes can be read, padded at the end of the data set."""
        if self.position + 12 <= self.end:
            return True
        self.load(self.offset)
        if self.remaining < 8:
            return False
        if self.end < 12:
            self.buffer, self.end = self.buffer.ljust(12, b"\0"), 12
        return True

    def spend(self, elements: int) -> None:
        self.budget -= elements
        if self.budget <= 0:
            raise InvalidDataSet("Data set has too many elements")

    def tag(self, layout: Layout) -> int:
        group, element, _, _ = layout.head(self.buffer, self.position)
        return int(group) << 16 | int(element)

    def vr(self) -> bytes:
        return self.buffer[self.position + 4 : self.position + 6]

    def fits(self, start: int, length: int) -> bool:
        return self.offset + start + length <= self.size

    def detect(self, declared: Layout) -> Layout:
        """Takes VR letters and byte order from the first element where they contradict what is declared."""
        group, little = self.tag(declared) >> 16, declared.little_endian
        if group > 0xFF and not group & 0xFF:
            little = not little
        implicit = self.vr() not in VR_CODES and (declared.implicit or self._is_implicit(LAYOUTS[True, little]))
        return LAYOUTS[implicit, little]

    def _is_implicit(self, layout: Layout) -> bool:
        length = layout.u32(self.buffer, self.position + 4)[0]
        return self._continues(self.tag(layout), (layout, 8, length))

    def form(self, layout: Layout) -> Form:
        """The likeliest encoding of the element here; raises EOFError when none fits into the data set."""
        forms = self._forms(layout)
        if len(forms) == 1:
            return forms[0]
        tag, fitting = self.tag(layout), []
        for form in forms:
            if form[2] == UNDEFINED or self.fits(form[1], form[2]):
                fitting.append(form)
                if self._continues(tag, form):
                    return form
        if not fitting:
            raise EOFError
        return fitting[0]

    def _forms(self, layout: Layout) -> list[Form]:
        """The likely ones first; one where there is no doubt."""
        explicit, buffer, position = LAYOUTS[False, layout.little_endian], self.buffer, self.position
        group, _, number, length = explicit.head(buffer, position)
        implicit_form = LAYOUTS[True, layout.little_endian], 8, explicit.u32(buffer, position + 4)[0]
        long_form = explicit, 12, explicit.u32(buffer, position + 8)[0]
        short_form = explicit, 8, length
        if layout.implicit and group >= FIRST_GROUP:
            if self.vr() not in VR_CODES or implicit_form[2] == UNDEFINED or self.fits(8, implicit_form[2]):
                return [implicit_form]
            return [short_form] if number in explicit.short else [long_form, short_form]
        if number in explicit.short:
            return [short_form]
        if number in explicit.long:
            # Reserved bytes in use: written with 16 bits, as old programs did, or just not cleared.
            return [long_form, short_form] if length else [long_form]
        # PS3.5 6.2: a VR of the future has 32 bits; those of the past and of mistakes are often short.
        explicit_forms = [short_form] if length else [long_form, short_form]
        return [*explicit_forms, implicit_form] if self.vr().isalpha() else [implicit_form, *explicit_forms]

    def _continues(self, tag: int, form: Form) -> bool:
        """Whether what would follow looks like an element."""
        layout, start, length = form
        offset = self.position + start + (0 if length == UNDEFINED else length)
        if self.base + offset == self.size:
            return True
        following = self.buffer[offset : offset + 8]
        if len(following) < 8 and not self.sequential:
            following = self.source.pread(8, self.base + offset)
        if len(following) < 8:
            return False
        group, element, vr, _ = layout.head(following, 0)
        if length == UNDEFINED or group == DELIMITERS:
            return bool(group == DELIMITERS)
        if (group << 16 | element) <= tag:
            return False
        return layout.implicit or vr in layout.short or vr in layout.long
