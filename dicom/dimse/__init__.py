"""DICOM associations over TCP and TLS, both roles: PS3.8 (upper layer) and PS3.7 (DIMSE).

Blocking sockets, one thread for each association, bounded memory, a deadline on every wait. Knows no service, no data
set and no Django: it carries encoded data sets.

As SCU::

    from dicom.dimse import associate

    with associate("10.0.0.5", 104, calling_ae_title="PACS", called_ae_title="CT1",
                   contexts=[("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]) as assoc:
        assert assoc.c_echo().status == 0x0000

As SCP::

    from dicom.dimse import Association, Message, SimpleAcceptor, ThreadedServer

    def store(assoc: Association, message: Message) -> None:
        with open("received.dcm", "wb") as file:
            for views in message.fragments():       # what one read of the socket brought
                file.writelines(views)
        assoc.respond(message, 0x0000)

    services = {"1.2.840.10008.5.1.4.1.1.2": (["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"], store)}
    with ThreadedServer(("127.0.0.1", 11112), SimpleAcceptor(services)) as server:
        server.wait()                               # until Ctrl-C

`samples/` has a small program for each service. What is a pydicom data set here and bytes there: `dicom.datasets`.

An acceptor of one's own decides about each association (`negotiate`) and is told of its beginning and end: `Acceptor`.
A process with its own sockets calls `run_acceptor()` in a thread for each connection.
"""

from dicom.dimse.acceptor import Acceptor, run_acceptor
from dicom.dimse.association import Association
from dicom.dimse.command import Command, CommandField
from dicom.dimse.data import PIECE, Data, FileSlice, Scratch, SourceFailed
from dicom.dimse.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationRejected,
    AssociationReleased,
    ConnectFailed,
    ConnectionLost,
    DataSetTooLong,
    DimseError,
    Failed,
    HandshakeFailed,
    NotAccepted,
    ProtocolError,
    TimedOut,
)
from dicom.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom.dimse.message import Message, Response
from dicom.dimse.negotiation import (
    Accept,
    AssociateRequest,
    CommonExtendedNegotiation,
    Context,
    ProposedContext,
    Reject,
    UserIdentity,
)
from dicom.dimse.pace import Pace
from dicom.dimse.requestor import associate
from dicom.dimse.responses import Responses
from dicom.dimse.server import SimpleAcceptor, ThreadedServer
from dicom.dimse.settings import Limits, Timeouts

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "PIECE",
    "Accept",
    "Acceptor",
    "AssociateRequest",
    "Association",
    "AssociationAborted",
    "AssociationEnded",
    "AssociationRejected",
    "AssociationReleased",
    "Command",
    "CommandField",
    "CommonExtendedNegotiation",
    "ConnectFailed",
    "ConnectionLost",
    "Context",
    "Data",
    "DataSetTooLong",
    "DimseError",
    "Failed",
    "FileSlice",
    "HandshakeFailed",
    "Limits",
    "Message",
    "NotAccepted",
    "Pace",
    "ProposedContext",
    "ProtocolError",
    "Reject",
    "Response",
    "Responses",
    "Scratch",
    "SimpleAcceptor",
    "SourceFailed",
    "ThreadedServer",
    "TimedOut",
    "Timeouts",
    "UserIdentity",
    "associate",
    "run_acceptor",
]
