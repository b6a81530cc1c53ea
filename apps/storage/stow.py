"""STOW-RS (PS3.18 10.5): the parts of a request, each through the one way in, and what became of each."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from django.db import InterfaceError, OperationalError

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.network.database import borrowed
from apps.storage import intake
from apps.storage.intake import Refused
from apps.storage.models import FailedFile, QuarantinedInstance
from dicom import part10, status
from dicom.errors import DicomError, InvalidDataSet
from dicom.media import DICOM
from dicom.multipart import InvalidMultipart, Part, content_type
from dicom.part10 import Meta, Provenance
from dicom.sop_classes import TRANSFER_SYNTAXES, is_deflated
from dicom.values import clean_uid
from dicom.walk import ELEMENT, Walker
from dicom.windows import BytesWindow, InflatedWindow, Readable

log = logging.getLogger(__name__)

_HEAD: Final = 1 << 17  # bytes of a part in which its meta group and the UIDs of its data set are looked for
_AT_ONCE: Final = 500
_AS_THEY_ARE: Final = frozenset({"", "binary", "8bit", "7bit", "identity"})


class Unavailable(DicomError):
    """The database is away: what has come is safe, and is indexed when it is back."""

    http_status = 503


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one part. `status`: 0, a warning (PS3.18 Table I.2-1) or a failure (Table I.2-2); UIDs as far as known."""

    status: int
    comment: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    name: str = ""  # of its file

    @property
    def is_stored(self) -> bool:
        return bool(self.name)


@dataclass(slots=True)
class Report:
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def stored(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.is_stored]


def store(parts: Iterable[Part], *, principal: Principal, study_instance_uid: str | None = None) -> Report:
    """Each part by itself: one that is refused leaves the others alone. What cannot be read any further flies, and what
    was stored before stays stored. Raises Unavailable.

    `study_instance_uid`: the only study they may belong to.
    """
    report = Report()
    provenance = Provenance(received_ns=0, address=principal.address, user=principal.name)
    try:
        for part in parts:
            report.outcomes.append(_stored(part, provenance, study_instance_uid))
    finally:
        _settle(report, principal, study_instance_uid)
    return report


def _stored(part: Part, provenance: Provenance, study_instance_uid: str | None) -> Outcome:
    try:
        _check_headers(part)
        return _receive(part, provenance, study_instance_uid)
    except Refused as refused:
        return Outcome(refused.status, str(refused))
    except InvalidDataSet as error:
        return Outcome(status.STORE_CANNOT_UNDERSTAND, str(error))


def _check_headers(part: Part) -> None:
    """Raises Refused."""
    problem = part.problem
    try:
        media = content_type(part.headers.get("content-type", DICOM)).type
    except InvalidMultipart as error:
        problem = problem or str(error)
    else:
        if media != DICOM:
            problem = problem or f"A part is {DICOM}, or bulk data that a part before it names"
    for name in ("content-transfer-encoding", "content-encoding"):
        if part.headers.get(name, "").lower() not in _AS_THEY_ARE:
            problem = problem or f"The {name} of a part is not supported"
    if problem:
        raise Refused(status.STORE_CANNOT_UNDERSTAND, problem)


def _receive(part: Part, provenance: Provenance, study_instance_uid: str | None) -> Outcome:
    """Raises InvalidDataSet; what reading the part raises flies."""
    head, pieces = _begun(part)
    meta = part10.read_meta(head, lenient=True)
    sop_class_uid, sop_instance_uid = _named(head, meta)
    try:
        if meta.transfer_syntax_uid not in TRANSFER_SYNTAXES:
            raise Refused(status.TRANSFER_SYNTAX_NOT_SUPPORTED, "Transfer syntax not supported")
        received = intake.receive(
            provenance=provenance,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            fragments=_data_set(pieces, meta.dataset_offset),
            study_instance_uid=study_instance_uid,
        )
    except Refused as refused:
        return Outcome(refused.status, str(refused), sop_class_uid, sop_instance_uid)
    intake.announce(received)
    return Outcome(
        status.SUCCESS,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=received.header.uid(intake.SERIES_INSTANCE_UID),
        study_instance_uid=received.header.uid(intake.STUDY_INSTANCE_UID),
        name=received.name,
    )


def _begun(part: Part) -> tuple[bytes, Iterator[memoryview]]:
    """Its first bytes, and all of it."""
    pieces = iter(part)
    first = next(pieces, memoryview(b""))
    if len(first) < _HEAD:
        gathered = bytearray(first)
        for piece in pieces:
            gathered += piece
            if len(gathered) >= _HEAD:
                break
        first = memoryview(gathered)
    return bytes(first[:_HEAD]), chain((first,), pieces)


def _data_set(pieces: Iterator[memoryview], offset: int) -> Iterator[list[memoryview]]:
    yield [next(pieces)[offset:]]
    for piece in pieces:
        yield [piece]


def _named(head: bytes, meta: Meta) -> tuple[str, str]:
    """SOP class and instance by the data set, which is what is stored; by the meta group where they are not at its
    beginning."""
    window: Readable = BytesWindow(memoryview(head)[meta.dataset_offset :])
    found = {intake.SOP_CLASS_UID: meta.sop_class_uid, intake.SOP_INSTANCE_UID: meta.sop_instance_uid}
    try:
        if is_deflated(meta.transfer_syntax_uid):
            window = InflatedWindow(window)
        walker = Walker(window, meta.transfer_syntax_uid)
        for kind, tag, _, offset, length, _ in walker.tokens():
            if tag > intake.SOP_INSTANCE_UID or walker.depth:
                break
            if kind == ELEMENT and tag in found:
                found[tag] = clean_uid(walker.read(offset, length))
    except InvalidDataSet:
        pass  # the intake says where
    return found[intake.SOP_CLASS_UID], found[intake.SOP_INSTANCE_UID]


def _settle(report: Report, principal: Principal, study_instance_uid: str | None) -> None:
    """When the index has caught up: what it has made of each file; and the trail."""
    names = [outcome.name for outcome in report.stored]
    if not intake.wait_indexed(names):
        log.warning("the index has not caught up with %d instances that were stored", len(names))
    try:
        with borrowed():
            _look(report, names)
            studies = {outcome.study_instance_uid for outcome in report.stored}
            study = study_instance_uid or (studies.pop() if len(studies) == 1 else "")
            detail = {"stored": len(names), "refused": len(report.outcomes) - len(names)}
            trail.record(
                actor=Actor.of(principal), action="store", object=f"study {study}" if study else "", detail=detail
            )
    except (OperationalError, InterfaceError) as error:
        raise Unavailable("The database is away; what was sent is kept and will be found later") from error


def _look(report: Report, names: Sequence[str]) -> None:
    quarantined: set[str] = set()
    failed: set[str] = set()
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        quarantined.update(QuarantinedInstance.objects.filter(name__in=some).values_list("name", flat=True))
        failed.update(FailedFile.objects.filter(name__in=some).values_list("name", flat=True))
    for at, outcome in enumerate(report.outcomes if quarantined or failed else ()):
        if outcome.name in quarantined:
            comment = "The archive has another version, which stays the current one; this one is in quarantine"
            report.outcomes[at] = replace(outcome, status=status.STORED_IN_QUARANTINE, comment=comment)
        elif outcome.name in failed:
            report.outcomes[at] = replace(
                outcome, status=status.PROCESSING_FAILURE, comment="The instance cannot be indexed", name=""
            )
