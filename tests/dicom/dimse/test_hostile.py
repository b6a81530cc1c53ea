"""Peers that break the rules over a bare socket: each is answered with A-ABORT and closed; none hangs or grows."""

import socket
import struct
import threading
import time
from contextlib import suppress

import pytest

from dicom.dimse import Association, Limits, Message, Timeouts
from tests.campaigns.wire import (
    ABORT,
    ASSOCIATE_AC,
    COMMAND,
    LAST,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    Ended,
    Line,
    associate_rq,
    command,
    echo,
    echo_rq,
    p_data,
    pdu,
    pdv,
    store_rq,
    uid,
    us,
)
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import (
    BRISK,
    CT_IMAGE_STORAGE,
    EXPLICIT,
    HURRIED,
    IMPLICIT,
    VERIFICATION,
    Running,
    wait_for,
)

CONTEXTS = ((VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT]))  # context IDs 1 and 3
NOT_SPECIFIED, UNRECOGNIZED, UNEXPECTED, UNEXPECTED_PARAMETER, INVALID = 0, 1, 2, 5, 6
STORE = p_data(3, COMMAND | LAST, store_rq("1.2.3"))


def abort_reason(line: Line) -> int:
    """The reason of the provider's A-ABORT, after which the server closes once we have."""
    answer = line.read()
    assert answer.kind == ABORT, answer
    assert answer.body[2] == 2  # source: service provider
    line.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(Ended):
        line.read()
    return answer.body[3]


def associated(running: Running) -> Line:
    line = Line(running.address)
    assert line.associate(*CONTEXTS).kind == ASSOCIATE_AC
    return line


BEFORE = [
    pytest.param(p_data(1, COMMAND | LAST, echo_rq()), UNEXPECTED, id="P-DATA before association"),
    pytest.param(pdu(RELEASE_RQ, bytes(4)), UNEXPECTED, id="release before association"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n", UNRECOGNIZED, id="HTTP"),
    pytest.param(b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3", UNRECOGNIZED, id="TLS on the plain port"),
    pytest.param(bytes(100), UNRECOGNIZED, id="zeros"),
    pytest.param(b"\xff" * 100, UNRECOGNIZED, id="ones"),
    pytest.param(pdu(1, b""), INVALID, id="association request of length 0"),
    pytest.param(pdu(1, b"", 0xFFFFFFFF), INVALID, id="association request of 4 GiB"),
    pytest.param(pdu(1, bytes(68)[:67]), INVALID, id="association request too short"),
]

WITHIN = [
    pytest.param(associate_rq(CONTEXTS), UNEXPECTED, id="second association request"),
    pytest.param(pdu(2, bytes(68)), UNEXPECTED, id="association accept"),
    pytest.param(pdu(3, bytes(4)), UNEXPECTED, id="association reject"),
    pytest.param(pdu(RELEASE_RP, bytes(4)), UNEXPECTED, id="release response"),
    pytest.param(pdu(8, b"1234"), UNRECOGNIZED, id="unknown PDU type"),
    pytest.param(b"garbage\0\xff\xfe" * 100, UNRECOGNIZED, id="garbage"),
    pytest.param(pdu(P_DATA, b""), INVALID, id="P-DATA of length 0"),
    pytest.param(pdu(P_DATA, b"", 0xFFFFFFFF), INVALID, id="P-DATA of 4 GiB"),
    pytest.param(pdu(P_DATA, b"", (1 << 20) + 1), INVALID, id="P-DATA over the cap"),
    pytest.param(STORE + pdu(P_DATA, struct.pack(">IBB", 0, 3, LAST)), INVALID, id="data PDV of length 0"),
    pytest.param(STORE + pdu(P_DATA, struct.pack(">IBB", 1, 3, LAST)), INVALID, id="data PDV of length 1"),
    pytest.param(pdu(RELEASE_RQ, b""), INVALID, id="release request of length 0"),
    pytest.param(pdu(RELEASE_RQ, b"", 0x7FFFFFFF), INVALID, id="release request of 2 GiB"),
    pytest.param(pdu(P_DATA, struct.pack(">IBB", 0, 1, 3) + b"ab"), INVALID, id="PDV of length 0"),
    pytest.param(pdu(P_DATA, struct.pack(">IBB", 1, 1, 3) + b"ab"), INVALID, id="PDV of length 1"),
    pytest.param(pdu(P_DATA, struct.pack(">IBB", 99, 1, 3) + b"ab"), INVALID, id="PDV longer than its PDU"),
    pytest.param(pdu(P_DATA, pdv(1, COMMAND, b"ab") + b"\0\0\0"), INVALID, id="PDU ends in a PDV header"),
    pytest.param(p_data(2, COMMAND | LAST, echo_rq()), INVALID, id="even context id"),
    pytest.param(p_data(99, COMMAND | LAST, echo_rq()), INVALID, id="context never negotiated"),
    pytest.param(p_data(1, LAST, b"data"), UNEXPECTED_PARAMETER, id="data without a command"),
    pytest.param(STORE + p_data(3, 0, b"half") + STORE, UNEXPECTED_PARAMETER, id="command after half a data set"),
    pytest.param(STORE + p_data(1, LAST, b"data"), UNEXPECTED_PARAMETER, id="data on another context"),
    pytest.param(STORE + p_data(3, 0, b"half") + pdu(RELEASE_RQ, bytes(4)), UNEXPECTED, id="release in a data set"),
    pytest.param(p_data(1, COMMAND, b"\0\0") + pdu(RELEASE_RQ, bytes(4)), UNEXPECTED, id="release in a command"),
    pytest.param(
        p_data(1, COMMAND, echo_rq()[:8]) + p_data(3, COMMAND | LAST, b""), UNEXPECTED_PARAMETER, id="command moves"
    ),
    pytest.param(p_data(1, COMMAND | LAST, b""), INVALID, id="empty command"),
    pytest.param(p_data(1, COMMAND | LAST, echo_rq()[:-3]), INVALID, id="command cut off"),
    pytest.param(
        p_data(1, COMMAND | LAST, echo_rq() + b"\0\0\0\x10\xff\xff\xff\xff1.2"), INVALID, id="element of 4 GiB"
    ),
    pytest.param(p_data(1, COMMAND | LAST, command({0x0100: us(0x30)})), INVALID, id="command without message id"),
    pytest.param(
        p_data(1, COMMAND | LAST, command({0x0100: b"\1", 0x0110: us(1), 0x0800: us(0x0101)})), INVALID, id="odd field"
    ),
    pytest.param(
        p_data(1, COMMAND | LAST, command({0x0100: us(0x8030), 0x0120: us(7), 0x0800: us(0x0101), 0x0900: us(0)})),
        INVALID,
        id="response nobody asked for",
    ),
]


@pytest.mark.parametrize(("said", "reason"), BEFORE)
def test_before_the_association_the_answer_is_abort(serve: Serve, said: bytes, reason: int) -> None:
    running = serve()
    with Line(running.address) as line:
        line.send(said)
        assert abort_reason(line) == reason
    assert running.acceptor.outcome().startswith("protocol error")


@pytest.mark.parametrize(("said", "reason"), WITHIN)
def test_within_the_association_the_answer_is_abort(serve: Serve, said: bytes, reason: int) -> None:
    running = serve()
    with associated(running) as line:
        line.send(said)
        assert abort_reason(line) == reason
    assert running.acceptor.outcome().startswith("protocol error")
    assert running.acceptor.store.data == {}
    echo(running.address, timeout=20)


def test_a_command_without_end_is_aborted(serve: Serve) -> None:
    running = serve(limits=Limits(command_cap=1 << 16))
    with associated(running) as line:
        with suppress(Ended):
            for _ in range(100):
                line.send(p_data(1, COMMAND, bytes(1000)))
        assert abort_reason(line) == INVALID


def test_command_fragments_without_content_come_to_an_end_too(serve: Serve) -> None:
    running = serve(limits=Limits(command_cap=1 << 12))
    with associated(running) as line:
        with suppress(Ended):
            line.send(p_data(1, COMMAND, b"") * 1000)
        assert abort_reason(line) == INVALID


@pytest.mark.parametrize("size", [19_990, 20_000])
def test_a_pdu_over_the_cap_is_aborted_even_when_it_is_all_there(serve: Serve, size: int) -> None:
    running = serve(limits=Limits(maximum_length=16384, pdu_cap=20_000))
    with associated(running) as line:
        line.send(STORE + p_data(3, 0, bytes(100_000 // 6)) * 10 + p_data(3, LAST, bytes(size)))
        if size + 6 <= 20_000:
            assert line.status() == 0
        else:
            assert abort_reason(line) == INVALID


def test_a_data_set_over_the_cap_is_aborted(serve: Serve) -> None:
    running = serve(limits=Limits(data_set_cap=100_000))
    with associated(running) as line:
        line.send(STORE)
        with suppress(Ended):
            for _ in range(50):
                line.send(p_data(3, 0, bytes(10_000)))
        assert abort_reason(line) == INVALID
    assert running.acceptor.store.data == {}


def test_a_silent_connection_is_ended_after_its_deadline(serve: Serve) -> None:
    running = serve(timeouts=HURRIED)
    with Line(running.address) as line:
        assert abort_reason(line) == NOT_SPECIFIED
    assert running.acceptor.outcome() == "timed out: the association request"


def test_one_byte_and_silence_is_ended_after_its_deadline(serve: Serve) -> None:
    running = serve(timeouts=HURRIED)
    with Line(running.address) as line:
        line.send(b"\1")
        assert abort_reason(line) == NOT_SPECIFIED


def drip(line: Line, data: bytes, seconds: float) -> bool:
    """A byte now and then, until the server has had enough; False when it never has."""
    end = time.monotonic() + seconds
    line.sock.settimeout(0.05)
    for at in range(len(data)):
        line.sock.send(data[at : at + 1])
        with suppress(TimeoutError):
            answer = line.sock.recv(1 << 16, socket.MSG_PEEK)
            line.sock.settimeout(10)
            return bool(answer)
        if time.monotonic() > end:
            return False
    return False


def test_an_association_request_that_drips_is_ended_by_an_absolute_deadline(serve: Serve) -> None:
    running = serve(timeouts=HURRIED)
    with Line(running.address) as line:
        assert drip(line, associate_rq(CONTEXTS), seconds=5)
        assert abort_reason(line) == NOT_SPECIFIED


def test_a_half_sent_pdu_ends_the_association_after_its_deadline(serve: Serve) -> None:
    running = serve(timeouts=BRISK)
    with associated(running) as line:
        line.send(STORE + p_data(3, LAST, bytes(1000))[:500])
        assert abort_reason(line) == NOT_SPECIFIED
    assert running.acceptor.outcome() == "timed out: the rest of a PDU"


def test_a_pdu_that_drips_is_ended_by_an_absolute_deadline(serve: Serve) -> None:
    running = serve(timeouts=BRISK)
    with associated(running) as line:
        line.send(STORE)
        assert drip(line, p_data(3, LAST, bytes(1000)), seconds=5)
        assert abort_reason(line) == NOT_SPECIFIED


def test_a_pdu_header_that_drips_is_ended_as_well(serve: Serve) -> None:
    running = serve(timeouts=BRISK)
    with associated(running) as line:
        line.send(b"\4\0\0")
        assert abort_reason(line) == NOT_SPECIFIED


def test_a_message_without_its_data_set_is_ended_after_its_deadline(serve: Serve) -> None:
    running = serve(timeouts=BRISK)
    with associated(running) as line:
        line.send(STORE)
        assert abort_reason(line) == NOT_SPECIFIED
    assert running.acceptor.outcome() == "timed out: the rest of a data set"


def test_half_a_command_is_ended_after_its_deadline(serve: Serve) -> None:
    running = serve(timeouts=BRISK)
    with associated(running) as line:
        line.send(p_data(1, COMMAND, echo_rq()[:12]))
        assert abort_reason(line) == NOT_SPECIFIED
    assert running.acceptor.outcome() == "timed out: the rest of a command set"


def test_an_idle_association_is_ended_after_its_deadline(serve: Serve) -> None:
    running = serve(timeouts=Timeouts(idle=0.3))
    with associated(running) as line:
        assert abort_reason(line) == NOT_SPECIFIED


def test_an_association_may_be_idle_for_ever_when_it_may(serve: Serve) -> None:
    running = serve(timeouts=Timeouts(acse=0.2, pdu=0.2, dimse=0.2, idle=None))
    with associated(running) as line:
        time.sleep(0.8)
        assert line.echo() == 0


def test_a_peer_that_stops_reading_is_ended_after_the_send_deadline(serve: Serve) -> None:
    def flood(assoc: Association, message: Message) -> None:
        for _ in range(10_000):
            assoc.respond(message, 0xFF00, data_set=bytes(100_000))

    running = serve(services={VERIFICATION: ([IMPLICIT], flood)}, timeouts=Timeouts(send=0.4, acse=5))
    with Line(running.address) as line:
        line.associate((VERIFICATION, [IMPLICIT]))
        line.send(p_data(1, COMMAND | LAST, echo_rq()))
        assert running.acceptor.outcome() == "timed out: the peer to take what we send"


def test_connect_and_close_is_a_probe(serve: Serve) -> None:
    running = serve()
    socket.create_connection(running.address).close()
    assert running.acceptor.outcome() == "probe"
    assert running.acceptor.requests == []


def test_a_request_cut_off_is_a_lost_connection_not_a_probe(serve: Serve) -> None:
    running = serve()
    with Line(running.address) as line:
        line.send(associate_rq(CONTEXTS)[:50])
    assert running.acceptor.outcome() == "connection lost"


@pytest.mark.parametrize("said", [b"", STORE, STORE + p_data(3, 0, b"half"), p_data(3, COMMAND, b"ab")])
def test_abort_is_understood_at_any_moment(serve: Serve, said: bytes) -> None:
    running = serve(timeouts=BRISK)
    with associated(running) as line:
        line.send(said + pdu(ABORT, bytes(4)))
        assert running.acceptor.outcome() == "aborted by peer"


@pytest.mark.parametrize("said", [b"", STORE, STORE + p_data(3, 0, b"half"), STORE[:20], b"\4"])
def test_a_connection_may_break_at_any_moment(serve: Serve, said: bytes) -> None:
    running = serve()
    with associated(running) as line:
        line.send(said)
    assert running.acceptor.outcome() == "connection lost"
    assert running.acceptor.store.data == {}


def test_a_reset_is_a_lost_connection(serve: Serve) -> None:
    running = serve()
    with associated(running) as line:
        line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert running.acceptor.outcome() == "connection lost"


def test_an_abort_is_seen_by_a_peer_that_has_sent_more_than_we_read(serve: Serve) -> None:
    running = serve()
    with associated(running) as line:
        line.send(p_data(99, COMMAND | LAST, echo_rq()) + bytes(1_000_000))
        assert abort_reason(line) == INVALID


def test_an_abort_is_seen_by_a_stranger_that_has_sent_more_than_we_read(serve: Serve) -> None:
    with Line(serve().address) as line:
        line.send(b"GET / HTTP/1.1\r\n" + bytes(1_000_000))
        assert line.read().kind == ABORT
        for _ in range(5):  # a closed socket would answer with RST, which may overtake the abort
            time.sleep(0.02)
            line.send(bytes(1000))


def test_a_send_to_a_peer_that_does_not_read_ends_when_another_thread_aborts(serve: Serve) -> None:
    def flood(assoc: Association, message: Message) -> None:
        for _ in range(10_000):
            assoc.respond(message, 0xFF00, data_set=bytes(100_000))

    running = serve(services={VERIFICATION: ([IMPLICIT], flood)}, timeouts=Timeouts(send=None, acse=1))
    with Line(running.address) as line:
        line.associate((VERIFICATION, [IMPLICIT]))
        line.send(p_data(1, COMMAND | LAST, echo_rq()))
        wait_for(lambda: running.acceptor.associations)
        time.sleep(0.3)
        (assoc,) = running.acceptor.associations
        assoc.abort()
        assert running.acceptor.outcome() == "aborted"


def test_five_hundred_silent_connections_do_not_keep_a_neighbour_from_its_echo(serve: Serve) -> None:
    running = serve(timeouts=Timeouts(acse=20), maximum_connections=600)
    silent: list[socket.socket] = []
    try:
        for _ in range(500):
            silent.append(socket.create_connection(running.address))
        echo(running.address, timeout=20)
    finally:
        for sock in silent:
            sock.close()


def test_a_hostile_peer_ends_alone(serve: Serve) -> None:
    running = serve()
    with associated(running) as neighbour:
        done = threading.Event()

        def attack() -> None:
            while not done.is_set():
                with suppress(Ended, OSError), associated(running) as line:
                    line.send(pdu(P_DATA, b"", 0xFFFFFFFF))
                    line.read()

        attacker = threading.Thread(target=attack)
        attacker.start()
        try:
            assert [neighbour.echo() for _ in range(50)] == [0] * 50
        finally:
            done.set()
            attacker.join()


def test_an_unknown_operation_is_answered_0211_and_the_association_lives(serve: Serve) -> None:
    with associated(serve()) as line:
        strange = command({0x0002: uid(VERIFICATION), 0x0100: us(0x0666), 0x0110: us(9), 0x0800: us(0x0101)})
        line.send(p_data(1, COMMAND | LAST, strange))
        response = line.response()
        assert int.from_bytes(response[0x0900], "little") == 0x0211
        assert response[0x0100] == us(0x8666)
        assert line.echo() == 0
