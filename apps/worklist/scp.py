"""The DIMSE edge of the Modality Worklist, PS3.4 annex K."""

from django.utils import timezone

from apps.network import answering
from apps.network.answering import answer
from apps.network.rules import PeerRules
from apps.network.session import Session
from apps.worklist import query
from apps.worklist.results import Answers
from apps.worklist.rows import View
from dicom import status
from dicom.dimse import Association, Message


def c_find(session: Session, assoc: Association, message: Message) -> None:
    """PS3.4 K.4.1.3"""
    answer(session, assoc, message, _find, status.QR_OUT_OF_RESOURCES)


def _find(session: Session, assoc: Association, message: Message) -> int:
    return answering.find(session, assoc, message, _answers)


def _answers(session: Session, peer: PeerRules, message: Message) -> Answers:
    asked = query.from_identifier(
        message.read() if message.command.has_data_set else None,
        transfer_syntax_uid=message.context.transfer_syntax,
        strict=peer.strict_identifiers,
        character_set=peer.specific_character_set,
        default_character_set=peer.default_character_set,
    )
    return Answers(
        asked,
        View.of(peer, station=session.principal.ae_title, today=timezone.localdate()),
        session.principal,
        transfer_syntax_uid=message.context.transfer_syntax,
        limit=peer.query_limit,
    )
