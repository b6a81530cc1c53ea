"""Storage, PS3.4 annex B, as SCU: instances straight from disk to the wire, re-encoded only for who needs it."""

import logging
import ssl
from collections.abc import Collection, Generator, Iterable, Mapping
from types import TracebackType
from typing import Self

from apps.storage.attempts import Ahead, MoveOriginator, Outcome
from apps.storage.sources import Source
from dicom import status
from dicom.dimse import Association, DimseError, Pace, TimedOut, Timeouts, associate
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

log = logging.getLogger(__name__)

Kind = tuple[str, str]  # SOP class, transfer syntax as stored
Proposal = tuple[str, tuple[str, ...]]

CONTEXTS = 128  # PS3.8 9.3.2: odd identifiers up to 255
_ATTEMPTS = 2  # associations in a row in which nothing could be sent


def plan(kinds: Collection[Kind]) -> list[list[Proposal]]:
    """What to propose, an association each: WIRE 6, one context a SOP class and syntax, Implicit VR LE always."""
    syntaxes: dict[str, set[str]] = {}
    for sop_class_uid, transfer_syntax_uid in kinds:
        syntaxes.setdefault(sop_class_uid, set()).add(transfer_syntax_uid)
    associations: list[list[Proposal]] = []
    for sop_class_uid in sorted(syntaxes):
        proposals = _proposals(sop_class_uid, syntaxes[sop_class_uid])
        if not associations or len(associations[-1]) + len(proposals) > CONTEXTS:
            associations.append([])
        associations[-1] += proposals
    return associations


def _proposals(sop_class_uid: str, stored: Collection[str]) -> list[Proposal]:
    proposals: list[Proposal] = [(sop_class_uid, (syntax,)) for syntax in sorted(stored)]
    fallback = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)  # PS3.5 10.1
    missing = tuple(syntax for syntax in fallback if syntax not in stored)
    return [*proposals, (sop_class_uid, missing)] if IMPLICIT_VR_LITTLE_ENDIAN in missing else proposals


class Sender:
    """Instances of known kinds to one receiver, over as few associations as it takes.

    A context manager. `abort` may be called from another thread. What an association that had taken something before
    has lost is sent once more on a new one; after associations in a row that took nothing, or one on which the
    receiver kept silent, what is left is lost.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        called_ae_title: str,
        calling_ae_title: str,
        kinds: Collection[Kind],
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        pace: Pace | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._timeouts = host, port, timeouts
        self._called_ae_title, self._calling_ae_title = called_ae_title, calling_ae_title
        self._plan = plan(kinds)
        self._of_class: Mapping[str, int] = {
            sop_class_uid: number for number, proposals in enumerate(self._plan) for sop_class_uid, _ in proposals
        }
        self._pace, self._tls = pace, tls
        self._open: dict[int, Association] = {}
        self._useful: set[int] = set()  # of those open, which have taken something
        self._failures = 0
        self._aborted = False
        self._last_error: DimseError | None = None
        self.associations = 0  # how many there have been

    def connect(self) -> None:
        """The first association, so that who cannot be reached is known before anything is sent. Raises DimseError."""
        if self._plan:
            self._association(0)

    def send_each(
        self, sources: Iterable[Source], *, move_originator: MoveOriginator | None = None
    ) -> Generator[Outcome, None, None]:
        """The outcomes in the order of the sources. One source is fetched, and opened, before its turn."""
        with Ahead(sources, lambda source: self._open.get(self._of_class.get(source.sop_class_uid, -1))) as ahead:
            for source in ahead:
                yield self._send(source, ahead, move_originator)

    def send(self, source: Source, *, move_originator: MoveOriginator | None = None) -> Outcome:
        (outcome,) = self.send_each((source,), move_originator=move_originator)
        return outcome

    def _send(self, source: Source, ahead: Ahead, move_originator: MoveOriginator | None) -> Outcome:
        uid = source.sop_instance_uid
        number = self._of_class.get(source.sop_class_uid)
        if number is None:
            return Outcome(uid, status.SOP_CLASS_NOT_SUPPORTED, "This SOP class was not proposed")
        if self.given_up:
            return Outcome(uid, status.PROCESSING_FAILURE, self.given_up, lost=True)
        try:
            attempt = ahead.on(self._association(number))
            outcome = attempt.send(move_originator=move_originator, meanwhile=ahead.prepare)
        except DimseError as error:
            if self._lose(number, error) and not self._aborted:
                return self._send(source, ahead, move_originator)
            return Outcome(uid, status.PROCESSING_FAILURE, str(error), lost=True)
        if (ended := self._open[number].ended) is not None:  # in the middle of a file that could not be read
            self._lose(number, ended)
        else:
            self._useful.add(number)
            self._failures = 0
        return outcome

    @property
    def given_up(self) -> str:
        """Why nothing more is sent; empty as long as it is."""
        return str(self._last_error or "Aborted") if self._aborted or self._failures >= _ATTEMPTS else ""

    def _association(self, number: int) -> Association:
        if number not in self._open:
            self._open[number] = associate(
                self._host,
                self._port,
                calling_ae_title=self._calling_ae_title,
                called_ae_title=self._called_ae_title,
                contexts=self._plan[number],
                timeouts=self._timeouts,
                tls=self._tls,
                pace=self._pace,
            )
            self.associations += 1
            if self._aborted:
                self._open[number].abort()
        return self._open[number]

    def _lose(self, number: int, error: DimseError) -> bool:
        """Whether that association had taken something before: then it says nothing about the next one."""
        log.warning("an association to %s is lost: %s", self._called_ae_title, error)
        useful = number in self._useful
        self._useful.discard(number)
        # Who keeps silent on a new association does so on the next: that would only double the wait.
        self._failures += 0 if useful else _ATTEMPTS if isinstance(error, TimedOut) else 1
        self._last_error = error
        if (lost := self._open.pop(number, None)) is not None:
            lost.abort()
        return useful

    def abort(self) -> None:
        """Stop at once, also in the middle of an instance."""
        self._aborted = True
        for assoc in list(self._open.values()):
            assoc.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for assoc in self._open.values():
            if error is None and not self._aborted:
                assoc.release()
            else:
                assoc.abort()
        self._open.clear()
