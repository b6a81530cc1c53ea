"""What the DIMSE edges that answer queries have in common, PS3.4 C.4.1.3 and K.4.1.3."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from django.db import InterfaceError, OperationalError

from apps.network.rules import PeerRules
from apps.network.session import Session
from apps.network.turns import Turns
from dicom import status
from dicom.dimse import Association, DataSetTooLong, Message
from dicom.errors import InvalidDataSet, InvalidValue

log = logging.getLogger(__name__)

BATCHES = 4  # made in one turn
BATCH = 50  # answers that leave in one write; whether they are still wanted is seen in between
Work = Callable[[Session, Association, Message], int]
_turns = Turns(3)  # one waits for the database while another computes
MISREAD = (InvalidDataSet, InvalidValue, DataSetTooLong)


class Answers(Protocol):
    """To one query, read as they are taken."""

    @property
    def limit_reached(self) -> bool:
        """Once all are taken: there were more."""

    @property
    def has_unsupported(self) -> bool:
        """Whether a key was asked for that is neither matched nor answered."""

    def batches(self) -> Iterator[Sequence[bytes]]:
        """Encoded, as many as leave in one write."""
        ...


def answer(session: Session, assoc: Association, message: Message, work: Work, away: int) -> None:
    """`away`: the status that says that the database is."""
    try:
        final = work(session, assoc, message)
    except (OperationalError, InterfaceError) as error:
        log.error("%s failed: %s", message.command.name, error)
        final = respond(assoc, message, away, "The database does not answer")
    session.count(message.command.name.removesuffix("-RQ"), final)


def find(
    session: Session,
    assoc: Association,
    message: Message,
    read: Callable[[Session, PeerRules, Message], Answers],
) -> int:
    """`read` makes answers of the request by the caller's switches, or raises one of MISREAD."""
    peer = switches(session)
    try:
        with _turns.turn():
            answers = read(session, peer, message)
            batches = answers.batches()
            ready = _ready(batches)
    except MISREAD as error:
        return refuse(assoc, message, error)
    pending = status.PENDING_OPTIONAL_KEYS_UNSUPPORTED if answers.has_unsupported else status.PENDING
    for data_sets, are_last in _in_turns(ready, batches):
        if not are_last and assoc.is_cancelled(message):
            return respond(assoc, message, status.CANCEL)
        if assoc.stopping:
            return respond(assoc, message, status.QR_OUT_OF_RESOURCES, "Shutting down")
        if are_last:
            final, comment = _final(answers, peer)
            assoc.respond_each(message, pending, data_sets, final=final, error_comment=comment)
            return final
        assoc.respond_each(message, pending, data_sets)
    return respond(assoc, message, *_final(answers, peer))


def _final(answers: Answers, peer: PeerRules) -> tuple[int, str]:
    """Status and comment of the last response, when all answers are taken."""
    if answers.limit_reached and not peer.success_at_limit:
        return status.QR_OUT_OF_RESOURCES, f"More than {peer.query_limit} match: ask for less"
    return status.SUCCESS, ""


def _ready(batches: Iterator[Sequence[bytes]]) -> list[Sequence[bytes]]:
    """What is done in one turn; after a batch that is not full there is hardly more."""
    return list(islice(batches, BATCHES))


def _in_turns(
    ready: Sequence[Sequence[bytes]], batches: Iterator[Sequence[bytes]]
) -> Iterator[tuple[Sequence[bytes], bool]]:
    """With whether nothing follows, if that is known. Nobody's network holds up others: answers leave between two
    turns."""
    while ready:
        all_taken = len(ready) < BATCHES
        for number, batch in enumerate(ready, start=1):
            yield batch, all_taken and number == len(ready)
        if all_taken:
            return
        with _turns.turn():
            ready = _ready(batches)


def switches(session: Session) -> PeerRules:
    """The caller's, as they are now."""
    return session.caller_by(session.rules.rules) or session.caller


def respond(assoc: Association, message: Message, final: int, comment: str = "") -> int:
    assoc.respond(message, final, error_comment=comment)
    return final


def refuse(assoc: Association, message: Message, error: InvalidDataSet | InvalidValue | DataSetTooLong) -> int:
    """PS3.7 C.5.8: Identifier does not match SOP Class, and which element."""
    tag = error.tag if isinstance(error, InvalidValue) else getattr(error, "offending_element", None)
    offending = () if tag is None else (tag,)
    assoc.respond(message, status.IDENTIFIER_MISMATCH, error_comment=str(error), offending_elements=offending)
    return status.IDENTIFIER_MISMATCH
