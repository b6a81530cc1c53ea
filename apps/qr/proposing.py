"""What to propose for a C-GET: storage classes, each with the transfer syntaxes in which we take it as it is stored."""

from collections.abc import Collection, Sequence
from typing import Final

from apps.network.scu import PLAIN
from apps.qr import scu
from apps.qr.attributes import GET, InformationModel
from apps.qr.scu import MOST_KINDS, Proposal
from dicom.dimse.negotiation import Role
from dicom.sop_classes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
    is_storage,
)

# What few archives hold comes last: an association has not enough contexts for every class there is.
_RARE: Final = tuple(
    f"1.2.840.10008.5.1.4.1.1.{family}."
    for family in ("9", "78", "200", "481.1", "481.2", "501", "601", "77.1.5", "66", "88.7", "104")
)
# Uncompressed first: some archives take the first context of a class, whatever they hold.
_FIRST: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.81",
)
_LAST: Final = (DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
SYNTAXES: Final[Sequence[str]] = (
    *_FIRST,
    *(uid for uid in TRANSFER_SYNTAXES if uid not in _FIRST + _LAST),
    *_LAST,
)


def common_classes(wanted: Sequence[str] = ()) -> list[str]:
    """Storage classes to take where it is not known what is to come, those wanted first."""
    ordered = sorted(STORAGE_SOP_CLASSES, key=lambda uid: uid.startswith(_RARE))
    return list(dict.fromkeys([*wanted, *ordered]))[:MOST_KINDS]


def contexts(model: InformationModel, classes: Collection[str]) -> list[Proposal]:
    """One context a class and syntax, as many as an association can have, so that nothing is re-encoded for us that
    need not be; of many classes with the usual syntaxes alone, of too many the uncompressed ones."""
    kinds = sorted(filter(is_storage, classes)) or common_classes()
    each = MOST_KINDS // len(kinds)
    if each < len(PLAIN):
        return [(GET[model], PLAIN), *((uid, PLAIN) for uid in kinds[:MOST_KINDS])]
    return [(GET[model], PLAIN), *((uid, (syntax,)) for uid in kinds for syntax in SYNTAXES[:each])]


def roles(proposals: Collection[Proposal]) -> dict[str, Role]:
    return scu.roles({uid: syntaxes for uid, syntaxes in proposals if is_storage(uid)})
