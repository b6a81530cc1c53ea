"""The DIMSE edge of the Storage Commitment Push Model, PS3.4 annex J: N-ACTION, and the reports on requests of ours."""

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError

from apps.commitment import answers, live, received, scu
from apps.network.database import borrowed
from apps.network.session import Session
from dicom import status
from dicom.dimse import Association, Failed, Message

log = logging.getLogger(__name__)

Work = Callable[[Session, Association, Message], None]


def n_action(session: Session, assoc: Association, message: Message) -> None:
    _answer(session, assoc, message, _asked)


def n_event_report(session: Session, assoc: Association, message: Message) -> None:
    _answer(session, assoc, message, _reported)


def _asked(session: Session, assoc: Association, message: Message) -> None:
    asked = scu.read_request(message)
    with borrowed():
        request = received.receive(
            principal=session.principal,
            commitment=asked,
            calling_ae_title=session.calling_ae_title,
            called_ae_title=session.listener.ae_title,
            association_id=session.association_id,
        )
    assoc.respond(message, status.SUCCESS)
    live.watch.add(request.pk, assoc)


def _reported(session: Session, assoc: Association, message: Message) -> None:
    report = scu.read_report(message)
    with borrowed():
        answers.take(report, peer=session.caller.name, ae_title=session.calling_ae_title)
    assoc.respond(message, status.SUCCESS)


def _answer(session: Session, assoc: Association, message: Message, work: Work) -> None:
    outcome = status.SUCCESS
    try:
        work(session, assoc, message)
    except Failed as failed:
        outcome = failed.status
        log.warning("%s of %s refused: %s", message.command.name, session.calling_ae_title, failed)
        raise
    except (OperationalError, InterfaceError) as error:
        outcome = status.PROCESSING_FAILURE
        log.error("%s failed: %s", message.command.name, error)
        raise Failed(outcome, "The database does not answer") from error
    finally:
        session.count(message.command.name.removesuffix("-RQ"), outcome)
