"""The operations of an association: requests as SCU, responses as SCP (PS3.7 9 and 10)."""

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from dicom import status as statuses
from dicom.dimse import command as commands
from dicom.dimse.command import DATA_SET, NO_DATA_SET, RESPONSE, CommandField, Tag, tag_list, text, uid, us
from dicom.dimse.data import Data
from dicom.dimse.errors import AssociationEnded, Failed, NotAccepted, TimedOut
from dicom.dimse.exchange import Exchange, Inbox, logger
from dicom.dimse.message import Message, Response
from dicom.dimse.negotiation import Accept, AssociateRequest, Context
from dicom.dimse.reader import Reader
from dicom.dimse.responses import Responses
from dicom.dimse.settings import Limits, Timeouts
from dicom.dimse.transport import Stream
from dicom.errors import DicomError
from dicom.sop_classes import VERIFICATION

_REQUESTS = frozenset(CommandField)
_MOST_RUNNING = 4  # requests of the peer inside each other: while we wait for a response, it may ask again
_C_FAILURES = frozenset(
    (CommandField.C_STORE, CommandField.C_FIND, CommandField.C_MOVE, CommandField.C_GET)
)  # PS3.4: C000 to CFFF, unable to process
# What a response repeats of its request: (the response's element, where it stands in the request).
_SAME = (
    (Tag.AFFECTED_SOP_CLASS_UID, Tag.AFFECTED_SOP_CLASS_UID),
    (Tag.AFFECTED_SOP_INSTANCE_UID, Tag.AFFECTED_SOP_INSTANCE_UID),
)
_REQUESTED = (
    (Tag.AFFECTED_SOP_CLASS_UID, Tag.REQUESTED_SOP_CLASS_UID),
    (Tag.AFFECTED_SOP_INSTANCE_UID, Tag.REQUESTED_SOP_INSTANCE_UID),
)
_REPEATED: Mapping[int, tuple[tuple[int, int], ...]] = {
    CommandField.N_GET: _REQUESTED,
    CommandField.N_SET: _REQUESTED,
    CommandField.N_DELETE: _REQUESTED,
    CommandField.N_ACTION: (*_REQUESTED, (Tag.ACTION_TYPE_ID, Tag.ACTION_TYPE_ID)),
    CommandField.N_EVENT_REPORT: (*_SAME, (Tag.EVENT_TYPE_ID, Tag.EVENT_TYPE_ID)),
}
_MOST = 0xFFFF  # numbers of sub-operations are US: they saturate

RequestHandler = Callable[["Association", Message], None]


class Association(Exchange):
    """An established association, in either role; made by `associate()` or `run_acceptor()`."""

    def __init__(
        self,
        stream: Stream,
        reader: Reader,
        *,
        is_requestor: bool,
        request: AssociateRequest,
        accept: Accept,
        contexts: Mapping[int, Context],
        address: tuple[str, int],
        timeouts: Timeouts,
        limits: Limits,
        on_request: RequestHandler | None,
        stopping: threading.Event | None = None,
    ) -> None:
        super().__init__(
            stream,
            reader,
            is_requestor=is_requestor,
            contexts=contexts,
            peer_maximum_length=(accept if is_requestor else request).maximum_length,
            timeouts=timeouts,
            limits=limits,
            stopping=stopping,
        )
        self.id = secrets.token_hex(8)
        self.request, self.accept, self.address = request, accept, address
        self.calling_ae_title, self.called_ae_title = request.calling_ae_title, request.called_ae_title
        self.session: Any = None
        """For the acceptor's own use."""
        self.on_store: RequestHandler | None = None
        self._on_request = on_request
        self._last_id = 0
        self._ids = threading.Lock()

    def __repr__(self) -> str:
        return f"<Association {self.id} {self.calling_ae_title} -> {self.called_ae_title}>"

    def context_for(
        self, abstract_syntax: str, transfer_syntax: str | None = None, role: str = "scu"
    ) -> Context | None:
        """An accepted context in which we have that role ("scu" or "scp")."""
        for context in self.contexts.values():
            has_role = context.as_scu if role == "scu" else context.as_scp
            if not has_role or context.abstract_syntax != abstract_syntax:
                continue
            if transfer_syntax is None or context.transfer_syntax == transfer_syntax:
                return context
        return None

    def accepted_context(self, abstract_syntax: str, transfer_syntax: str | None = None, role: str = "scu") -> Context:
        """The same for who cannot do without it. Raises NotAccepted."""
        context = self.context_for(abstract_syntax, transfer_syntax, role)
        if context is None:
            us, peer = self.calling_ae_title, self.called_ae_title
            raise NotAccepted(
                f"{peer} does not offer this to {us}" if self.is_requestor else f"{us} does not take this"
            )
        return context

    # Requests as SCU

    def c_echo(self, *, context: Context | None = None) -> Response:
        context = context or self.accepted_context(VERIFICATION)
        return self._call(context, CommandField.C_ECHO, {Tag.AFFECTED_SOP_CLASS_UID: uid(context.abstract_syntax)})

    def c_store(
        self,
        *,
        context: Context,
        sop_class_uid: str,
        sop_instance_uid: str,
        data: Data,
        priority: int = 0,
        move_originator: tuple[str, int] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Response:
        """`data` is the data set in the context's transfer syntax, without preamble and file meta group. `meanwhile` is
        called when all of it is sent and before the response is awaited; what it raises gives the response up."""
        elements: dict[int, bytes] = {
            Tag.AFFECTED_SOP_CLASS_UID: uid(sop_class_uid),
            Tag.PRIORITY: us(priority),
            Tag.AFFECTED_SOP_INSTANCE_UID: uid(sop_instance_uid),
        }
        if move_originator is not None:
            elements[Tag.MOVE_ORIGINATOR_AE_TITLE] = text(move_originator[0], 16)
            elements[Tag.MOVE_ORIGINATOR_MESSAGE_ID] = us(move_originator[1])
        return self.await_response(self._request(context, CommandField.C_STORE, elements, data), meanwhile)

    def c_find(self, *, context: Context, identifier: bytes, priority: int = 0) -> Responses:
        return self._ask(context, CommandField.C_FIND, {Tag.PRIORITY: us(priority)}, identifier)

    def c_move(self, *, context: Context, destination: str, identifier: bytes, priority: int = 0) -> Responses:
        elements: dict[int, bytes] = {Tag.PRIORITY: us(priority), Tag.MOVE_DESTINATION: text(destination, 16)}
        return self._ask(context, CommandField.C_MOVE, elements, identifier)

    def c_get(
        self, *, context: Context, identifier: bytes, on_store: RequestHandler | None = None, priority: int = 0
    ) -> Responses:
        """`on_store` is called for each C-STORE request that comes meanwhile, and must respond to it."""
        return self._ask(context, CommandField.C_GET, {Tag.PRIORITY: us(priority)}, identifier, on_store)

    def cancel(self, message_id: int, context: Context) -> None:
        """C-CANCEL of a C-FIND, C-MOVE or C-GET of ours; it has no response of its own."""
        elements: dict[int, bytes] = {
            Tag.COMMAND_FIELD: us(CommandField.C_CANCEL),
            Tag.MESSAGE_ID_BEING_RESPONDED_TO: us(message_id),
            Tag.COMMAND_DATA_SET_TYPE: NO_DATA_SET,
        }
        self._send(context, commands.encode(elements))

    def n_create(
        self, *, context: Context, sop_class_uid: str, sop_instance_uid: str = "", data: Data | None = None
    ) -> Response:
        elements: dict[int, bytes] = {Tag.AFFECTED_SOP_CLASS_UID: uid(sop_class_uid)}
        if sop_instance_uid:
            elements[Tag.AFFECTED_SOP_INSTANCE_UID] = uid(sop_instance_uid)
        return self._call(context, CommandField.N_CREATE, elements, data)

    def n_set(self, *, context: Context, sop_class_uid: str, sop_instance_uid: str, data: Data) -> Response:
        return self._call(context, CommandField.N_SET, _requested(sop_class_uid, sop_instance_uid), data)

    def n_get(
        self, *, context: Context, sop_class_uid: str, sop_instance_uid: str, attributes: Iterable[int] = ()
    ) -> Response:
        elements = _requested(sop_class_uid, sop_instance_uid)
        if wanted := tag_list(attributes):
            elements[Tag.ATTRIBUTE_IDENTIFIER_LIST] = wanted
        return self._call(context, CommandField.N_GET, elements)

    def n_action(
        self,
        *,
        context: Context,
        sop_class_uid: str,
        sop_instance_uid: str,
        action_type_id: int,
        data: Data | None = None,
    ) -> Response:
        elements = _requested(sop_class_uid, sop_instance_uid) | {Tag.ACTION_TYPE_ID: us(action_type_id)}
        return self._call(context, CommandField.N_ACTION, elements, data)

    def n_event_report(
        self,
        *,
        context: Context,
        sop_class_uid: str,
        sop_instance_uid: str,
        event_type_id: int,
        data: Data | None = None,
    ) -> Response:
        elements: dict[int, bytes] = {
            Tag.AFFECTED_SOP_CLASS_UID: uid(sop_class_uid),
            Tag.AFFECTED_SOP_INSTANCE_UID: uid(sop_instance_uid),
            Tag.EVENT_TYPE_ID: us(event_type_id),
        }
        return self._call(context, CommandField.N_EVENT_REPORT, elements, data)

    def n_delete(self, *, context: Context, sop_class_uid: str, sop_instance_uid: str) -> Response:
        return self._call(context, CommandField.N_DELETE, _requested(sop_class_uid, sop_instance_uid))

    def _ask(
        self,
        context: Context,
        field: CommandField,
        elements: dict[int, bytes],
        identifier: bytes,
        on_store: RequestHandler | None = None,
    ) -> Responses:
        elements[Tag.AFFECTED_SOP_CLASS_UID] = uid(context.abstract_syntax)
        return Responses(self, context, self._request(context, field, elements, identifier), on_store)

    def _call(
        self, context: Context, field: CommandField, elements: dict[int, bytes], data: Data | None = None
    ) -> Response:
        return self.await_response(self._request(context, field, elements, data))

    def _request(
        self, context: Context, field: CommandField, elements: dict[int, bytes], data: Data | None = None
    ) -> int:
        with self._ids:
            message_id = self._new_id()
            self._inboxes[message_id] = Inbox(field | RESPONSE)
        elements[Tag.COMMAND_FIELD] = us(field)
        elements[Tag.MESSAGE_ID] = us(message_id)
        elements[Tag.COMMAND_DATA_SET_TYPE] = NO_DATA_SET if data is None else DATA_SET
        try:
            self._send(context, commands.encode(elements), data)
        except BaseException:
            del self._inboxes[message_id]
            raise
        return message_id

    def _new_id(self) -> int:
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in self._inboxes and self._last_id not in self._abandoned:
                return self._last_id

    def await_response(self, message_id: int, meanwhile: Callable[[], object] | None = None) -> Response:
        """The next response to that request, after `meanwhile`; in between the peer's own requests are served. Only the
        instances of a C-GET are a reason to wait longer."""
        inbox, patience = self._inboxes[message_id], self.timeouts.dimse
        try:
            if meanwhile is not None:
                meanwhile()
            deadline = None if patience is None else monotonic() + patience
            while not inbox.responses:
                if self.reading.acquire(blocking=False):
                    try:
                        self.step(idle=False)
                        if self.on_store is not None and patience is not None:
                            deadline = monotonic() + patience
                        elif deadline is not None and monotonic() >= deadline and not inbox.responses:
                            self.fail(TimedOut("a response"))
                    finally:
                        self.reading.release()
                else:
                    self._wait_while_another_reads(inbox, deadline)
        except BaseException:
            self.abandon(message_id)
            raise
        response = inbox.responses.popleft()
        if not statuses.is_pending(response.status):
            del self._inboxes[message_id]
        return response

    def abandon(self, message_id: int) -> None:
        """Responses to that request that still come are dropped."""
        if self._inboxes.pop(message_id, None) is not None:
            self._abandoned.add(message_id)

    # Responses as SCP

    def respond(
        self,
        message: Message,
        status: int,
        *,
        data_set: bytes | None = None,
        error_comment: str = "",
        offending_elements: Iterable[int] = (),
        error_id: int | None = None,
        affected_sop_instance_uid: str = "",
        remaining: int | None = None,
        completed: int | None = None,
        failed: int | None = None,
        warning: int | None = None,
    ) -> None:
        """Answer a request; what must be repeated of it is. A data set not read yet is read and dropped before."""
        elements = self._response(message, status, NO_DATA_SET if data_set is None else DATA_SET)
        if affected_sop_instance_uid:
            elements[Tag.AFFECTED_SOP_INSTANCE_UID] = uid(affected_sop_instance_uid)
        if error_comment:
            elements[Tag.ERROR_COMMENT] = text(error_comment, 64)
        if offending := tag_list(offending_elements):
            elements[Tag.OFFENDING_ELEMENT] = offending
        if error_id is not None:
            elements[Tag.ERROR_ID] = us(error_id)
        numbers = ((Tag.REMAINING, remaining), (Tag.COMPLETED, completed), (Tag.FAILED, failed), (Tag.WARNING, warning))
        for tag, number in numbers:
            if number is not None:
                elements[tag] = us(min(number, _MOST))
        self._send(message.context, commands.encode(elements), data_set)
        message.answered = not statuses.is_pending(status)

    def respond_each(
        self,
        message: Message,
        status: int,
        data_sets: Sequence[bytes],
        *,
        final: int | None = None,
        error_comment: str = "",
    ) -> None:
        """A pending response with each of these data sets, and the `final` one, in one write: few and small ones, so
        that whoever cancels is heard soon."""
        last = b""
        if final is not None:
            elements = self._response(message, final, NO_DATA_SET)
            if error_comment:
                elements[Tag.ERROR_COMMENT] = text(error_comment, 64)
            last = commands.encode(elements)
        if data_sets or last:
            command = commands.encode(self._response(message, status, DATA_SET))
            self._send_each(message.context, command, data_sets, last)
        if last:
            message.answered = True

    def _response(self, message: Message, status: int, data_set_type: bytes) -> dict[int, bytes]:
        if message is self._unread:
            self._drop_data_set()
        request = message.command
        elements: dict[int, bytes] = {
            Tag.COMMAND_FIELD: us(request.command_field | RESPONSE),
            Tag.MESSAGE_ID_BEING_RESPONDED_TO: us(request.message_id),
            Tag.COMMAND_DATA_SET_TYPE: data_set_type,
            Tag.STATUS: us(status),
        }
        for tag, source in _REPEATED.get(request.command_field, _SAME):
            if source in request.elements:
                elements[tag] = request.elements[source]
        return elements

    def _dispatch(self, message: Message) -> None:
        """Run the handler. Failed is answered as it says; whatever else it raises is answered and logged here, once."""
        command = message.command
        handler = self.on_store if self.on_store and command.command_field == CommandField.C_STORE else self._on_request
        if command.command_field not in _REQUESTS or handler is None:
            comment = f"{command.name} is not supported here"
            self.respond(message, statuses.UNRECOGNIZED_OPERATION, error_comment=comment)
            return
        if len(self._running) >= _MOST_RUNNING or command.message_id in self._running:
            self.respond(message, statuses.RESOURCE_LIMITATION, error_comment="Too many requests at once")
            return
        self._running[command.message_id] = message
        try:
            handler(self, message)
            if not message.answered and not self._over():
                raise RuntimeError("The handler has not responded")
        except Failed as failed:
            self._answer_failed(message, failed)
        except Exception as error:
            if isinstance(error, AssociationEnded) and self._over():
                raise  # this association's own end
            self._answer_failure(message, error)
        finally:
            del self._running[command.message_id]
            self._cancelled.discard(command.message_id)

    def _over(self) -> bool:
        return self.ended is not None or self._release_requested is not None

    def _answer_failed(self, message: Message, failed: Failed) -> None:
        if message.answered:
            self._answer_failure(message, failed)
            return
        comment, elements, error_id = failed.comment, failed.offending_elements, failed.error_id
        self.respond(message, failed.status, error_comment=comment, offending_elements=elements, error_id=error_id)

    def _answer_failure(self, message: Message, error: Exception) -> None:
        reference = secrets.token_hex(4)
        logger.error("%r: %r failed, reference %s", self, message, reference, exc_info=error)
        comment = f"{error} " if isinstance(error, DicomError) else "Internal error "
        if self.ended is None and not message.answered:
            failed = statuses.UNABLE_TO_PROCESS if message.command.command_field in _C_FAILURES else None
            self.respond(
                message,
                failed or statuses.PROCESSING_FAILURE,
                error_comment=f"{comment[:46]}reference {reference}",
            )


def _requested(sop_class_uid: str, sop_instance_uid: str) -> dict[int, bytes]:
    return {
        Tag.REQUESTED_SOP_CLASS_UID: uid(sop_class_uid),
        Tag.REQUESTED_SOP_INSTANCE_UID: uid(sop_instance_uid),
    }
