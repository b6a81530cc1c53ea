"""Matching keys of a query (PS3.4 C.2.2.2), parsed once into frozen values that every evaluator understands.

A key says what it asks for, not how it is looked up: `apps.lookups` makes database conditions of it, `matches` below
evaluates it in memory. Texts are compared as they are; only person names are folded (`dicom.values.name_key`).
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final

from dicom import moments
from dicom.errors import InvalidValue
from dicom.moments import Moment
from dicom.values import clean_uid, is_uid, name_groups, name_key

Scalar = str | int | float


@dataclass(frozen=True, slots=True)
class Universal:
    """Everything matches, an absent value too (PS3.4 C.2.2.2.3)."""


@dataclass(frozen=True, slots=True)
class Empty:
    """Only an absent or empty value matches (PS3.4 C.2.2.2.7)."""


@dataclass(frozen=True, slots=True)
class Exact:
    """One value (PS3.4 C.2.2.2.1): text as it is, integers and decimals as numbers, AT as a tag."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`*` stands for any characters or none, `?` for one; everything else is literal (PS3.4 C.2.2.2.4)."""

    pattern: str

    @property
    def prefix(self) -> str:
        """The literal text before the first wild card: an index narrows by it."""
        return _FIRST_WILDCARD.split(self.pattern, maxsplit=1)[0]

    @property
    def is_prefix(self) -> bool:
        """The prefix says it all: `SMITH*`."""
        return self.pattern == f"{self.prefix}*"

    def fits(self, text: str) -> bool:
        """Whether the whole text is of this pattern; no pattern takes more than its length times the text's."""
        first, *rest = self.pattern.split("*")
        if not rest:
            return _literal(first).fullmatch(text) is not None
        found = _literal(first).match(text)
        for part in rest[:-1]:
            found = found and _literal(part).search(text, found.end())
        start = len(text) - len(rest[-1])
        return found is not None and start >= found.end() and _literal(rest[-1]).match(text, start) is not None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A list of UIDs (PS3.4 C.2.2.2.2), or of other single values (C.2.2.2.8)."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these keys: a list of values some of which are patterns or ranges; never nested in another Either."""

    keys: tuple["Key", ...]


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included, None = open (PS3.4 C.2.2.2.5).

    Dates for DA, times for TM, datetimes for DT (aware if the key names its offset from UTC). A single DA, TM or DT is
    the range its precision covers: TM `10` is 10:00:00 to 10:59:59.999999. Nothing matches if `low` is after `high`.
    """

    low: Moment | None
    high: Moment | None


@dataclass(frozen=True, slots=True)
class Name:
    """A key for each component group: alphabetic, ideographic, phonetic (PS3.5 6.2.1), in folded form (`name_key`)."""

    groups: tuple["Key", "Key", "Key"]


@dataclass(frozen=True, slots=True)
class Sequence:
    """All these keys (tag, key) match in one and the same item (PS3.4 C.2.2.2.6)."""

    keys: tuple[tuple[int, "Key"], ...]


Key = Universal | Empty | Exact | Wildcard | AnyOf | Either | Range | Name | Sequence

UNIVERSAL: Final = Universal()
# PS3.4 C.2.2.2.4: what is neither date, time, number, age, UID nor binary.
WILDCARD_VRS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"})
# PS3.5 6.2: a backslash belongs to the text, leading spaces are significant.
SINGLE_VALUE_VRS: Final = frozenset({"LT", "ST", "UR", "UT"})
MAXIMUM_PATTERN: Final = 1024  # characters; databases refuse patterns without bounds

_FIRST_WILDCARD = re.compile(r"[*?]")
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER_BOUNDS: Final = {
    "IS": (-(2**31), 2**31 - 1),
    "SL": (-(2**31), 2**31 - 1),
    "SS": (-(2**15), 2**15 - 1),
    "SV": (-(2**63), 2**63 - 1),
    "UL": (0, 2**32 - 1),
    "US": (0, 2**16 - 1),
    "UV": (0, 2**64 - 1),
}
# Scripts that a name's ideographic or phonetic group is written in: Hangul, CJK, kana, half and full width forms.
_EAST_ASIAN = re.compile("[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def _literal(part: str) -> re.Pattern[str]:
    return re.compile(".".join(re.escape(text) for text in part.split("?")), re.DOTALL)


def parse(
    vr: str, value: str | Iterable[Iterable[tuple[int, "Key"]]], *, tag: int | None = None, empty_value: bool = False
) -> Key:
    """The key that `value` asks for: decoded text, values separated by backslashes; for SQ its items as (tag, key).

    `empty_value`: Empty Value Matching was negotiated, `""` asks for entities without a value. Raises InvalidValue.
    """
    if not isinstance(value, str):
        return _sequence(value)
    values = [value] if vr in SINGLE_VALUE_VRS else value.split("\\")
    texts = [text for text in (v.rstrip(" \0") if vr in SINGLE_VALUE_VRS else v.strip(" \0") for v in values) if text]
    if empty_value and texts == ['""']:
        return Empty()
    try:
        return either(_single(vr, text) for text in texts) if texts else UNIVERSAL
    except InvalidValue as error:
        raise InvalidValue(str(error), tag=tag) from None


def either(keys: Iterable[Key]) -> Key:
    """One key for what matches any of them, in its simplest form."""
    parts = dict.fromkeys(part for key in keys for part in (key.keys if isinstance(key, Either) else (key,)))
    if UNIVERSAL in parts or not parts:
        return UNIVERSAL
    if len(parts) == 1:
        return next(iter(parts))
    exact = tuple(key.value for key in parts if isinstance(key, Exact))
    return AnyOf(exact) if len(exact) == len(parts) else Either(tuple(parts))


def combined(dates: Range, times: Range) -> Range:
    """A date key and a time key read as one range of moments (PS3.4 C.2.2.2.5.4): 5 July 10:00 to 7 July 18:00."""
    low = datetime.combine(dates.low, _time_of(times.low, time.min)) if isinstance(dates.low, date) else None
    high = datetime.combine(dates.high, _time_of(times.high, time.max)) if isinstance(dates.high, date) else None
    return Range(low, high)


def _time_of(moment: Moment | None, otherwise: time) -> time:
    return moment if isinstance(moment, time) else otherwise


def _single(vr: str, text: str) -> Key:
    if "\0" in text:
        raise InvalidValue("a NUL inside the value")
    if not text.strip("*"):
        return UNIVERSAL  # what it means is plain in every VR, though only WILDCARD_VRS have it
    if vr == "PN":
        return _name(text)
    if vr in WILDCARD_VRS:
        return _pattern(text)
    parser = _PARSERS.get(vr)
    if parser is None:
        raise InvalidValue(f"an attribute of VR {vr[:2]} cannot be matched by value")
    return parser(text)


def _pattern(text: str) -> Key:
    if not _FIRST_WILDCARD.search(text):
        return Exact(text)
    pattern = re.sub(r"\*+", "*", text)
    if pattern == "*":
        return UNIVERSAL
    if len(pattern) > MAXIMUM_PATTERN:
        raise InvalidValue("the pattern is too long")
    return Wildcard(pattern)


def _name(text: str) -> Key:
    # PS3.5 6.2.1.1: up to three component groups; a wild card spans components, never groups.
    alphabetic, ideographic, phonetic = (_name_group(group) for group in name_groups(text))
    if "=" not in text and _EAST_ASIAN.search(text):
        # A client that types ideographs means the group that holds them, wherever the sender put it.
        return either(
            Name(groups)
            for groups in (
                (alphabetic, UNIVERSAL, UNIVERSAL),
                (UNIVERSAL, alphabetic, UNIVERSAL),
                (UNIVERSAL, UNIVERSAL, alphabetic),
            )
        )
    if alphabetic == ideographic == phonetic == UNIVERSAL:
        return UNIVERSAL
    return Name((alphabetic, ideographic, phonetic))


def _name_group(group: str) -> Key:
    pattern = name_key(group)
    if not pattern:
        return UNIVERSAL
    keys = [_pattern(pattern)]
    # Trailing empty components are not written: `SMITH^*` asks for SMITH too, which stands for SMITH^.
    while pattern.endswith("^*"):
        pattern = pattern[:-2].rstrip("^")
        keys.append(_pattern(pattern))
    return either(keys)


def _uid(text: str) -> Key:
    uid = clean_uid(text)
    if not is_uid(uid):
        raise InvalidValue("not a UID")
    return Exact(uid)


def _integer(vr: str) -> Callable[[str], Key]:
    low, high = _INTEGER_BOUNDS[vr]

    def parse_integer(text: str) -> Key:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise InvalidValue("not an integer of its VR")
        return Exact(int(text))

    return parse_integer


def _decimal(text: str) -> Key:
    if not _DECIMAL.fullmatch(text) or not math.isfinite(float(text)):
        raise InvalidValue("not a number")
    return Exact(float(text))


def _attribute_tag(text: str) -> Key:
    digits = text.strip("()").replace(",", "")
    if not re.fullmatch(r"[0-9A-Fa-f]{8}", digits):
        raise InvalidValue("not a tag")
    return Exact(int(digits, 16))


def _date_range(text: str) -> Key:
    return _range(text, moments.day, "not a date or a range of dates")


def _time_range(text: str) -> Key:
    return _range(text, moments.time_of_day, "not a time or a range of times")


def _datetime_range(text: str) -> Key:
    # PS3.4 C.2.2.2.5.3: a hyphen before four digits is an offset from UTC where it can be one, otherwise a range.
    return _range(text, moments.point, "not a date time or a range of date times")


def _range(text: str, span_of: Callable[[str], tuple[Moment, Moment] | None], comment: str) -> Key:
    if span := span_of(text):
        return Range(*span)
    for hyphen in reversed([at for at, character in enumerate(text) if character == "-"][:8]):
        before, after = text[:hyphen].strip(), text[hyphen + 1 :].strip()
        low, high = span_of(before), span_of(after)
        if (low or not before) and (high or not after):
            return Range(low[0] if low else None, high[1] if high else None) if low or high else UNIVERSAL
    raise InvalidValue(comment)


def _sequence(items: Iterable[Iterable[tuple[int, Key]]]) -> Key:
    # More than one item is not foreseen by C.2.2.2.6: any of them, as everywhere else where many values are asked for.
    return either(_item(item) for item in items)


def _item(keys: Iterable[tuple[int, Key]]) -> Key:
    asked = tuple((tag, key) for tag, key in keys if key != UNIVERSAL)
    return Sequence(asked) if asked else UNIVERSAL


_PARSERS: Final[dict[str, Callable[[str], Key]]] = {
    "AS": Exact,
    "AT": _attribute_tag,
    "DA": _date_range,
    "DS": _decimal,
    "DT": _datetime_range,
    "FD": _decimal,
    "FL": _decimal,
    "TM": _time_range,
    "UI": _uid,
    **{vr: _integer(vr) for vr in _INTEGER_BOUNDS},
}
