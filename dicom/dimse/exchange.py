"""One association on one connection: messages in, messages out, and every way it can end. The same for both roles."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, NoReturn, TypeVar

from dicom.dimse import command as commands
from dicom.dimse import pdu
from dicom.dimse.command import Command, CommandField
from dicom.dimse.data import Data
from dicom.dimse.errors import (
    UNEXPECTED_PDU,
    AssociationAborted,
    AssociationEnded,
    AssociationReleased,
    ConnectionLost,
    DataSetTooLong,
    ProtocolError,
    Stopped,
    TimedOut,
)
from dicom.dimse.message import Message, Response
from dicom.dimse.negotiation import Context
from dicom.dimse.pace import Pace
from dicom.dimse.reader import NothingYet, Reader
from dicom.dimse.settings import Limits, Timeouts
from dicom.dimse.transport import Stream
from dicom.dimse.writer import Writer
from dicom.status import is_pending

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

T = TypeVar("T")
logger = logging.getLogger("dicom.dimse")

_LINGER = 1.0  # seconds for the peer to read our last PDU and close
_C_CANCEL = int(CommandField.C_CANCEL)
_MOST_WAITING = 1000  # responses to one request that nobody has asked for yet


@dataclass(slots=True)
class Inbox:
    """Responses to one request of ours; it is over after one whose status is not pending."""

    command_field: int
    responses: deque[Response] = field(default_factory=deque)


class Exchange:
    """What is common to both roles. One thread at a time reads; any thread may send, and wait for its response."""

    def __init__(
        self,
        stream: Stream,
        reader: Reader,
        *,
        is_requestor: bool,
        contexts: Mapping[int, Context],
        peer_maximum_length: int,
        timeouts: Timeouts,
        limits: Limits,
        stopping: threading.Event | None,
    ) -> None:
        self.is_requestor = is_requestor
        self.contexts = dict(contexts)
        self.peer_maximum_length = peer_maximum_length
        self.timeouts, self.limits = timeouts, limits
        self.ended: AssociationEnded | None = None
        self._stream, self._reader = stream, reader
        self._writer = Writer(
            stream, peer_maximum_length=peer_maximum_length, ours=limits.maximum_length, timeout=timeouts.send
        )
        self._stopping = stopping
        self.reading = threading.RLock()
        """Held by the thread that reads; by the acceptor's for the whole association."""
        self._ending = threading.Lock()
        self._arrived = threading.Condition()
        self._waiting = 0  # threads that wait for a response while another reads
        self._unread: Message | None = None  # whose data set is on the wire now
        self._ahead: Message | None = None  # found by a look without waiting
        self._release_requested: AssociationReleased | None = None
        self._running: dict[int, Message] = {}  # requests of the peer, by message ID
        self._cancelled: set[int] = set()
        self._inboxes: dict[int, Inbox] = {}  # requests of ours
        self._abandoned: set[int] = set()  # requests of ours whose responses nobody wants
        reader.accepted = self.contexts

    # Receiving

    def step(self, *, idle: bool) -> None:
        """Wait for the peer's next message and do what it asks. Raises AssociationEnded."""
        with self.reading:
            message = self._receive(idle=idle)
            command = message.command
            if command.is_response:
                self._take_response(message)
            elif command.command_field == _C_CANCEL:
                self._note_cancel(command)
            else:
                self._dispatch(message)

    def serve(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Do what the peer asks until `until()` holds or the time is up, such as a report that is still to come.
        Raises AssociationEnded."""
        deadline = monotonic() + seconds
        with self.reading:
            while not until():
                self._look()
                if self.ended or self._ahead or self._release_requested:
                    self.step(idle=True)
                elif (left := deadline - monotonic()) > 0:
                    self._stream.wait(left)
                else:
                    return

    def _dispatch(self, message: Message) -> None:
        raise NotImplementedError

    def _receive(self, *, idle: bool) -> Message:
        self._check()
        self._drop_data_set()
        if (message := self._ahead) is not None:
            self._ahead = None
            self._unread = message if message.command.has_data_set else None
            return message
        if self._release_requested is not None:
            raise self._release_requested
        reader = self._reader
        if idle:
            reader.patience, reader.expected = self.timeouts.idle, "the next request (idle)"
        else:
            reader.patience, reader.expected = self.timeouts.dimse, "a response"
        reader.interruptible, reader.within_message = idle, False
        try:
            message = self._message()
        except AssociationEnded as error:
            self.fail(error)
        self._unread = message if message.command.has_data_set else None
        return message

    def _message(self) -> Message:
        identifier, encoded = self._reader.command()
        command = commands.decode(encoded)
        return Message(self, self.contexts[identifier], command)

    def fragments(self, message: Message) -> Iterator[list[memoryview]]:
        """See Message.fragments()."""
        while message is self._unread:
            parts = self._parts(message)
            try:
                if parts:
                    yield parts
            finally:
                for part in parts:
                    part.release()
        if message._state == "dropped":
            raise RuntimeError("The rest of the data set was given up: another message was asked for in between")

    def _parts(self, message: Message) -> list[memoryview]:
        reader, cap = self._reader, self.limits.data_set_cap
        reader.patience, reader.expected, reader.within_message = self.timeouts.dimse, "the rest of a data set", True
        parts: list[memoryview] = []
        try:
            if reader.data(parts):
                self._unread = None
            if cap is not None:
                message.size += sum(map(len, parts))
                if message.size > cap:
                    raise ProtocolError(f"A data set of more than {cap} bytes")
        except AssociationEnded as error:
            self.fail(error)
        return parts

    def _drop_data_set(self) -> None:
        while (message := self._unread) is not None:
            message._state = "dropped"
            self._parts(message)

    def _take_response(self, message: Message) -> None:
        command = message.command
        inbox = self._inboxes.get(command.message_id)
        status = command.status
        if status is None:
            self.fail(ProtocolError("A response without a status"))
        if inbox is None:
            if command.message_id not in self._abandoned:
                self.fail(ProtocolError(f"A response to message {command.message_id}, which awaits none"))
            if not is_pending(status):
                self._abandoned.discard(command.message_id)
            return
        if command.command_field != inbox.command_field or len(inbox.responses) >= _MOST_WAITING:
            self.fail(ProtocolError(f"{command.name} to message {command.message_id} is out of place"))
        try:
            data_set = message.read() if command.has_data_set else None
        except DataSetTooLong as error:
            self.fail(ProtocolError(str(error)))
        inbox.responses.append(Response(status, command, data_set))
        if self._waiting:
            with self._arrived:
                self._arrived.notify_all()

    def _wait_while_another_reads(self, inbox: Inbox, deadline: float | None) -> None:
        with self._arrived:
            self._waiting += 1
            try:
                self._arrived.wait_for(lambda: inbox.responses or self.ended, self.timeouts.tick())
            finally:
                self._waiting -= 1
        if not inbox.responses:
            self._check()
            if deadline is not None and monotonic() >= deadline:
                self.fail(TimedOut("a response"))

    def _note_cancel(self, command: Command) -> None:
        # PS3.7 9.3.2.3: it names the request it cancels; one that has ended already is nothing to us.
        if command.message_id in self._running:
            self._cancelled.add(command.message_id)

    def _look(self) -> None:
        """Read what is there without waiting: A-ABORT, A-RELEASE-RQ and C-CANCEL are noted, a message is kept."""
        if not self.reading.acquire(blocking=False):
            return  # the thread that reads notes the same
        try:
            if self.ended or self._release_requested or self._ahead is not None or self._unread is not None:
                return
            self._reader.blocking = False
            while self._ahead is None:
                message = self._message()
                if message.command.command_field == _C_CANCEL and not message.command.has_data_set:
                    self._note_cancel(message.command)
                else:
                    self._ahead = message
        except NothingYet:
            pass
        except AssociationEnded as error:
            self.end(error)
        finally:
            self._reader.blocking = True
            self.reading.release()

    def is_cancelled(self, message: Message) -> bool:
        """Whether the peer does not want the rest any more: C-CANCEL, a release request, or it is gone."""
        self._look()
        return bool(message.command.message_id in self._cancelled or self._release_requested or self.ended)

    def peer_is_gone(self) -> bool:
        """Whether A-ABORT came or the connection is closed, as far as can be seen without waiting."""
        self._look()
        return self.ended is not None or self._stream.hung_up()

    @property
    def stopping(self) -> bool:
        """Whether this side is shutting down: a long handler may end early."""
        return self._stopping is not None and self._stopping.is_set()

    # Sending

    def keep_pace(self, pace: Pace | None) -> None:
        """What is sent from now on leaves as `pace` allows; None: as fast as it can."""
        self._writer.pace = pace

    def _send(self, context: Context, encoded: bytes, data: Data | None = None) -> None:
        self._write(context, self._writer.message, encoded, data)

    def _send_each(self, context: Context, encoded: bytes, data_sets: Sequence[bytes], last: bytes) -> None:
        """The same command with each of these data sets, and a last one without."""
        self._write(context, self._writer.messages, encoded, (data_sets, last))

    def _write(self, context: Context, write: Callable[[int, bytes, T], None], encoded: bytes, data: T) -> None:
        self._check()
        if context.id not in self.contexts:
            raise ValueError(f"Context {context.id} is not one of this association")
        try:
            write(context.id, encoded, data)
        except AssociationEnded as error:
            self._look()  # an A-ABORT tells more than a broken connection
            self.fail(error)
        except BaseException:
            if self._writer.mid_message:
                self.end(AssociationAborted(0, 0, by_us=True))
            raise

    # Ending

    def _check(self) -> None:
        if self.ended is not None:
            raise self.ended

    def end(self, error: AssociationEnded) -> AssociationEnded:
        """Note how it ended, once, and tell the peer what it must know. Returns what to raise."""
        with self._ending:
            if self.ended is not None:
                return self.ended
            if isinstance(error, AssociationReleased) and not self.is_requestor:
                self._release_requested = error  # the acceptor's last words come first
                return error
            self.ended = self._reader.over = error
            if last_word := self._last_word(error):
                self._say(last_word)
        return error

    def fail(self, error: AssociationEnded) -> NoReturn:
        """End with this error, or raise what has ended it before."""
        ended = self.end(error)
        raise ended from (error.__cause__ if ended is error else error)

    @staticmethod
    def _last_word(error: AssociationEnded) -> bytes:
        if isinstance(error, ProtocolError):
            return pdu.abort(2, error.reason)
        if isinstance(error, (TimedOut, Stopped)):
            return pdu.abort(2, 0)
        if isinstance(error, AssociationReleased):
            return pdu.RELEASE_RP
        if isinstance(error, AssociationAborted) and error.by_us:
            return pdu.abort(error.source, error.reason)
        return b""

    def _say(self, encoded: bytes) -> None:
        """If it can be said now: never in the middle of a PDU, never waiting for a peer that does not read."""
        if self._writer.lock.acquire(timeout=0.1):
            try:
                if not self._writer.mid_pdu:
                    self._stream.send([encoded])
            except (BlockingIOError, ConnectionLost):
                pass
            finally:
                self._writer.lock.release()

    def release(self) -> None:
        """Orderly end (PS3.8 7.2). Does not raise when the peer has no manners: `ended` says how it went."""
        with suppress(AssociationEnded), self.reading:
            self._check()
            if self._release_requested is not None:
                self.answer_release()
                return
            try:
                self._writer.pdu(pdu.RELEASE_RQ)
                self._await_release()
                self.ended = AssociationReleased("We released the association")
            except AssociationEnded as error:
                self.end(error)
        self.close()

    def _await_release(self) -> None:
        reader, collision = self._reader, False
        if self.timeouts.release is not None:
            reader.until = monotonic() + self.timeouts.release
        reader.expected, reader.interruptible, reader.within_message = "the release response", False, False
        while True:
            kind, body = reader.next_pdu_after_data()
            if kind == pdu.A_RELEASE_RP:
                if collision and not self.is_requestor:
                    self._writer.pdu(pdu.RELEASE_RP)
                return
            if kind == pdu.A_ABORT:
                raise AssociationAborted(*body[2:4]) if len(body) == 4 else AssociationAborted(0, 0)
            if kind != pdu.A_RELEASE_RQ or collision:
                raise ProtocolError("An association PDU while releasing", UNEXPECTED_PDU)
            # PS3.8 9.2, AR-8 to AR-10: the requestor of the association answers first, the acceptor after that answer.
            collision = True
            if self.is_requestor:
                self._writer.pdu(pdu.RELEASE_RP)

    def answer_release(self) -> None:
        """The peer has asked for the release: let it go."""
        if self.ended is None and self._release_requested is not None:
            self.ended = self._release_requested
            self._say(pdu.RELEASE_RP)

    def abort(self, source: int = 0, reason: int = 0) -> None:
        """From any thread. The thread that runs the association finds it ended with its next step or wait."""
        self._writer.given_up = True
        self.end(AssociationAborted(source, reason, by_us=True))
        if self.is_requestor and self.reading.acquire(blocking=False):
            try:
                self.close()
            finally:
                self.reading.release()

    def close(self) -> None:
        """Close the connection; without release or abort before, the peer sees it lost. Only by the running thread."""
        if self.ended is None:
            self.ended = ConnectionLost("The connection was closed on this side")
        with self._ending:
            pass  # another thread may be saying the last word
        released_by_us = isinstance(self.ended, AssociationReleased) and self.is_requestor
        # PS3.8 9.2, Sta13: who has had the last word waits for the peer to close.
        self._stream.finish(_LINGER if self._last_word(self.ended) and not released_by_us else 0)
        self._reader.forget()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        if self.ended is None:
            if kind is None:
                self.release()
            else:
                self.abort()
        self.close()
