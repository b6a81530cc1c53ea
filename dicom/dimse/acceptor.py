"""The called side of an association: the whole life of one incoming connection, in its own thread."""

import logging
import secrets
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Protocol

from dicom.dimse import negotiation, pdu
from dicom.dimse.association import Association
from dicom.dimse.errors import (
    UNEXPECTED_PDU,
    AssociationEnded,
    AssociationReleased,
    ConnectionLost,
    ProtocolError,
    Stopped,
    TimedOut,
)
from dicom.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom.dimse.message import Message
from dicom.dimse.negotiation import Accept, AssociateRequest, Reject, agreed, completed
from dicom.dimse.reader import Reader
from dicom.dimse.settings import Limits, Timeouts
from dicom.dimse.transport import Stream, secure

logger = logging.getLogger("dicom.dimse")

_LINGER = 1.0


class Acceptor(Protocol):
    """What an application decides and does. Every method runs in the connection's own thread."""

    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        """An exception is a refusal."""

    def begin(self, assoc: Association) -> None:
        """Negotiated; before the first message. An exception aborts."""

    def handle(self, assoc: Association, message: Message) -> None:
        """One request; must respond. An exception is logged and answered with the failure of the service."""

    def before_release(self, assoc: Association) -> None:
        """The peer asked for the release and waits for the answer."""

    def end(self, assoc: Association | None, outcome: str) -> None:
        """Once for each connection; None when it never came to an association.

        Outcomes: "released", "aborted", "aborted by peer", "connection lost", "timed out: ...", "protocol error: ...",
        "stopped", "failed"; without an association also "rejected" and "probe" (connected and closed, nothing said).
        """


def run_acceptor(
    sock: socket.socket,
    address: tuple[str, int],
    acceptor: Acceptor,
    *,
    timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
    limits: Limits = Limits(),  # noqa: B008
    tls: ssl.SSLContext | None = None,
    stopping: threading.Event | None = None,
) -> None:
    """Serve one accepted connection to its end. Raises nothing that a peer or a handler could cause."""
    _Connection(sock, address, acceptor, timeouts, limits, tls, stopping).run()


class _Rejected(Exception):
    pass


class _Connection:
    def __init__(
        self,
        sock: socket.socket,
        address: tuple[str, int],
        acceptor: Acceptor,
        timeouts: Timeouts,
        limits: Limits,
        tls: ssl.SSLContext | None,
        stopping: threading.Event | None,
    ) -> None:
        self._sock, self._address, self._acceptor = sock, address, acceptor
        self._timeouts, self._limits, self._tls, self._stopping = timeouts, limits, tls, stopping
        self._stream: Stream | None = None
        self._reader: Reader | None = None
        self._assoc: Association | None = None

    def run(self) -> None:
        outcome = "failed"

        def live() -> None:
            nonlocal outcome
            outcome = self._live()

        try:
            self._guarded("association", live)
        finally:
            self._guarded("end", lambda: self._acceptor.end(self._assoc, outcome))
            self._close()

    def _live(self) -> str:
        try:
            assoc = self._associate()
        except _Rejected:
            return "rejected"
        except AssociationEnded as error:
            return self._never_associated(error)
        self._assoc = assoc
        with assoc.reading:
            return self._serve(assoc)

    def _serve(self, assoc: Association) -> str:
        if not self._guarded("begin", lambda: self._acceptor.begin(assoc)):
            assoc.abort()
            return "failed"
        try:
            while True:
                if assoc.stopping:
                    assoc.fail(Stopped("This side is shutting down"))
                assoc.step(idle=True)
        except AssociationReleased:
            if assoc.ended is None:
                self._guarded("before_release", lambda: self._acceptor.before_release(assoc))
                assoc.answer_release()
        except AssociationEnded:
            pass
        return assoc.ended.outcome if assoc.ended is not None else "failed"

    def _associate(self) -> Association:
        timeouts = self._timeouts
        deadline = None if timeouts.acse is None else monotonic() + timeouts.acse
        if self._tls is not None:
            self._stream = secure(self._sock, self._tls, server_side=True, tick=timeouts.tick(), deadline=deadline)
        else:
            self._stream = Stream(self._sock, timeouts.tick())
        reader = self._reader = Reader(self._stream, timeouts=timeouts, limits=self._limits, stopping=self._stopping)
        reader.until, reader.expected, reader.interruptible = deadline, "the association request", True
        kind, body = reader.next_pdu()
        if kind != pdu.A_ASSOCIATE_RQ:
            raise ProtocolError("The first PDU is no association request", UNEXPECTED_PDU)
        request = pdu.decode_request(body)
        reader.until = None
        accept = self._decide(request)
        if isinstance(accept, Reject):
            self._say(pdu.reject(accept))
            raise _Rejected
        self._say(pdu.encode_accept(accept, request))
        return Association(
            self._stream,
            reader,
            is_requestor=False,
            request=request,
            accept=accept,
            contexts=agreed(request, accept, is_requestor=False),
            address=self._address,
            timeouts=timeouts,
            limits=self._limits,
            on_request=self._acceptor.handle,
            stopping=self._stopping,
        )

    def _decide(self, request: AssociateRequest) -> Accept | Reject:
        # PS3.8 9.3.2: bit 0 is version 1, other bits are not looked at.
        if not request.protocol_version & 1:
            return negotiation.PROTOCOL_VERSION_NOT_SUPPORTED
        if request.application_context_name != negotiation.APPLICATION_CONTEXT_NAME:
            return negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED
        decision: Accept | Reject = negotiation.CHECK_FAILED

        def ask() -> None:
            nonlocal decision
            answer = self._acceptor.negotiate(request, self._address)
            decision = (
                answer
                if isinstance(answer, Reject)
                else completed(
                    answer,
                    request,
                    maximum_length=self._limits.maximum_length,
                    class_uid=IMPLEMENTATION_CLASS_UID,
                    version_name=IMPLEMENTATION_VERSION_NAME,
                )
            )

        self._guarded("negotiate", ask)
        return decision

    def _guarded(self, what: str, call: Callable[[], None]) -> bool:
        """The one place where an application's failure outside of a message is logged."""
        try:
            call()
        except Exception:
            reference = secrets.token_hex(4)
            logger.exception("%s of a connection from %s failed, reference %s", what, self._address[0], reference)
            return False
        return True

    def _never_associated(self, error: AssociationEnded) -> str:
        silent = self._reader is None or self._reader.received == 0
        if isinstance(error, ConnectionLost) and silent:
            return "probe"  # a load balancer looks whether we are there
        if isinstance(error, (ProtocolError, TimedOut)) and self._stream is not None:
            self._say(pdu.abort(2, error.reason if isinstance(error, ProtocolError) else 0))
        return error.outcome

    def _say(self, encoded: bytes) -> None:
        """Nothing was sent before: the kernel's buffer takes it at once."""
        if self._stream is not None:
            with suppress(BlockingIOError, ConnectionLost):
                self._stream.send([encoded])

    def _close(self) -> None:
        if self._assoc is not None:
            self._assoc.close()
        elif self._stream is not None:
            self._stream.finish(_LINGER)
        else:
            self._sock.close()
