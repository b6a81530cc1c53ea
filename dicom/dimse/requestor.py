"""The calling side of an association (PS3.8 7.1.1, 9.2)."""

import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from dicom.dimse import pdu
from dicom.dimse.association import Association, RequestHandler
from dicom.dimse.errors import (
    UNEXPECTED_PDU,
    AssociationAborted,
    AssociationEnded,
    AssociationRejected,
    ConnectFailed,
    ConnectionLost,
    ProtocolError,
    TimedOut,
)
from dicom.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom.dimse.negotiation import (
    Accept,
    AssociateRequest,
    CommonExtendedNegotiation,
    ProposedContext,
    Role,
    UserIdentity,
    agreed,
    propose,
)
from dicom.dimse.pace import Pace
from dicom.dimse.reader import Reader
from dicom.dimse.settings import Limits, Timeouts
from dicom.dimse.transport import Stream, secure


def associate(
    host: str,
    port: int,
    *,
    calling_ae_title: str,
    called_ae_title: str,
    contexts: Sequence[ProposedContext | tuple[str, Sequence[str]]],
    timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
    limits: Limits = Limits(),  # noqa: B008
    tls: ssl.SSLContext | None = None,
    roles: Mapping[str, Role] | None = None,
    extended_negotiation: Mapping[str, bytes] | None = None,
    common_extended: Mapping[str, CommonExtendedNegotiation] | None = None,
    user_identity: UserIdentity | None = None,
    on_request: RequestHandler | None = None,
    pace: Pace | None = None,
) -> Association:
    """Connect and negotiate. As a context manager the association is released at the end, aborted on an exception.

    `contexts` are (abstract syntax, transfer syntaxes) pairs. `roles` is {SOP class: (SCU, SCP)} as we want them.
    `on_request` serves what the peer asks of us, such as N-EVENT-REPORT; `pace` slows what is sent. Whether a context
    was accepted is seen by `context_for()`. Raises ConnectFailed, AssociationRejected, AssociationAborted, TimedOut,
    ProtocolError, ConnectionLost; ValueError for what cannot be proposed.
    """
    request = AssociateRequest(
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        contexts=propose(contexts),
        roles=roles or {},
        extended_negotiation=extended_negotiation or {},
        common_extended=common_extended or {},
        user_identity=user_identity,
        maximum_length=limits.maximum_length,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )
    encoded = pdu.encode_request(request)
    stream = _connect(host, port, tls, timeouts)
    reader = Reader(stream, timeouts=timeouts, limits=limits)
    accept = _accepted(stream, reader, encoded, timeouts)
    assoc = Association(
        stream,
        reader,
        is_requestor=True,
        request=request,
        accept=accept,
        contexts=agreed(request, accept, is_requestor=True),
        address=(host, port),
        timeouts=timeouts,
        limits=limits,
        on_request=on_request,
    )
    assoc.keep_pace(pace)
    return assoc


def _connect(host: str, port: int, tls: ssl.SSLContext | None, timeouts: Timeouts) -> Stream:
    try:
        sock = socket.create_connection((host, port), timeouts.connect)
    except OSError as error:
        reason = "timed out" if isinstance(error, TimeoutError) else error.strerror or error
        raise ConnectFailed(f"Cannot connect to {host}:{port}: {reason}") from error
    if tls is None:
        return Stream(sock, timeouts.tick())
    deadline = None if timeouts.acse is None else monotonic() + timeouts.acse
    try:
        return secure(sock, tls, server_side=False, tick=timeouts.tick(), deadline=deadline, server_hostname=host)
    except AssociationEnded as error:
        raise ConnectFailed(f"Cannot connect to {host}:{port}: {error}") from error
    except BaseException:
        sock.close()
        raise


def _accepted(stream: Stream, reader: Reader, encoded: bytes, timeouts: Timeouts) -> Accept:
    """What the peer agrees to; whatever else comes of it ends the connection."""
    try:
        return _negotiate(stream, reader, encoded, timeouts)
    except AssociationEnded as error:
        if isinstance(error, (ProtocolError, TimedOut)):
            _say_abort(stream, error)
        stream.finish(0)
        raise
    except BaseException:
        stream.finish(0)
        raise


def _negotiate(stream: Stream, reader: Reader, encoded: bytes, timeouts: Timeouts) -> Accept:
    if timeouts.acse is not None:
        reader.until = monotonic() + timeouts.acse
    reader.expected = "the answer to the association request"
    _send(stream, encoded, reader.until)
    kind, body = reader.next_pdu()
    if kind == pdu.A_ASSOCIATE_AC:
        reader.until = None
        return pdu.decode_accept(body)
    if kind == pdu.A_ASSOCIATE_RJ:
        answer = pdu.decode_reject(body)
        raise AssociationRejected(answer.result, answer.source, answer.reason)
    if kind == pdu.A_ABORT:
        raise AssociationAborted(*body[2:4]) if len(body) == 4 else AssociationAborted(0, 0)
    raise ProtocolError("The answer to the association request is none", UNEXPECTED_PDU)


def _send(stream: Stream, encoded: bytes, deadline: float | None) -> None:
    view = memoryview(encoded)
    while view:
        try:
            view = view[stream.send([view]) :]
        except BlockingIOError:
            if deadline is not None and monotonic() >= deadline:
                raise TimedOut("the peer to take the association request") from None


def _say_abort(stream: Stream, error: AssociationEnded) -> None:
    with suppress(BlockingIOError, ConnectionLost):
        stream.send([pdu.abort(2, error.reason if isinstance(error, ProtocolError) else 0)])
