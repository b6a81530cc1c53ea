"""SOP Class Extended Negotiation of the Query/Retrieve classes (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from apps.qr.attributes import FIND, GET, MOVE

# Relational queries, combined date-time matching; no fuzzy names, no time zone adjustment, no multi-frame conversion.
_SUPPORTED = {
    **dict.fromkeys(FIND.values(), bytes([1, 1, 0, 0, 0])),
    **dict.fromkeys((*MOVE.values(), *GET.values()), bytes([1, 0])),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What both sides agreed on for one SOP class."""

    relational: bool = False
    combined_datetime: bool = False

    @classmethod
    def agreed(cls, sop_class_uid: str, accepted: Mapping[str, bytes]) -> Self:
        """From the extended negotiation that was answered, by SOP class."""
        agreed = accepted.get(sop_class_uid, b"")
        return cls(relational=agreed[:1] == b"\1", combined_datetime=agreed[1:2] == b"\1")


def answer(sop_class_uid: str, requested: bytes) -> bytes | None:
    """The application information to accept with, as long as what was requested; None: the class has none."""
    supported = _SUPPORTED.get(sop_class_uid)
    if supported is None or not requested:
        return None
    return bytes(1 if wanted == 1 and able else 0 for wanted, able in zip(requested, supported, strict=False))
