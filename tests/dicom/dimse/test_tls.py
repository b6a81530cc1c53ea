"""TLS, with contexts that the application makes."""

import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from dicom.dimse import ConnectFailed, FileSlice, Message, Timeouts, associate
from dicom.dimse.association import Association
from tests.campaigns.wire import Ended, Line, associate_rq
from tests.certificates import Certificate
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import CT_IMAGE_STORAGE, EXPLICIT, IMPLICIT, VERIFICATION, wait_for
from tests.peers import peer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_side(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem, certificate.key)
    return context


@pytest.fixture
def client_side(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.pem))


CONTEXTS = [(VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT])]


def call(address: tuple[str, int], tls: ssl.SSLContext) -> Association:
    return associate(
        *address, calling_ae_title="ME", called_ae_title="YOU", contexts=CONTEXTS, tls=tls, timeouts=Timeouts(acse=5)
    )


def test_everything_goes_over_tls_in_both_directions(
    serve: Serve, server_side: ssl.SSLContext, client_side: ssl.SSLContext, tmp_path: Path
) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(range(256)) * 20_000)
    running = serve(tls=server_side)
    with file.open("rb") as data, call(running.address, client_side) as assoc:
        storage = assoc.context_for(CT_IMAGE_STORAGE)
        assert storage is not None
        for n in range(3):
            response = assoc.c_store(
                context=storage,
                sop_class_uid=CT_IMAGE_STORAGE,
                sop_instance_uid=f"1.2.{n}",
                data=FileSlice(data.fileno(), 1, 5_000_000),
            )
            assert response.status == 0
        assert assoc.c_echo().status == 0
    assert running.acceptor.outcome() == "released"
    assert set(running.acceptor.store.data.values()) == {file.read_bytes()[1:5_000_001]}


def test_echoscu_over_tls(serve: Serve, server_side: ssl.SSLContext, certificate: Certificate) -> None:
    key, pem = certificate.key, certificate.pem
    running = serve(tls=server_side)
    done = subprocess.run(
        [peer("echoscu"), "+tls", key, pem, "+cf", pem, "127.0.0.1", str(running.port)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert running.acceptor.outcome() == "released"


def test_a_silent_client_freezes_nobody_and_is_ended_by_the_same_deadline_as_its_request(
    serve: Serve, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    running = serve(tls=server_side, timeouts=Timeouts(acse=1.5))
    with Line(running.address) as silent, call(running.address, client_side) as assoc:
        assert assoc.c_echo().status == 0
        with pytest.raises(Ended):
            silent.read()
        assert running.acceptor.outcome() == "timed out: the TLS handshake"


def test_a_peer_without_tls_is_told_apart_from_a_probe(serve: Serve, server_side: ssl.SSLContext) -> None:
    running = serve(tls=server_side)
    socket.create_connection(running.address).close()
    assert running.acceptor.outcome() == "probe"
    with Line(running.address) as plain:
        plain.send(associate_rq(CONTEXTS))
        wait_for(lambda: len(running.acceptor.outcomes) == 2)
    assert running.acceptor.outcomes[1].startswith("The TLS handshake failed")


def test_a_certificate_that_is_not_trusted_is_named_as_the_cause(serve: Serve, server_side: ssl.SSLContext) -> None:
    running = serve(tls=server_side)
    with pytest.raises(ConnectFailed, match="certificate"):
        call(running.address, ssl.create_default_context())


def test_a_plain_peer_is_named_as_the_cause(serve: Serve, client_side: ssl.SSLContext) -> None:
    with pytest.raises(ConnectFailed, match="TLS"):
        call(serve().address, client_side)


def test_a_client_without_certificate_is_refused_where_one_is_wanted(
    serve: Serve, server_side: ssl.SSLContext, client_side: ssl.SSLContext, certificate: Certificate
) -> None:
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.load_verify_locations(certificate.pem)
    running = serve(tls=server_side)
    with pytest.raises(Exception, match=r"lost|broke|closed|TLS"):
        call(running.address, client_side)
    assert running.acceptor.requests == []
    client_side.load_cert_chain(certificate.pem, certificate.key)
    with call(running.address, client_side) as assoc:
        assert assoc.c_echo().status == 0


def test_a_cancel_is_seen_over_tls_without_waiting(
    serve: Serve, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    def endless(assoc: Association, message: Message) -> None:
        while not assoc.is_cancelled(message):
            assoc.respond(message, 0xFF00, data_set=b"match")
        assoc.respond(message, 0xFE00)

    running = serve(services={VERIFICATION: ([IMPLICIT], endless)}, tls=server_side)
    with call(running.address, client_side) as assoc:
        responses = assoc.c_find(context=assoc.contexts[1], identifier=b"")
        assert next(responses).status == 0xFF00
        responses.cancel()
        assert list(responses)[-1].status == 0xFE00


def test_an_association_over_tls_can_be_aborted_from_another_thread(
    serve: Serve, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    running = serve(tls=server_side)
    with call(running.address, client_side) as assoc:
        assert assoc.c_echo().status == 0
        running.acceptor.associations[0].abort()
        assert running.acceptor.outcome() == "aborted"
