"""The DIMSE edge of Query/Retrieve, PS3.4 annex C: open the request, call one verb, name the status."""

import logging
from collections.abc import Callable
from contextlib import closing
from time import monotonic

from django.db import InterfaceError, OperationalError

from apps.network.rules import PeerRules
from apps.network.session import Session
from apps.qr import query, retrieve, suboperations
from apps.qr.attributes import MODELS
from apps.qr.negotiation import Options
from apps.qr.query import Query
from apps.qr.results import Answers
from apps.qr.retrieve import Instances
from apps.qr.suboperations import Tally, Transfer, heartbeat
from apps.storage.attempts import store_each
from apps.storage.scu import Sender
from apps.storage.sources import Archived
from dicom import status
from dicom.dimse import Association, DataSetTooLong, DimseError, Message
from dicom.errors import InvalidDataSet, InvalidValue

log = logging.getLogger(__name__)

LOOK = 0.05  # seconds between looks at what was sent, and for a C-CANCEL; oftener would be in the way of sending

Work = Callable[[Session, Association, Message], int]
MISREAD = (InvalidDataSet, InvalidValue, DataSetTooLong)


def c_find(session: Session, assoc: Association, message: Message) -> None:
    """PS3.4 C.4.1.3"""
    _answer(session, assoc, message, _find, status.QR_OUT_OF_RESOURCES)


def c_get(session: Session, assoc: Association, message: Message) -> None:
    """PS3.4 C.4.3.3: C-STORE on the same association, in contexts where the requester took the SCP role."""
    _answer(session, assoc, message, _get, status.RETRIEVE_CANNOT_COUNT_MATCHES)


def c_move(session: Session, assoc: Association, message: Message) -> None:
    """PS3.4 C.4.2.3: C-STORE on an association of ours with the destination."""
    _answer(session, assoc, message, _move, status.RETRIEVE_CANNOT_COUNT_MATCHES)


def _answer(session: Session, assoc: Association, message: Message, work: Work, away: int) -> None:
    """`away`: the status that says that the database is."""
    try:
        final = work(session, assoc, message)
    except (OperationalError, InterfaceError) as error:
        log.error("%s failed: %s", message.command.name, error)
        final = _respond(assoc, message, away, "The database does not answer")
    session.count(message.command.name.removesuffix("-RQ"), final)


def _find(session: Session, assoc: Association, message: Message) -> int:
    peer = _peer(session)
    try:
        asked = _query(peer, assoc, message)
    except MISREAD as error:
        return _refuse(assoc, message, error)
    answers = Answers(
        asked,
        session.principal,
        transfer_syntax_uid=message.context.transfer_syntax,
        retrieve_ae_title=session.listener.ae_title,
    )
    pending = status.PENDING_OPTIONAL_KEYS_UNSUPPORTED if asked.unsupported else status.PENDING
    for data_set in answers:
        if assoc.is_cancelled(message):
            return _respond(assoc, message, status.CANCEL)
        if assoc.stopping:
            return _respond(assoc, message, status.QR_OUT_OF_RESOURCES, "Shutting down")
        assoc.respond(message, pending, data_set=data_set)
    if answers.limit_reached and not peer.success_at_limit:
        comment = f"More than {asked.limit} match: ask for less"
        return _respond(assoc, message, status.QR_OUT_OF_RESOURCES, comment)
    return _respond(assoc, message, status.SUCCESS)


def _get(session: Session, assoc: Association, message: Message) -> int:
    try:
        found = _instances(session, assoc, message)
    except MISREAD as error:
        return _refuse(assoc, message, error)
    tally = Tally(found)
    cancelled = False
    sending = closing(store_each(assoc, map(Archived, found)))
    with heartbeat(lambda: tally.pending(assoc, message)), sending as outcomes:
        while tally.remaining:
            if assoc.stopping:
                tally.give_up("Shutting down")
                break
            if cancelled := assoc.is_cancelled(message):
                break
            if (outcome := next(outcomes, None)) is None:
                break
            tally.note(outcome)
            if tally.remaining:
                tally.pending(assoc, message)
    return tally.finish(assoc, message, cancelled=cancelled)


def _move(session: Session, assoc: Association, message: Message) -> int:
    destination = session.rules.rules.destination(message.command.move_destination)
    if destination is None or destination.port is None:
        return _respond(assoc, message, status.RETRIEVE_DESTINATION_UNKNOWN, "The destination is not known here")
    try:
        found = _instances(session, assoc, message)
    except MISREAD as error:
        return _refuse(assoc, message, error)
    tally = Tally(found)
    if not len(found):
        return tally.finish(assoc, message, cancelled=False)
    sender = Sender(
        host=destination.host,
        port=destination.port,
        called_ae_title=destination.ae_title,
        calling_ae_title=session.listener.ae_title,
        kinds=found.kinds,
    )
    originator = (session.calling_ae_title, message.command.message_id)
    with Transfer(sender, found, originator) as transfer:
        cancelled = _watch(assoc, message, transfer, tally)
        try:
            transfer.stop()
        except DimseError as error:
            tally.give_up(f"The destination cannot be reached: {error}")
        for outcome in transfer.outcomes(0):
            tally.note(outcome)
    if assoc.stopping and not cancelled:
        tally.give_up("Shutting down")
    return tally.finish(assoc, message, cancelled=cancelled)


def _watch(assoc: Association, message: Message, transfer: Transfer, tally: Tally) -> bool:
    """Tell the requester how it goes, until it is over or nobody wants it any more; whether it was cancelled."""
    heard = monotonic()
    while not transfer.over and not assoc.stopping:
        outcomes = transfer.outcomes(LOOK)
        for outcome in outcomes:
            tally.note(outcome)
        if assoc.is_cancelled(message):
            return True
        if tally.remaining and (outcomes or monotonic() - heard >= suboperations.HEARTBEAT):
            tally.pending(assoc, message)
            heard = monotonic()
        transfer.wait(LOOK)
    return False


def _peer(session: Session) -> PeerRules:
    """The caller's switches as they are now."""
    return session.rules.rules.caller(session.calling_ae_title, session.address) or session.caller


def _respond(assoc: Association, message: Message, final: int, comment: str = "") -> int:
    assoc.respond(message, final, error_comment=comment)
    return final


def _refuse(assoc: Association, message: Message, error: InvalidDataSet | InvalidValue | DataSetTooLong) -> int:
    """PS3.7 C.5.8: Identifier does not match SOP Class, and which element."""
    tag = error.tag if isinstance(error, InvalidValue) else getattr(error, "offending_element", None)
    offending = () if tag is None else (tag,)
    assoc.respond(message, status.IDENTIFIER_MISMATCH, error_comment=str(error), offending_elements=offending)
    return status.IDENTIFIER_MISMATCH


def _query(peer: PeerRules, assoc: Association, message: Message) -> Query:
    sop_class_uid = message.context.abstract_syntax
    return query.from_identifier(
        message.read() if message.command.has_data_set else None,
        transfer_syntax_uid=message.context.transfer_syntax,
        model=MODELS[sop_class_uid],
        options=Options.agreed(sop_class_uid, assoc.accept.extended_negotiation),
        strict=peer.strict_identifiers,
        limit=peer.query_limit,
        character_set=peer.specific_character_set,
        default_character_set=peer.default_character_set,
    )


def _instances(session: Session, assoc: Association, message: Message) -> Instances:
    sop_class_uid = message.context.abstract_syntax
    peer = _peer(session)
    retrieval = retrieve.from_identifier(
        message.read() if message.command.has_data_set else None,
        transfer_syntax_uid=message.context.transfer_syntax,
        model=MODELS[sop_class_uid],
        relational=Options.agreed(sop_class_uid, assoc.accept.extended_negotiation).relational,
        strict=peer.strict_identifiers,
        default_character_set=peer.default_character_set,
    )
    return retrieve.instances(session.principal, retrieval)
