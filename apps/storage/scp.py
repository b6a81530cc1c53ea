"""Storage, PS3.4 annex B: the DIMSE edge of C-STORE."""

from apps.network.session import Session
from apps.storage import intake
from apps.storage.intake import Refused
from dicom import status
from dicom.dimse import Association, Message
from dicom.part10 import Provenance


def c_store(session: Session, assoc: Association, message: Message) -> None:
    command = message.command
    try:
        received = intake.receive(
            provenance=_provenance(session),
            sop_class_uid=command.affected_sop_class_uid,
            sop_instance_uid=command.affected_sop_instance_uid,
            transfer_syntax_uid=message.context.transfer_syntax,
            fragments=message.fragments(),
        )
    except Refused as refused:
        outcome = refused.status
        assoc.respond(message, outcome, error_comment=str(refused), offending_elements=refused.offending_elements)
    else:
        outcome = status.SUCCESS
        session.stored.append(received.name)
        try:
            assoc.respond(message, outcome)
        finally:
            intake.announce(received)
    session.count("C-STORE", outcome)


def _provenance(session: Session) -> Provenance:
    caller = session.caller
    return Provenance(
        received_ns=0,
        calling_ae_title=session.calling_ae_title,
        called_ae_title=session.called_ae_title,
        receiving_ae_title=session.listener.ae_title,
        address=session.address,
        association_id=session.association_id,
        peer=caller.name,
        policy=caller.duplicate_policy,
        issuer=caller.default_issuer_of_patient_id,
        character_set=caller.default_character_set,
    )
