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
    OTHERS,
    SCHEDULED_PROCEDURE_STEP_SEQUENCE,
    SCHEDULED_PROCEDURE_STEP_STATUS,
    Level,
)
from dicom.dimse import Association
from dicom.encoding import ElementIn, Identifier
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


def find(assoc: Association, keys: Sequence[ElementIn], *, limit: int = 0) -> Iterator[Identifier]:
    """Worklist items as they come; after `limit` of them the rest is cancelled. Raises DimseError."""
    return scu.find(assoc, MODALITY_WORKLIST_FIND, keys, limit=limit)
