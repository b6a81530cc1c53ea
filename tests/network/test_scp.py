import pytest

from apps.accounts.principal import system
from apps.network.current import CurrentRules
from apps.network.rules import ListenerRules, PeerRules, Rules
from apps.network.scp import c_echo
from apps.network.scu import NotVerified, verify
from apps.network.session import Session
from dicom.dimse import Association, AssociationRejected, ConnectFailed, Message, ThreadedServer
from dicom.dimse.negotiation import Accept, AssociateRequest, Reject
from tests.network.echo import EchoAcceptor


class Provider(EchoAcceptor):
    """As the roof does it: a session of its own for each association."""

    session: Session

    def begin(self, assoc: Association) -> None:
        self.session = Session(
            listener=ListenerRules("default", "ECHO", "127.0.0.1", 0),
            rules=CurrentRules(rules=Rules()),
            caller=PeerRules("test", "*"),
            principal=system("test"),
            address="127.0.0.1",
            calling_ae_title=assoc.calling_ae_title,
            called_ae_title=assoc.called_ae_title,
            association_id=assoc.id,
        )

    def handle(self, assoc: Association, message: Message) -> None:
        c_echo(self.session, assoc, message)


def test_a_c_echo_is_answered_and_counted() -> None:
    provider = Provider()
    server = ThreadedServer(("127.0.0.1", 0), provider)
    server.start()
    try:
        assert verify(host="127.0.0.1", port=server.port, called_ae_title="ECHO", calling_ae_title="TEST") >= 0
    finally:
        server.stop()
    assert provider.session.messages() == {"C-ECHO": {"0000": 1}}


def test_who_refuses_or_is_not_there_is_not_verified() -> None:
    server = ThreadedServer(("127.0.0.1", 0), Provider())
    server.start()
    port = server.port
    try:
        with pytest.raises(AssociationRejected):
            verify(host="127.0.0.1", port=port, called_ae_title="OTHER", calling_ae_title="TEST")
    finally:
        server.stop()
    with pytest.raises(ConnectFailed):
        verify(host="127.0.0.1", port=port, called_ae_title="ECHO", calling_ae_title="TEST")


def test_who_does_not_offer_verification_is_not_verified() -> None:
    class Mute(EchoAcceptor):
        def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
            return Accept(results={context.id: (3, "") for context in request.contexts})

    server = ThreadedServer(("127.0.0.1", 0), Mute())
    server.start()
    try:
        with pytest.raises(NotVerified):
            verify(host="127.0.0.1", port=server.port, called_ae_title="ECHO", calling_ae_title="TEST")
    finally:
        server.stop()
