"""A request for worklist items (PS3.4 annex K), read and checked against the table of attributes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from apps.lookups import Kind
from apps.worklist.attributes import (
    ATTRIBUTES,
    SCHEDULED_PROCEDURE_STEP_SEQUENCE,
    SCHEDULED_PROCEDURE_STEP_STATUS,
    SPECIFIC_CHARACTER_SET,
    Attribute,
    Level,
    level_of_other,
)
from apps.worklist.models import StepStatus
from dicom import matching
from dicom.dictionary import dictionary_vr
from dicom.encoding import Identifier, read_identifier
from dicom.errors import InvalidValue
from dicom.matching import UNIVERSAL, Key

_MOST_PATTERNS: Final = 100
_MOST_ITEMS: Final = 10
_SHORT: Final = 4096  # bytes; modalities ask the same again and again
# Say how to read the query, or belong to another service; neither matched nor answered.
_NOT_KEYS: Final = frozenset({SPECIFIC_CHARACTER_SET, 0x00080052, 0x00080053, 0x00080201})

# PS3.3 C.4.10: what the status is called on the wire; of a step that is no longer to be done it has no word.
ON_THE_WIRE: Final[Mapping[str, str]] = {
    StepStatus.SCHEDULED: "SCHEDULED",
    StepStatus.ARRIVED: "ARRIVED",
    StepStatus.READY: "READY",
    StepStatus.STARTED: "STARTED",
    StepStatus.COMPLETED: "DEPARTED",
    StepStatus.DISCONTINUED: "",
    StepStatus.CANCELLED: "",
}
STATUS: Final = Attribute(
    name="status",
    keyword="ScheduledProcedureStepStatus",
    tag=SCHEDULED_PROCEDURE_STEP_STATUS,
    vr="CS",
    level=Level.STEP,
    kind=Kind.KEY,
)
_IN_STEP: Final[Mapping[int, Attribute]] = {
    STATUS.tag: STATUS,
    **{tag: attribute for tag, attribute in ATTRIBUTES.items() if attribute.level is Level.STEP},
}
_OUTSIDE: Final = {tag: attribute for tag, attribute in ATTRIBUTES.items() if attribute.level is not Level.STEP}


@dataclass(frozen=True, slots=True)
class Condition:
    attribute: Attribute
    key: Key


@dataclass(frozen=True, slots=True)
class Return:
    """An element of the answers. `attribute` is None for what has no column; `items`: tags asked for in each item of a
    sequence, empty: all."""

    tag: int
    level: Level
    attribute: Attribute | None = None
    items: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return self.tag  # hundreds are hashed for each query


_return = lru_cache(maxsize=4096)(Return)  # modalities ask for the same again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """`step`: in the item of Scheduled Procedure Step Sequence, None where that is not asked for; `whole_step`: all
    that we have there."""

    outside: tuple[Return, ...] = ()
    step: tuple[Return, ...] | None = None
    whole_step: bool = False
    # Of the answers, best first, before the data's own and Unicode.
    character_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`steps`: the conditions of each item asked for in Scheduled Procedure Step Sequence; those of one hold."""

    conditions: tuple[Condition, ...] = ()
    steps: tuple[tuple[Condition, ...], ...] = ()
    returns: Returns = Returns()
    unsupported: tuple[int, ...] = ()  # asked for, and neither matched nor answered as asked

    def conditions_of(self, level: Level) -> tuple[Condition, ...]:
        return tuple(part for part in self.conditions if part.attribute.level is level)


def from_identifier(
    identifier: bytes | None,
    *,
    transfer_syntax_uid: str,
    strict: bool = False,
    character_set: str = "",
    default_character_set: str = "",
) -> Query:
    """`character_set` is the one to answer in, `default_character_set` that of an identifier that names none.

    Raises InvalidDataSet or InvalidValue: status A900 (PS3.4 Table K.4-1)."""
    if not identifier:
        raise InvalidValue("an identifier is needed", tag=SCHEDULED_PROCEDURE_STEP_SEQUENCE)
    read = _remembered if len(identifier) <= _SHORT else _read
    return read(identifier, transfer_syntax_uid, strict, character_set, default_character_set)


def _read(
    identifier: bytes, transfer_syntax_uid: str, strict: bool, character_set: str, default_character_set: str
) -> Query:
    asked = read_identifier(identifier, transfer_syntax_uid, default_character_set=default_character_set)
    items = asked.items(SCHEDULED_PROCEDURE_STEP_SEQUENCE)
    if len(items) > (1 if strict else _MOST_ITEMS) or (strict and SCHEDULED_PROCEDURE_STEP_SEQUENCE not in asked):
        raise InvalidValue("one item is needed", tag=SCHEDULED_PROCEDURE_STEP_SEQUENCE)
    outside = _Reader(_OUTSIDE)
    outside.read(asked)
    steps = [_Reader(_IN_STEP) for _ in items]
    for reader, item in zip(steps, items, strict=True):
        reader.read(item)
    whole = SCHEDULED_PROCEDURE_STEP_SEQUENCE in asked and not any(reader.returns for reader in steps)
    in_step = {tag: returned for reader in steps for tag, returned in reader.returns.items()}
    if whole:
        in_step = {tag: Return(tag, Level.STEP, attribute) for tag, attribute in _IN_STEP.items()}
    preferred = (character_set, asked.text(SPECIFIC_CHARACTER_SET))
    return Query(
        conditions=tuple(outside.conditions),
        steps=() if any(not reader.conditions for reader in steps) else tuple(tuple(r.conditions) for r in steps),
        returns=Returns(
            outside=_sorted(outside.returns),
            step=_sorted(in_step) if SCHEDULED_PROCEDURE_STEP_SEQUENCE in asked else None,
            whole_step=whole,
            character_sets=tuple(name for name in preferred if name),
        ),
        unsupported=tuple(tag for reader in (outside, *steps) for tag in reader.unsupported),
    )


_remembered = lru_cache(maxsize=512)(_read)


def _sorted(returns: Mapping[int, Return]) -> tuple[Return, ...]:
    return tuple(returns[tag] for tag in sorted(returns))


@dataclass(slots=True)
class _Reader:
    """Of the identifier, or of an item of Scheduled Procedure Step Sequence."""

    known: Mapping[int, Attribute]
    conditions: list[Condition] = field(default_factory=list)
    returns: dict[int, Return] = field(default_factory=dict)
    unsupported: list[int] = field(default_factory=list)

    def read(self, asked: Identifier) -> None:
        """Raises InvalidValue for a value that cannot be matched."""
        for tag in sorted(asked.elements):
            if tag not in _NOT_KEYS and tag >> 16 > 0x0007 and tag != SCHEDULED_PROCEDURE_STEP_SEQUENCE:
                self._element(tag, asked)

    def _element(self, tag: int, asked: Identifier) -> None:
        attribute = self.known.get(tag)
        if attribute is None and (tag in ATTRIBUTES or tag >> 16 & 1 or dictionary_vr(tag) == "UN"):
            self.unsupported.append(tag)  # of the other level, private, or nobody knows what
            return
        items = asked.items(tag)
        if items or asked.elements[tag].value:  # most ask for an answer only
            self._match(tag, attribute, asked)
        level = attribute.level if attribute else Level.STEP if self.known is _IN_STEP else level_of_other(tag)
        tags = tuple(sorted({nested for item in items for nested in item.elements}))
        self.returns[tag] = _return(tag, level, attribute, tags)

    def _match(self, tag: int, attribute: Attribute | None, asked: Identifier) -> None:
        text = asked.text(tag)
        if attribute is not None and attribute.kind is not None:
            key = _few(matching.parse(attribute.vr, text, tag=tag), tag)
            if key != UNIVERSAL:
                self.conditions.append(Condition(attribute, key))
        elif text.strip("*\\ \0") or any(_asks(item) for item in asked.items(tag)):
            self.unsupported.append(tag)


def _asks(item: Identifier) -> bool:
    """For values, which we do not match there."""
    return any(item.text(tag).strip("*\\ \0") or any(map(_asks, item.items(tag))) for tag in item.elements)


def _few(key: Key, tag: int) -> Key:
    """Of patterns and ranges each is a condition of its own, and databases limit those; lists of values are one."""
    if isinstance(key, matching.Either) and len(key.keys) > _MOST_PATTERNS:
        raise InvalidValue(f"more than {_MOST_PATTERNS} patterns", tag=tag)
    return key
