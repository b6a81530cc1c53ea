"""Queries of several archives at once, in bounded time: one list that says of each entity which of them has it."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

from apps.qr import scu
from apps.qr.attributes import FIND, SPECIFIC_CHARACTER_SET, UNIQUE_KEYS, InformationModel, Level
from dicom.dictionary import dictionary_vr, keyword, keywords, tag_of
from dicom.dimse import Association
from dicom.encoding import Identifier
from dicom.errors import DicomError, InvalidValue

SECONDS: Final = 30.0  # for all of it
MOST: Final = 1000  # answers of one archive
MOST_ARCHIVES: Final = 16

Connect = Callable[[Sequence[scu.Proposal]], Association]

_PATIENT: Final = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
# What is asked for in any case.
SHOWN: Final[Mapping[Level, Sequence[str]]] = {
    Level.PATIENT: _PATIENT,
    Level.STUDY: (
        "StudyInstanceUID",
        *_PATIENT,
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyDescription",
        "ModalitiesInStudy",
        "ReferringPhysicianName",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    Level.SERIES: (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "BodyPartExamined",
        "NumberOfSeriesRelatedInstances",
    ),
    Level.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}
_NEWEST: Final = ("StudyDate", "StudyTime")
_NOT_SHOWN: Final = frozenset({SPECIFIC_CHARACTER_SET, 0x00080052, 0x00080054, 0x00080056})


@dataclass(frozen=True, slots=True)
class Asked:
    """`keys`: values by keyword."""

    level: Level
    keys: Mapping[str, str]
    limit: int = 100

    @property
    def model(self) -> InformationModel:
        return InformationModel.PATIENT_ROOT if self.level is Level.PATIENT else InformationModel.STUDY_ROOT


@dataclass(slots=True)
class Found:
    """One patient, study, series or instance: values by keyword, of the first archive that gave one; who has it."""

    values: dict[str, str]
    archives: dict[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Told:
    """What one archive said: so many answers, more than the limit, or why not."""

    answers: int = 0
    more: bool = False
    error: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Answers:
    found: list[Found]
    told: dict[str, Told]


def asked(level: str, keys: Mapping[str, str], limit: int = 100) -> Asked:
    """`keys` by keyword or by field, such as `patient_name`. Raises InvalidValue."""
    try:
        at = Level[level.upper()]
    except KeyError as error:
        raise InvalidValue(f"The level is one of {', '.join(each.name.lower() for each in Level)}") from error
    named = {}
    for name, value in keys.items():
        known = name if tag_of(name) else by_field().get(name, "")
        if not known or dictionary_vr(tag_of(known) or 0) == "SQ":
            raise InvalidValue(f"No key of a query: {name[:64]}")
        named[known] = value
    needed = {Level.SERIES: ("StudyInstanceUID",), Level.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID")}
    for unique in needed.get(at, ()):  # PS3.4 C.4.1.2.1
        if not named.get(unique):
            raise InvalidValue(f"{field_of(unique)} is needed for this level")
    return Asked(at, named, limit)


@lru_cache
def field_of(name: str) -> str:
    """SOPInstanceUID -> sop_instance_uid."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.replace("IDs", "Ids"))
    return apart.lower()


@lru_cache(maxsize=1)
def by_field() -> Mapping[str, str]:
    return {field_of(name): name for name in keywords().values()}


def ask(archives: Mapping[str, Connect], question: Asked, *, seconds: float = SECONDS) -> Answers:
    """Each archive in a thread of its own, which asks no database; who has not answered in time is given up."""
    calls = {name: _Call(connect, question) for name, connect in archives.items()}
    pool = ThreadPoolExecutor(max(len(calls), 1), thread_name_prefix="ask")
    futures = {pool.submit(copy_context().run, call.run): call for call in calls.values()}
    pool.shutdown(wait=False)
    done, late = wait(futures, seconds)
    for future in late:  # ends by its own deadlines
        futures[future].give_up(f"No answer within {seconds:.0f} s")
    for future in done:
        future.result()
    return Answers(_merged(question, calls), {name: call.told for name, call in calls.items()})


class _Call:
    """One archive's part."""

    def __init__(self, connect: Connect, question: Asked) -> None:
        self._connect, self._question = connect, question
        self._assoc: Association | None = None
        self._given_up = False
        self._began = time.monotonic()
        self.told = Told()
        self.answers: list[dict[str, str]] = []

    def run(self) -> None:
        try:
            self._ask()
        except DicomError as error:
            if not self._given_up:
                self.told.error = str(error)
        if not self._given_up:
            self._count()

    def give_up(self, why: str) -> None:
        """What it has said until now counts."""
        self._given_up, self.answers = True, list(self.answers)
        self.told = Told(error=why)
        self._count()
        if self._assoc is not None:
            self._assoc.abort()

    def _count(self) -> None:
        self.told.answers, self.told.seconds = len(self.answers), round(time.monotonic() - self._began, 3)

    def _ask(self) -> None:
        question = self._question
        keys = {**dict.fromkeys(SHOWN[question.level], ""), **question.keys}
        with self._connect(scu.contexts(FIND[question.model])) as self._assoc:
            # One more than wanted tells that there are more.
            found = scu.find(
                self._assoc, question.model, scu.request(question.level.name, keys), limit=question.limit + 1
            )
            answers, told = self.answers, self.told
            for answer in found:
                if len(answers) < question.limit:
                    answers.append(values(answer))
                else:
                    told.more = True


def values(answer: Identifier) -> dict[str, str]:
    """By keyword; sequences and private elements are left out."""
    named = ((keyword(tag), answer.text(tag)) for tag in answer.elements if tag not in _NOT_SHOWN)
    return {name: text.strip(" \0") for name, text in named if name and text.strip(" \0")}


def _merged(question: Asked, calls: Mapping[str, _Call]) -> list[Found]:
    """The newest first; among studies of the same moment as the archives gave them."""
    merged: dict[tuple[str, ...], Found] = {}
    for name, call in calls.items():
        for answer in call.answers:
            if (key := _key(question.level, answer)) is None:
                continue
            found = merged.setdefault(key, Found({}))
            found.values = {**answer, **found.values}
            found.archives.setdefault(name, answer)
    order = partial(_moment, question.level)
    return sorted(merged.values(), key=order, reverse=question.level is Level.STUDY)


def _key(level: Level, answer: Mapping[str, str]) -> tuple[str, ...] | None:
    identity = answer.get(UNIQUE_KEYS[level].keyword, "")
    if level is Level.PATIENT:  # of different issuers, the same ID is another patient's
        return (identity, answer.get("IssuerOfPatientID", ""), "" if identity else answer.get("PatientName", ""))
    return (identity,) if identity else None


def _moment(level: Level, found: Found) -> tuple[str, ...]:
    if level is Level.STUDY:
        return tuple(found.values.get(name, "") for name in _NEWEST)
    number = found.values.get("SeriesNumber" if level is Level.SERIES else "InstanceNumber", "")
    return (number.zfill(12), found.values.get("PatientName", ""))


def flat(found: Found) -> Iterator[tuple[str, str]]:
    """By field, as REST and the command line have it."""
    return ((field_of(name), text) for name, text in found.values.items())
