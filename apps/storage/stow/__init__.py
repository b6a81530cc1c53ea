"""STOW-RS (PS3.18 10.5): the parts of a request, each through the one way in, and what became of each."""

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Final

from django.db import InterfaceError, OperationalError

from apps.accounts.http import Unavailable
from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.network.database import borrowed
from apps.storage import intake
from apps.storage.intake import Refused
from apps.storage.models import FailedFile, QuarantinedInstance
from apps.storage.stow import files
from apps.storage.stow.described import Described
from apps.storage.stow.outcome import Outcome, Sending
from dicom import status
from dicom.media import DICOM
from dicom.multipart import ContentType, InvalidMultipart, Part, content_type
from dicom.part10 import Provenance

__all__ = ["Outcome", "Report", "store"]

log = logging.getLogger(__name__)

_AT_ONCE: Final = 500
_AHEAD: Final = 8
_AS_THEY_ARE: Final = frozenset({"", "binary", "8bit", "7bit", "identity"})


@dataclass(slots=True)
class Report:
    """In the order of the parts."""

    outcomes: list[Outcome] = field(default_factory=list)
    _later: deque[Outcome | Future[Outcome]] = field(default_factory=deque)

    def add(self, outcome: Outcome | Future[Outcome]) -> None:
        self._later.append(outcome)
        self.wait(_AHEAD)

    def wait(self, left: int = 0) -> None:
        """Until no more than these are still to come."""
        while len(self._later) > left:
            outcome = self._later.popleft()
            self.outcomes.append(outcome.result() if isinstance(outcome, Future) else outcome)

    @property
    def stored(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.is_stored]


def store(parts: Iterable[Part], *, principal: Principal, study_instance_uid: str | None = None) -> Report:
    """Each instance by itself: one that is refused leaves the others alone. What cannot be read any further flies, and
    what was stored before stays stored. Raises Unavailable.

    `study_instance_uid`: the only study they may belong to.
    """
    report = Report()
    provenance = Provenance(received_ns=0, address=principal.address, user=principal.name)
    sending = Sending(provenance, study_instance_uid)
    try:
        with Described(sending) as described:
            for part in parts:
                if outcome := _taken(part, sending, described):
                    report.add(outcome)
            for outcome in described.outcomes():
                report.add(outcome)
    finally:
        report.wait()
        _settle(report, principal, study_instance_uid)
    return report


def _taken(part: Part, sending: Sending, described: Described) -> Outcome | Future[Outcome] | None:
    """None for what other parts are needed for."""
    try:
        media = _media(part)
        if media.type == DICOM:
            return files.stored(part, sending)
        described.take(part, media)
    except Refused as refused:
        return Outcome(refused.status, str(refused))
    return None


def _media(part: Part) -> ContentType:
    """Raises Refused."""
    problem = part.problem
    for name in ("content-transfer-encoding", "content-encoding"):
        if part.headers.get(name, "").lower() not in _AS_THEY_ARE:
            problem = f"The {name} of a part is not supported"
    try:
        if not problem:
            return content_type(part.headers.get("content-type", DICOM))
    except InvalidMultipart as error:
        problem = str(error)
    raise Refused(status.STORE_CANNOT_UNDERSTAND, problem)


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
