"""WIRE rule 5: how an association ends in order (PS3.8 9.2), seen from a bare socket."""

import socket
import threading
from collections.abc import Iterator

import pytest

from dicom.dimse import Association, AssociationAborted, AssociationReleased, Message, associate, pdu
from dicom.dimse.negotiation import Accept
from tests.campaigns.wire import (
    ABORT,
    COMMAND,
    LAST,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    Ended,
    Line,
    echo_rq,
    p_data,
    store_rq,
)
from tests.campaigns.wire import pdu as raw_pdu
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import BRISK, CT_IMAGE_STORAGE, EXPLICIT, IMPLICIT, VERIFICATION, Recorder, wait_for

RQ, RP = raw_pdu(RELEASE_RQ, bytes(4)), raw_pdu(RELEASE_RP, bytes(4))


class Requested:
    """An association of ours as requestor whose acceptor is a bare socket."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.line: Line = Line.__new__(Line)
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        self.assoc = associate(
            "127.0.0.1",
            self._listener.getsockname()[1],
            calling_ae_title="ME",
            called_ae_title="YOU",
            contexts=[(VERIFICATION, [IMPLICIT])],
            timeouts=BRISK,
        )
        self._thread.join()

    def _accept(self) -> None:
        self.line.sock, _ = self._listener.accept()
        self.line.sock.settimeout(60)
        request = pdu.decode_request(self.line.read().body)
        self.line.send(pdu.encode_accept(Accept({1: (0, IMPLICIT)}, implementation_class_uid="1.2"), request))

    def close(self) -> None:
        self.assoc.abort()
        self.line.close()
        self._listener.close()


@pytest.fixture
def requested() -> Iterator[Requested]:
    made = Requested()
    yield made
    made.close()


def associated(serve: Serve, acceptor: Recorder | None = None) -> tuple[Line, Recorder]:
    running = serve(acceptor)
    line = Line(running.address)
    line.associate((VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT]))
    return line, running.acceptor


# As acceptor


def test_a_release_is_answered_and_the_requestor_is_left_to_close(serve: Serve) -> None:
    line, acceptor = associated(serve)
    with line:
        line.send(RQ)
        assert line.read().kind == RELEASE_RP
        assert acceptor.outcome() == "released"


def test_what_must_happen_before_the_release_is_answered_happens_before(serve: Serve) -> None:
    class Waiting(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.indexed = threading.Event()

        def before_release(self, assoc: Association) -> None:
            self.indexed.wait(60)

    acceptor = Waiting()
    line, _ = associated(serve, acceptor)
    with line:
        line.send(RQ)
        line.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.read()
        acceptor.indexed.set()
        line.sock.settimeout(60)
        assert line.read().kind == RELEASE_RP


def test_a_release_that_comes_while_a_response_is_being_sent_is_answered_after_it(serve: Serve) -> None:
    line, acceptor = associated(serve)
    with line:
        line.send(p_data(1, COMMAND | LAST, echo_rq()) + RQ)
        assert line.status() == 0
        assert line.read().kind == RELEASE_RP
    assert acceptor.outcome() == "released"


def test_a_release_request_ends_a_query_that_is_still_answering(serve: Serve) -> None:
    def endless(assoc: Association, message: Message) -> None:
        while not assoc.is_cancelled(message):
            assoc.respond(message, 0xFF00, data_set=b"match")
        assoc.respond(message, 0xFE00)

    acceptor = Recorder({VERIFICATION: ([IMPLICIT], endless)})
    line, _ = associated(serve, acceptor)
    with line:
        line.send(p_data(1, COMMAND | LAST, echo_rq()))
        line.read()
        line.send(RQ)
        while (kind := line.read().kind) == P_DATA:
            pass
        assert kind == RELEASE_RP
    assert acceptor.outcome() == "released"


def test_a_release_request_where_a_response_is_awaited_ends_the_handler(serve: Serve) -> None:
    def ask_back(assoc: Association, message: Message) -> None:
        assoc.c_echo(context=message.context)

    acceptor = Recorder({VERIFICATION: ([IMPLICIT], ask_back)})
    line, _ = associated(serve, acceptor)
    with line:
        line.send(p_data(1, COMMAND | LAST, echo_rq()))
        assert line.read().kind == P_DATA
        line.send(RQ)
        assert line.read().kind == RELEASE_RP
    assert acceptor.outcome() == "released"


def test_a_peer_that_does_not_wait_for_the_release_response_is_released(serve: Serve) -> None:
    line, acceptor = associated(serve)
    line.send(RQ)
    line.close()
    assert acceptor.outcome() == "released"


def test_an_acceptor_that_asks_for_the_release_resolves_a_collision(serve: Serve) -> None:
    """PS3.8 9.2, Sta10: the acceptor waits for the requestor's answer before it gives its own."""

    def leave(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0)
        assoc.release()

    acceptor = Recorder({VERIFICATION: ([IMPLICIT], leave)})
    line, _ = associated(serve, acceptor)
    with line:
        line.send(p_data(1, COMMAND | LAST, echo_rq()))
        assert line.status() == 0
        assert line.read().kind == RELEASE_RQ
        line.send(RQ)
        line.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.read()
        line.send(RP)
        line.sock.settimeout(60)
        assert line.read().kind == RELEASE_RP
    assert acceptor.outcome() == "released"


# As requestor


def in_thread(assoc: Association) -> threading.Thread:
    thread = threading.Thread(target=assoc.release)
    thread.start()
    return thread


def test_a_requestor_closes_when_it_has_the_release_response(requested: Requested) -> None:
    thread = in_thread(requested.assoc)
    assert requested.line.read().kind == RELEASE_RQ
    requested.line.send(RP)
    with pytest.raises(Ended):
        requested.line.read()
    thread.join()
    assert isinstance(requested.assoc.ended, AssociationReleased)


def test_a_requestor_resolves_a_collision_by_answering_first(requested: Requested) -> None:
    """PS3.8 9.2, Sta9: then it waits for the acceptor's answer."""
    thread = in_thread(requested.assoc)
    assert requested.line.read().kind == RELEASE_RQ
    requested.line.send(RQ)
    assert requested.line.read().kind == RELEASE_RP
    assert thread.is_alive()
    requested.line.send(RP)
    thread.join(60)
    assert isinstance(requested.assoc.ended, AssociationReleased)


def test_data_that_still_arrives_while_releasing_is_dropped(requested: Requested) -> None:
    thread = in_thread(requested.assoc)
    assert requested.line.read().kind == RELEASE_RQ
    late = p_data(1, COMMAND | LAST, store_rq("1.2.3")) + p_data(1, LAST, bytes(200_000))
    requested.line.send(late * 5 + RP)
    thread.join(60)
    assert isinstance(requested.assoc.ended, AssociationReleased)


def test_a_release_that_is_not_answered_ends_with_abort_after_its_deadline(requested: Requested) -> None:
    thread = in_thread(requested.assoc)
    assert requested.line.read().kind == RELEASE_RQ
    assert requested.line.read().kind == ABORT
    requested.line.close()
    thread.join(60)
    assert requested.assoc.ended is not None
    assert requested.assoc.ended.outcome == "timed out: the release response"


def test_endless_data_does_not_put_off_the_end_of_a_release(requested: Requested) -> None:
    thread = in_thread(requested.assoc)
    assert requested.line.read().kind == RELEASE_RQ
    with pytest.raises(Ended):
        while True:
            requested.line.send(p_data(1, LAST, bytes(1000)))
    thread.join(60)
    assert not thread.is_alive()


def test_a_peer_that_closes_instead_of_answering_the_release_raises_nothing(requested: Requested) -> None:
    thread = in_thread(requested.assoc)
    assert requested.line.read().kind == RELEASE_RQ
    requested.line.close()
    thread.join(60)
    assert requested.assoc.ended is not None
    assert requested.assoc.ended.outcome == "connection lost"


def test_an_abort_that_crosses_the_release_is_understood(requested: Requested) -> None:
    thread = in_thread(requested.assoc)
    requested.line.send(raw_pdu(ABORT, b"\0\0\2\1"))
    thread.join(60)
    assert isinstance(requested.assoc.ended, AssociationAborted)
    assert requested.assoc.ended.reason == 1


def test_a_wait_ends_when_another_thread_aborts_whatever_the_peer_does(requested: Requested) -> None:
    threading.Timer(0.1, requested.assoc.abort).start()
    with pytest.raises(AssociationAborted):
        requested.assoc.step(idle=True)
    assert requested.line.read().kind == ABORT


def test_no_abort_is_put_into_the_middle_of_a_pdu(requested: Requested) -> None:
    """A peer that reads slowly must not take our last words for data."""
    requested.assoc._writer.mid_pdu = True
    requested.assoc.abort()
    with pytest.raises(Ended):
        requested.line.read()


def test_an_acceptor_that_releases_is_answered_and_our_request_fails(requested: Requested) -> None:
    requested.line.send(RQ)
    with pytest.raises(AssociationReleased):
        requested.assoc.c_echo()
    assert requested.line.read().kind == P_DATA
    assert requested.line.read().kind == RELEASE_RP


def test_an_abort_tells_more_than_the_broken_connection_behind_it(requested: Requested) -> None:
    requested.line.send(raw_pdu(ABORT, b"\0\0\2\6"))
    requested.line.close()
    with pytest.raises(AssociationAborted, match="invalid PDU parameter"):
        for _ in range(100):
            requested.assoc.cancel(1, requested.assoc.contexts[1])
    wait_for(lambda: requested.assoc.ended)
