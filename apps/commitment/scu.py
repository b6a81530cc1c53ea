"""Storage Commitment Push Model on the wire, PS3.4 annex J: N-ACTION as SCU, N-EVENT-REPORT as SCP.

with associate(host, port, ..., contexts=scu.CONTEXTS, on_request=take) as assoc:
    scu.ask(assoc, transaction_uid, references)     # the report comes now, or later on another association
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dicom import commitment, status
from dicom.commitment import Commitment, Reference, TooManyReferences
from dicom.dimse import Association, Context, DataSetTooLong, Failed, Message, Response
from dicom.errors import InvalidDataSet
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, STORAGE_COMMITMENT_PUSH

CONTEXTS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    (STORAGE_COMMITMENT_PUSH, (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)),  # PS3.5 10.1
)
AS_SCP: Final[Mapping[str, tuple[bool, bool]]] = {STORAGE_COMMITMENT_PUSH: (False, True)}  # PS3.7 D.3.3.4
MOST = 200_000  # references
LONGEST = 64 << 20  # bytes of a data set: more than those references have
_ARGUMENTS = frozenset(
    (
        commitment.TRANSACTION_UID,
        commitment.REFERENCED_SOP_SEQUENCE,
        commitment.REFERENCED_SOP_CLASS_UID,
        commitment.REFERENCED_SOP_INSTANCE_UID,
    )
)


def ask(assoc: Association, transaction_uid: str, references: Iterable[Reference]) -> Response:
    """Raises Failed, DimseError."""
    context = assoc.accepted_context(STORAGE_COMMITMENT_PUSH)
    answer = assoc.n_action(
        context=context,
        sop_class_uid=STORAGE_COMMITMENT_PUSH,
        sop_instance_uid=commitment.INSTANCE,
        action_type_id=commitment.REQUEST,
        data=commitment.request(transaction_uid, references, context.transfer_syntax),
    )
    answer.check()
    return answer


def report(
    assoc: Association, transaction_uid: str, references: Iterable[Reference], *, retrieve_ae_title: str = ""
) -> Response:
    """Raises Failed, DimseError."""
    context = _reporting_context(assoc)
    event, data = commitment.report(
        transaction_uid, references, context.transfer_syntax, retrieve_ae_title=retrieve_ae_title
    )
    answer = assoc.n_event_report(
        context=context,
        sop_class_uid=STORAGE_COMMITMENT_PUSH,
        sop_instance_uid=commitment.INSTANCE,
        event_type_id=event,
        data=data,
    )
    answer.check()
    return answer


def _reporting_context(assoc: Association) -> Context:
    """Where the peer agreed that we are the SCP; old ones take reports without having heard of role selection."""
    found = assoc.context_for(STORAGE_COMMITMENT_PUSH, role="scp")
    return found or assoc.accepted_context(STORAGE_COMMITMENT_PUSH)


def read_request(message: Message) -> Commitment:
    """Of an N-ACTION. Raises Failed with the status that answers it."""
    command = message.command
    _check(command.requested_sop_class_uid, command.requested_sop_instance_uid)
    if command.action_type_id != commitment.REQUEST:
        raise Failed(status.NO_SUCH_ACTION, f"There is no action {command.action_type_id}")
    return _read(message)


def read_report(message: Message) -> Commitment:
    """Of an N-EVENT-REPORT. Raises Failed with the status that answers it."""
    command = message.command
    _check(command.affected_sop_class_uid, command.affected_sop_instance_uid)
    if command.event_type_id not in (commitment.ALL_COMMITTED, commitment.SOME_FAILED):
        raise Failed(status.NO_SUCH_EVENT_TYPE, f"There is no event {command.event_type_id}")
    return _read(message)


def _check(sop_class_uid: str, sop_instance_uid: str) -> None:
    """The one class and the one instance there are."""
    if sop_class_uid != STORAGE_COMMITMENT_PUSH:
        raise Failed(status.NO_SUCH_SOP_CLASS, "Not the SOP class of this context")
    if sop_instance_uid != commitment.INSTANCE:
        raise Failed(status.NO_SUCH_INSTANCE, "Not the well-known SOP instance")


def _read(message: Message) -> Commitment:
    try:
        return commitment.read(message.read(LONGEST), message.context.transfer_syntax, most=MOST)
    except (TooManyReferences, DataSetTooLong) as error:
        raise Failed(status.RESOURCE_LIMITATION, str(error)) from error
    except InvalidDataSet as error:
        tag = error.offending_element
        wrong = status.INVALID_ARGUMENT_VALUE if tag in _ARGUMENTS else status.MISTYPED_ARGUMENT
        raise Failed(wrong, str(error), offending_elements=() if tag is None else (tag,)) from error
