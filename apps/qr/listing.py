"""What a remote archive has: asked level by level, as every archive can be (PS3.4 C.4.1.2.1)."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Self

from apps.qr import scu
from apps.qr.attributes import FIND, InformationModel
from apps.qr.scu import Proposal
from dicom.dictionary import tag_of
from dicom.dimse import Association, Failed, NotAccepted
from dicom.errors import DicomError
from dicom.values import is_uid

MODEL: Final = InformationModel.STUDY_ROOT
CONTEXTS: Final[list[Proposal]] = scu.contexts(FIND[MODEL])
KEYWORDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
LEVELS: Final = ("STUDY", "SERIES", "IMAGE")
MOST: Final = 200_000  # series of a study, or instances of a series


class Unit(NamedTuple):
    """A study, a series of it or an instance of that: what is retrieved. Its text is the key of a job's item."""

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uid: str = ""

    @classmethod
    def parse(cls, key: str) -> Self:
        return cls(*key.split("/"))

    def __str__(self) -> str:
        return "/".join(filter(None, self))

    @property
    def level(self) -> str:
        return LEVELS[len(self.keys) - 1]

    @property
    def keys(self) -> dict[str, str]:
        """UIDs by keyword, as an identifier has them."""
        return {keyword: uid for keyword, uid in zip(KEYWORDS, self, strict=True) if uid}

    @property
    def series(self) -> "Unit":
        """Without the instance."""
        return Unit(self.study_instance_uid, self.series_instance_uid)


class Endless(DicomError):
    """The archive answers, and does not come to an end."""


def instances(assoc: Association, unit: Unit) -> Iterator[tuple[Unit, str]]:
    """Instances of a study or a series, each with its SOP class. Raises NotAccepted and Failed where the archive cannot
    say, Endless, DimseError."""
    for series in [unit] if unit.series_instance_uid else _series(assoc, unit):
        for uids in _found(assoc, series, "IMAGE", "SOPInstanceUID", "SOPClassUID"):
            if is_uid(uids["SOPInstanceUID"]):
                yield series._replace(sop_instance_uid=uids["SOPInstanceUID"]), uids["SOPClassUID"]


def sop_classes(assoc: Association, unit: Unit) -> set[str]:
    """Of what is to come, as far as the archive knows."""
    try:
        if unit.series_instance_uid:
            return {sop_class for _, sop_class in instances(assoc, unit.series) if sop_class}
        (study,) = (*_found(assoc, unit, "STUDY", "SOPClassesInStudy"), {"SOPClassesInStudy": ""})[:1]
        classes = set(filter(is_uid, study["SOPClassesInStudy"].split("\\")))
        return classes or {sop_class for _, sop_class in instances(assoc, unit) if sop_class}
    except (NotAccepted, Failed):
        return set()


def _series(assoc: Association, study: Unit) -> list[Unit]:
    found = _found(assoc, study, "SERIES", "SeriesInstanceUID")
    uids = [each["SeriesInstanceUID"] for each in found]
    return [study._replace(series_instance_uid=uid) for uid in uids if is_uid(uid)]


def _found(assoc: Association, within: Unit, level: str, *keywords: str) -> list[Mapping[str, str]]:
    keys = scu.request(level, {**within.keys, **dict.fromkeys(keywords, "")})
    tags = {keyword: tag_of(keyword) or 0 for keyword in keywords}
    found: list[Mapping[str, str]] = []
    for answer in scu.find(assoc, MODEL, keys):
        if len(found) >= MOST:
            raise Endless(f"It gave more than {MOST} answers to one question")
        found.append({keyword: answer.text(tag).strip(" \0") for keyword, tag in tags.items()})
    return found
