"""A request to find, read and checked against the table of attributes: the same for C-FIND and QIDO-RS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from apps.qr.attributes import (
    ATTRIBUTES,
    NOT_KEYS,
    QUERY_RETRIEVE_LEVEL,
    REQUEST_KEYS,
    SPECIFIC_CHARACTER_SET,
    TIMEZONE_OFFSET_FROM_UTC,
    UNIQUE_KEYS,
    Attribute,
    InformationModel,
    Level,
    Source,
    Usage,
)
from apps.qr.negotiation import Options
from dicom import matching
from dicom.encoding import Identifier, read_identifier
from dicom.errors import InvalidValue
from dicom.matching import UNIVERSAL, Key

# Text of an element, or the items of a sequence; by tag.
Asked: TypeAlias = "Mapping[int, str | Sequence[Asked]]"

_MOST_PATTERNS: Final = 100
_LEVEL_NAMES: Final = {**{level.name: level for level in Level}, "INSTANCE": Level.IMAGE}


@dataclass(frozen=True, slots=True)
class Condition:
    attribute: Attribute
    key: Key


@dataclass(frozen=True, slots=True)
class Return:
    """`items`: tags asked for in each item of a sequence; empty: all."""

    attribute: Attribute
    items: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    model: InformationModel
    level: Level
    conditions: tuple[Condition, ...] = ()
    returns: tuple[Return, ...] = ()  # in order of tags
    unsupported: tuple[int, ...] = ()  # asked for, and neither matched nor answered as asked
    combined_datetime: bool = False
    # Of the answers, best first, before the data's own and ISO_IR 192; "" entries are left out.
    character_sets: tuple[str, ...] = ()
    limit: int = 0  # most answers; 0: no limit


def from_identifier(
    identifier: bytes | None,
    *,
    transfer_syntax_uid: str,
    model: InformationModel,
    options: Options = Options(),  # noqa: B008  frozen
    strict: bool = False,
    limit: int = 0,
    character_set: str = "",
    default_character_set: str = "",
) -> Query:
    """`character_set` is the one to answer in, `default_character_set` that of an identifier that names none.

    Raises InvalidDataSet or InvalidValue: status A900 (PS3.4 Table C.4-1)."""
    if not identifier:
        raise InvalidValue("an identifier is needed", tag=QUERY_RETRIEVE_LEVEL)
    asked = as_asked(read_identifier(identifier, transfer_syntax_uid, default_character_set=default_character_set))
    level = read_level(asked, model=model, strict=strict)
    if strict:
        _check_hierarchy(asked, model=model, level=level, relational=options.relational)
    own = asked.get(SPECIFIC_CHARACTER_SET, "")
    return build(
        asked,
        model=model,
        level=level,
        combined_datetime=options.combined_datetime,
        limit=limit,
        character_sets=tuple(name for name in (character_set, own if isinstance(own, str) else "") if name),
    )


def as_asked(identifier: Identifier) -> Asked:
    return {
        tag: identifier.text(tag) if element.items is None else [as_asked(item) for item in element.items]
        for tag, element in identifier.elements.items()
    }


def read_level(asked: Asked, *, model: InformationModel, strict: bool) -> Level:
    """Query/Retrieve Level (0008,0052); odd case and spaces are read unless `strict`."""
    text = asked.get(QUERY_RETRIEVE_LEVEL, "")
    name = text if isinstance(text, str) else ""
    level = Level.__members__.get(name.rstrip(" \0")) if strict else _LEVEL_NAMES.get(name.strip(" \0").upper())
    if level is None or level not in model.levels:
        raise InvalidValue(f"no level of {model}", tag=QUERY_RETRIEVE_LEVEL)
    return level


def build(
    asked: Asked,
    *,
    model: InformationModel,
    level: Level,
    combined_datetime: bool,
    limit: int = 0,
    character_sets: tuple[str, ...] = (),
) -> Query:
    """Raises InvalidValue for a value that cannot be matched."""
    reader = _Reader(level)
    for tag in sorted(asked):
        if tag not in NOT_KEYS and tag & 0xFFFF and tag >> 16 > 0x0007:  # group lengths and command groups say nothing
            reader.read(tag, asked[tag])
    returns = {returned.attribute.tag: returned for returned in reader.returns}
    for above in model.levels:
        if above <= level:
            returns.setdefault(UNIQUE_KEYS[above].tag, Return(UNIQUE_KEYS[above]))
    return Query(
        model=model,
        level=level,
        conditions=tuple(reader.conditions),
        returns=tuple(returns[tag] for tag in sorted(returns)),
        unsupported=tuple(reader.unsupported),
        combined_datetime=combined_datetime,
        character_sets=character_sets,
        limit=limit,
    )


@dataclass(slots=True)
class _Reader:
    level: Level
    conditions: list[Condition] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    unsupported: list[int] = field(default_factory=list)

    def read(self, tag: int, value: str | Sequence[Asked]) -> None:
        attribute = ATTRIBUTES.get(tag)
        if attribute is None:
            self.unsupported.append(tag)
            return
        if attribute.level > self.level:
            self.unsupported.append(tag)  # many values: matched, not answered
        key, items = self._key(attribute, value)
        if key != UNIVERSAL:
            self.conditions.append(Condition(attribute, key))
        if attribute.level <= self.level:
            self.returns.append(Return(attribute, items))

    def _key(self, attribute: Attribute, value: str | Sequence[Asked]) -> tuple[Key, tuple[int, ...]]:
        if attribute.source in (Source.SEQUENCE, Source.ISSUER):
            return self._sequence(attribute, value)
        text = value if isinstance(value, str) else ""
        if attribute.kind is None:
            # An offset from UTC says how to read the query.
            if text.strip("*\\ \0") and attribute.tag != TIMEZONE_OFFSET_FROM_UTC:
                self.unsupported.append(attribute.tag)
            return UNIVERSAL, ()
        return _few(matching.parse(attribute.vr, text, tag=attribute.tag), attribute.tag), ()

    def _sequence(self, attribute: Attribute, value: str | Sequence[Asked]) -> tuple[Key, tuple[int, ...]]:
        """PS3.4 C.2.2.2.6"""
        items = [] if isinstance(value, str) else value
        matched = REQUEST_KEYS if attribute.source is Source.SEQUENCE else {}
        keys: list[list[tuple[int, Key]]] = []
        for item in items:
            keys.append([])
            for tag, nested in item.items():
                text = nested if isinstance(nested, str) else ""
                if tag in matched:
                    keys[-1].append((tag, matching.parse(matched[tag].vr, text, tag=tag)))
                elif text.strip("*\\ \0"):
                    self.unsupported.append(tag)
        return _few(matching.parse("SQ", keys, tag=attribute.tag), attribute.tag), tuple(
            sorted({tag for item in items for tag in item})
        )


def _few(key: Key, tag: int) -> Key:
    """Of patterns and ranges each is a condition of its own, and databases limit those; lists of values are one."""
    if isinstance(key, matching.Either) and len(key.keys) > _MOST_PATTERNS:
        raise InvalidValue(f"more than {_MOST_PATTERNS} patterns", tag=tag)
    return key


def _check_hierarchy(asked: Asked, *, model: InformationModel, level: Level, relational: bool) -> None:
    """PS3.4 C.4.1.2.1: the baseline, which relational queries (C.4.1.2.2.1) relax. Raises InvalidValue."""
    if UNIQUE_KEYS[level].tag not in asked:
        raise InvalidValue("the unique key of the level is missing", tag=UNIQUE_KEYS[level].tag)
    if relational:
        return
    for above in model.levels[: model.levels.index(level)]:
        unique = UNIQUE_KEYS[above]
        if not isinstance(matching.parse(unique.vr, _text(asked, unique.tag), tag=unique.tag), matching.Exact):
            raise InvalidValue("one value of each unique key above the level is needed", tag=unique.tag)
    for tag in asked:
        attribute = ATTRIBUTES.get(tag)
        if attribute is None or tag == TIMEZONE_OFFSET_FROM_UTC:
            continue
        of = max(attribute.level, model.top)  # PS3.4 C.6.2.1: the study level of Study Root holds the patient's keys
        if of > level or (of < level and attribute.usage is not Usage.UNIQUE):
            raise InvalidValue("a key of another level than the query's", tag=tag)


def _text(asked: Asked, tag: int) -> str:
    value = asked.get(tag, "")
    return value if isinstance(value, str) else ""
