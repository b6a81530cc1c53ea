"""Modality Worklist, PS3.4 annex K, as SCU: ask a remote worklist; `importing` takes what it answers.

with associate(host, port, ..., contexts=scu.CONTEXTS) as assoc:
    for item in scu.find(assoc, keys):
        importing.take(item, principal=principal)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from apps.network import scu
from apps.network.scu import PLAIN
from apps.worklist.attributes import (
    ATTRIBUTES,
    BY_NAME,
    OTHERS,
    SCHEDULED_PROCEDURE_STEP_SEQUENCE,
    SCHEDULED_PROCEDURE_STEP_STATUS,
    SPECIFIC_CHARACTER_SET,
    Level,
)
from dicom.dictionary import dictionary_vr
from dicom.dimse import Association
from dicom.encoding import ElementIn, Identifier
from dicom.errors import InvalidValue
from dicom.sop_classes import MODALITY_WORKLIST_FIND

CONTEXTS: Final = [(MODALITY_WORKLIST_FIND, PLAIN)]
_STEP_TAGS: Final = (
    SCHEDULED_PROCEDURE_STEP_STATUS,
    *(tag for tag, attribute in ATTRIBUTES.items() if attribute.level is Level.STEP),
)
# A step's attributes, and where they are in a data set.
IN_STEP: Final[Mapping[tuple[int, ...], tuple[int, ...]]] = {
    (tag,): (SCHEDULED_PROCEDURE_STEP_SEQUENCE, tag) for tag in _STEP_TAGS
}
# All that an order of ours can hold of an answer.
EVERYTHING: Final[tuple[tuple[int, ...], ...]] = (
    *((tag,) for tag, attribute in ATTRIBUTES.items() if attribute.level is not Level.STEP),
    *((tag,) for tag in OTHERS),
    *IN_STEP.values(),
)


def request(keys: Mapping[str, str]) -> list[ElementIn]:
    """All that an order of ours can hold is asked for; `keys` by the names of `Order`. Raises InvalidValue."""
    unknown = [name for name in keys if name not in BY_NAME or BY_NAME[name].vr == "SQ"]
    if unknown:
        raise InvalidValue(f"No key of a worklist: {', '.join(unknown)}")
    values = {BY_NAME[name].tag: value.encode() for name, value in keys.items()}
    step = [_key(tag, values) for tag in sorted(_STEP_TAGS)]
    above = [path[0] for path in EVERYTHING if len(path) == 1]
    elements = [_key(tag, values) for tag in above]
    elements.append((SCHEDULED_PROCEDURE_STEP_SEQUENCE, "SQ", [step]))
    if not all(value.isascii() for value in values.values()):
        elements.append((SPECIFIC_CHARACTER_SET, "CS", b"ISO_IR 192"))
    return sorted(elements, key=lambda element: element[0])


def _key(tag: int, values: Mapping[int, bytes]) -> ElementIn:
    return tag, dictionary_vr(tag)[:2], values.get(tag) or None


def find(assoc: Association, keys: Sequence[ElementIn], *, limit: int = 0) -> Iterator[Identifier]:
    """Worklist items as they come; after `limit` of them the rest is cancelled. Raises DimseError."""
    return scu.find(assoc, MODALITY_WORKLIST_FIND, keys, limit=limit)
