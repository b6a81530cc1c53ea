"""The DIMSE edge of Query/Retrieve, PS3.4 annex C: open the request, call one verb, name the status."""

import ssl
from collections.abc import Callable
from contextlib import closing
from functools import partial
from time import monotonic

from apps.network import answering
from apps.network.answering import MISREAD, answer, refuse, respond, switches
from apps.network.calling import secured
from apps.network.database import borrowed
from apps.network.models import Peer
from apps.network.pacing import pace_of
from apps.network.rules import PeerRules
from apps.network.session import Session
from apps.network.tls import InvalidTls
from apps.qr import query, retrieve, suboperations
from apps.qr.attributes import MODELS
from apps.qr.negotiation import Options
from apps.qr.query import Query
from apps.qr.results import Answers
from apps.qr.retrieve import Instances, Stored
from apps.qr.suboperations import Transfer, heartbeat
from apps.storage.attempts import store_each
from apps.storage.scu import Sender
from apps.storage.sources import Archived
from dicom import status
from dicom.dimse import Association, DimseError, Message, Pace
from dicom.tally import Tally

LOOK = 0.05  # seconds between looks at what was sent, and for a C-CANCEL; oftener would be in the way of sending


def c_find(session: Session, assoc: Association, message: Message) -> None:
    """PS3.4 C.4.1.3"""
    answer(session, assoc, message, _find, status.QR_OUT_OF_RESOURCES)


def c_get(session: Session, assoc: Association, message: Message) -> None:
    """PS3.4 C.4.3.3: C-STORE on the same association, in contexts where the requester took the SCP role."""
    answer(session, assoc, message, _get, status.RETRIEVE_CANNOT_COUNT_MATCHES)


def c_move(session: Session, assoc: Association, message: Message) -> None:
    """PS3.4 C.4.2.3: C-STORE on an association of ours with the destination."""
    answer(session, assoc, message, _move, status.RETRIEVE_CANNOT_COUNT_MATCHES)


def _find(session: Session, assoc: Association, message: Message) -> int:
    return answering.find(session, assoc, message, partial(_answers, assoc))


def _answers(assoc: Association, session: Session, peer: PeerRules, message: Message) -> Answers:
    return Answers(
        _query(peer, assoc, message),
        session.principal,
        transfer_syntax_uid=message.context.transfer_syntax,
        retrieve_ae_title="\\".join(session.rules.rules.retrieve_ae_titles(session.listener)),
    )


def _get(session: Session, assoc: Association, message: Message) -> int:
    try:
        found = _instances(session, assoc, message)
    except MISREAD as error:
        return refuse(assoc, message, error)
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
            tally.note(outcome.sop_instance_uid, outcome.status, outcome.comment)
            if tally.remaining:
                tally.pending(assoc, message)
    return tally.finish(assoc, message, cancelled=cancelled)


def _move(session: Session, assoc: Association, message: Message) -> int:
    destination = session.rules.rules.destination(message.command.move_destination)
    if destination is None or destination.port is None:
        return respond(assoc, message, status.RETRIEVE_DESTINATION_UNKNOWN, "The destination is not known here")
    try:
        found = _instances(session, assoc, message)
    except MISREAD as error:
        return refuse(assoc, message, error)
    tally = Tally(found)
    if not len(found):
        return tally.finish(assoc, message, cancelled=False)
    try:
        tls = _secured(destination)
    except InvalidTls as error:
        tally.give_up(f"The destination cannot be called: {error}")
        return tally.finish(assoc, message, cancelled=False)
    sender = Sender(
        host=destination.host,
        port=destination.port,
        called_ae_title=destination.ae_title,
        calling_ae_title=session.listener.ae_title,
        kinds=found.kinds,
        pace=_pace(session, destination),
        tls=tls,
    )
    originator = (session.calling_ae_title, message.command.message_id)
    with Transfer(sender, found, originator) as transfer:
        cancelled = _watch(assoc, message, transfer, tally, partial(_pace, session, destination))
        try:
            transfer.stop()
        except DimseError as error:
            tally.give_up(f"The destination cannot be reached: {error}")
        for outcome in transfer.outcomes(0):
            tally.note(outcome.sop_instance_uid, outcome.status, outcome.comment)
    if assoc.stopping and not cancelled:
        tally.give_up("Shutting down")
    return tally.finish(assoc, message, cancelled=cancelled)


def _secured(destination: PeerRules) -> ssl.SSLContext | None:
    """By its row: the rules hold no keys of ours. Raises InvalidTls."""
    if not destination.tls:
        return None
    with borrowed():
        row = Peer.objects.filter(name=destination.name).first()
    if row is None:
        raise InvalidTls("It is no peer any more")
    return secured(row)


def _pace(session: Session, destination: PeerRules) -> Pace:
    """As the destination's row says by now."""
    now = session.rules.rules.peer(destination.name) or destination
    return pace_of(now.name, now.rate_limit)


def _watch(
    assoc: Association, message: Message, transfer: Transfer, tally: Tally[Stored], look: Callable[[], object]
) -> bool:
    """Tell the requester how it goes, until it is over or nobody wants it any more; whether it was cancelled."""
    heard = monotonic()
    while not transfer.over and not assoc.stopping:
        look()
        outcomes = transfer.outcomes(LOOK)
        for outcome in outcomes:
            tally.note(outcome.sop_instance_uid, outcome.status, outcome.comment)
        if assoc.is_cancelled(message):
            return True
        if tally.remaining and (outcomes or monotonic() - heard >= suboperations.HEARTBEAT):
            tally.pending(assoc, message)
            heard = monotonic()
        transfer.wait(LOOK)
    return False


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
    peer = switches(session)
    retrieval = retrieve.from_identifier(
        message.read() if message.command.has_data_set else None,
        transfer_syntax_uid=message.context.transfer_syntax,
        model=MODELS[sop_class_uid],
        relational=Options.agreed(sop_class_uid, assoc.accept.extended_negotiation).relational,
        strict=peer.strict_identifiers,
        default_character_set=peer.default_character_set,
    )
    return retrieve.instances(session.principal, retrieval)
