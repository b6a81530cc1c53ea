"""The DIMSE edge of Modality Performed Procedure Step, PS3.4 annex F: open the request, call one verb, name the
status."""

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError

from apps.mpps import procedure_step
from apps.network.answering import switches
from apps.network.database import borrowed
from apps.network.rules import PeerRules
from apps.network.session import Session
from dicom import jsonmodel
from dicom import status as statuses
from dicom.dicomjson import Json
from dicom.dimse import Association, DataSetTooLong, Failed, Message
from dicom.errors import InvalidDataSet
from dicom.mpps import Refused

log = logging.getLogger(__name__)

LONGEST = 64 << 20  # bytes of a data set: a hundred thousand references
Work = Callable[[Session, Association, Message], None]


def n_create(session: Session, assoc: Association, message: Message) -> None:
    _answer(session, assoc, message, _create)


def n_set(session: Session, assoc: Association, message: Message) -> None:
    _answer(session, assoc, message, _set)


def n_get(session: Session, assoc: Association, message: Message) -> None:
    _answer(session, assoc, message, _get)


def _create(session: Session, assoc: Association, message: Message) -> None:
    peer = switches(session)
    step = procedure_step.create(
        principal=session.principal,
        sop_instance_uid=message.command.affected_sop_instance_uid,
        data_set=_data_set(peer, message),
        strict=peer.strict_mpps,
    )
    assoc.respond(message, statuses.SUCCESS, affected_sop_instance_uid=step.sop_instance_uid)


def _set(session: Session, assoc: Association, message: Message) -> None:
    peer = switches(session)
    procedure_step.modify(
        principal=session.principal,
        sop_instance_uid=message.command.requested_sop_instance_uid,
        changes=_data_set(peer, message),
        strict=peer.strict_mpps,
    )
    assoc.respond(message, statuses.SUCCESS)


def _get(session: Session, assoc: Association, message: Message) -> None:
    data_set = procedure_step.retrieve(
        principal=session.principal,
        sop_instance_uid=message.command.requested_sop_instance_uid,
        attributes=message.command.attribute_identifier_list,
    )
    encoded = jsonmodel.write(data_set, message.context.transfer_syntax)
    assoc.respond(message, statuses.SUCCESS, data_set=encoded)


def _answer(session: Session, assoc: Association, message: Message, work: Work) -> None:
    outcome = statuses.SUCCESS
    try:
        with borrowed():
            work(session, assoc, message)
    except Refused as refused:
        outcome = refused.status
        raise Failed(
            outcome, str(refused), offending_elements=refused.offending_elements, error_id=refused.error_id
        ) from refused
    except (InvalidDataSet, DataSetTooLong) as error:
        outcome = statuses.MISTYPED_ARGUMENT
        offending = getattr(error, "offending_element", None)
        raise Failed(outcome, str(error), offending_elements=() if offending is None else (offending,)) from error
    except (OperationalError, InterfaceError) as error:
        outcome = statuses.PROCESSING_FAILURE
        log.error("%s failed: %s", message.command.name, error)
        raise Failed(outcome, "The database does not answer") from error
    finally:
        session.count(message.command.name.removesuffix("-RQ"), outcome)


def _data_set(peer: PeerRules, message: Message) -> Json:
    return jsonmodel.read(
        message.read(LONGEST),
        message.context.transfer_syntax,
        default_character_set=peer.default_character_set,
    )
