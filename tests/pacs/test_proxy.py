"""PROXY protocol on listeners: whom a balancer speaks for, and what is made of everything else it might send."""

import ipaddress
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicom.dimse import pdu
from dicom.dimse.negotiation import AssociateRequest, propose
from dicom.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from pacs.listeners import proxy
from pacs.listeners.proxy import SIGNATURE, Gone, InvalidHeader
from tests.haproxy import Balancer
from tests.node import COMMANDS, Node, free_port, listens, wait_for
from tests.peers import peer

CLIENT = "127.0.0.7"  # every address of 127.0.0.0/8 is this machine
DIRECT = "127.0.0.9"


def header(
    source: str = "10.1.2.3", port: int = 4711, *, command: int = 0x21, family: int | None = None, more: bytes = b""
) -> bytes:
    address = ipaddress.ip_address(source).packed
    kind = family if family is not None else {4: 0x11, 16: 0x21}[len(address)]
    rest = address * 2 + struct.pack(">HH", port, 104) + more
    return SIGNATURE + struct.pack(">BBH", command, kind, len(rest)) + rest


def read(data: bytes, *, more: bytes = b"", ended: bool = True) -> tuple[tuple[str, int] | None, bytes]:
    """What is made of it, and what is left unread."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with suppress(OSError):
            theirs.sendall(data + more)
            if ended:
                theirs.shutdown(socket.SHUT_WR)

    with ours, theirs:
        sender = threading.Thread(target=send)
        sender.start()
        try:
            found = proxy.read(ours, seconds=5 if ended else 0.05, stopping=threading.Event())
            sender.join()
            return found, ours.recv(65536) if more else b""
        finally:
            ours.close()
            sender.join()


@pytest.mark.parametrize("source", ["10.1.2.3", "2001:db8::7"])
def test_the_caller_is_the_one_in_the_header_and_nothing_behind_it_is_read(source: str) -> None:
    tlv = b"\x04\x00\x05abcde" * 20  # PP2_TYPE_NOOP and the like
    assert read(header(source, more=tlv), more=b"\x01\x00rest") == ((source, 4711), b"\x01\x00rest")


@pytest.mark.parametrize(("command", "family"), [(0x20, 0x11), (0x20, 0x00), (0x21, 0x00), (0x20, 0x31)])
def test_a_balancer_that_speaks_for_itself_or_does_not_know_names_nobody(command: int, family: int) -> None:
    assert read(header(command=command, family=family))[0] is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"PROXY TCP4 10.1.2.3 10.0.0.1 4711 104\r\n", "version 1"),
        (b"\x01\x00\x00\x00\x00\xd0\x00\x01", "without PROXY header"),
        (b"\x16\x03\x01\x02\x00", "TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "47 45 54"),
        (SIGNATURE[:5], "the end of the connection"),
        (header()[:14], "the end of the connection"),
        (header()[:20], "the end of the connection"),
        (header(command=0x22), "command 0x22"),
        (header(command=0x11), "command 0x11"),
        (header(family=0x12), "family 0x12"),
        (header(family=0x31), "family 0x31"),
        (header(family=0x21), "too short"),
        (SIGNATURE + b"\x21\x11\x00\x04abcd", "too short"),
        (SIGNATURE + b"\x21\x11\xff\xff" + bytes(65535), "65535 bytes"),
    ],
)
def test_anything_else_is_refused_and_says_why(data: bytes, why: str) -> None:
    with pytest.raises(InvalidHeader, match=why):
        read(data)


def test_who_sends_half_a_header_and_waits_is_not_waited_for() -> None:
    with pytest.raises(InvalidHeader, match="in time"):
        read(header()[:20], ended=False)


def test_a_connection_that_says_nothing_is_a_probe() -> None:
    with pytest.raises(Gone):
        read(b"")


@given(st.binary(max_size=80), st.integers(0, 3))
def test_no_bytes_do_anything_but_name_a_caller_or_be_refused(garbage: bytes, kind: int) -> None:
    beginning = (b"", SIGNATURE, SIGNATURE + b"\x21\x11", header()[:15])[kind]
    with suppress(InvalidHeader, Gone):
        found, _ = read(beginning + garbage)
        assert found is None or ipaddress.ip_address(found[0])


@given(st.integers(0, 27), st.integers(0, 255))
def test_a_header_with_one_byte_changed_is_read_or_refused(where: int, value: int) -> None:
    changed = bytearray(header())
    changed[where] = value
    with suppress(InvalidHeader):
        found, _ = read(bytes(changed))
        assert found is None or ipaddress.ip_address(found[0])


# Nodes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Behind a balancer at 127.0.0.1; a peer called CT1 at CLIENT, another at DIRECT."""
    with Node(tmp_path_factory.mktemp("proxy"), PACS_PROCESSES="1") as node:
        node.manage("prepare")
        node.shell(
            "from apps.accounts.principal import system; from apps.network import config\n"
            "from apps.network.models import Listener, Peer; who = system('test')\n"
            "x = Listener.objects.get(); x.balancers = '127.0.0.1\\n10.9.0.0/16'; x.acse_timeout = 3\n"
            "config.save(x, principal=who)\n"
            f"for name, at in (('ct', '{CLIENT}'), ('direct', '{DIRECT}')):\n"
            "    row = Peer(name=name, ae_title=name.upper(), address_ranges=at, services=['echo', 'store'])\n"
            "    config.save(row, principal=who)\n"
        )
        yield node.start("listeners")


def answer(node: Node, calling: str, *, said: bytes = b"", origin: str = "127.0.0.1", port: int = 0) -> int:
    """Type of the first PDU that comes back to an association request from `origin`, with something before it; 0 when
    the connection is closed instead."""
    request = AssociateRequest(calling, "PACS", propose([(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])]))
    where = (node.host, port or node.dimse_port)
    with socket.create_connection(where, timeout=30, source_address=(origin, 0)) as sock:
        sock.sendall(said + pdu.encode_request(request))
        try:
            first = sock.recv(1)
        except ConnectionError:
            first = b""
        if first == b"\x02":
            sock.sendall(pdu.RELEASE_RQ)
            sock.recv(1 << 16)
        return first[0] if first else 0


ACCEPTED, REJECTED, CLOSED, ABORTED = 2, 3, 0, 7


def logged(node: Node, calling: str) -> list[tuple[str, str]]:
    rows = node.sql("SELECT address, peer FROM network_associationlog WHERE calling_ae_title = %s", [calling])
    return [(str(address), str(peer)) for address, peer in rows]


def refusals(node: Node, calling: str = "") -> dict[str, str]:
    rows = node.sql("SELECT address, reason FROM network_refusedcaller WHERE calling_ae_title = %s", [calling])
    return {str(address): str(reason) for address, reason in rows}


def test_the_address_in_the_header_decides_who_calls_and_is_the_one_in_the_log(running: Node) -> None:
    assert answer(running, "CT", said=header(CLIENT)) == ACCEPTED
    assert wait_for(lambda: logged(running, "CT")) == [(CLIENT, "ct")]
    assert answer(running, "CT", said=header("10.1.2.3")) == REJECTED
    assert "not from this address" in wait_for(lambda: refusals(running, "CT").get("10.1.2.3"))


def test_a_caller_at_another_address_is_direct_and_its_header_is_garbage(running: Node) -> None:
    assert answer(running, "DIRECT", origin=DIRECT) == ACCEPTED
    assert answer(running, "CT", said=header(CLIENT), origin=DIRECT) == ABORTED
    assert "PROXY protocol" in wait_for(lambda: refusals(running).get(DIRECT))


def test_who_calls_from_this_machine_is_trusted_neither_directly_nor_by_a_header(running: Node) -> None:
    assert answer(running, "ANYONE", origin=DIRECT) == REJECTED
    assert answer(running, "ANYONE", said=header("127.0.0.1")) == REJECTED
    assert answer(running, "ANYONE", said=header(command=0x20)) == REJECTED
    reasons = wait_for(lambda: len(found := refusals(running, "ANYONE")) == 2 and found)
    assert set(reasons) == {DIRECT, "127.0.0.1"}
    assert all("loopback lets in nobody" in why for why in reasons.values())


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b"", "a DICOM association without PROXY header"),
        (b"PROXY TCP4 127.0.0.7 127.0.0.1 1 2\r\n", "version 1 of the PROXY protocol"),
        (header(family=0x12), "family 0x12"),
    ],
)
def test_a_balancer_that_sends_no_header_is_turned_away_and_the_reason_listed(
    running: Node, said: bytes, found: str
) -> None:
    assert answer(running, "CT", said=said) == CLOSED
    reason = f"Balancer of listener default sent {found}"
    assert wait_for(lambda: refusals(running).get("127.0.0.1", "").startswith(reason))


def test_probes_of_a_balancer_leave_no_trace(running: Node) -> None:
    assert answer(running, "BEFORE", said=header(CLIENT)) == REJECTED
    wait_for(lambda: refusals(running, "BEFORE"))  # what was refused earlier is written with it
    running.sql("DELETE FROM network_refusedcaller")
    for said in (b"", header(command=0x20, family=0)):
        with socket.create_connection((running.host, running.dimse_port)) as probe:
            probe.sendall(said)
    assert answer(running, "AFTER", said=header(CLIENT)) == REJECTED
    wait_for(lambda: refusals(running, "AFTER"))
    assert refusals(running) == {}


def test_dcmtk_stores_through_haproxy_into_whichever_node_is_up(tmp_path: Path) -> None:
    sent = str(get_testdata_file("CT_small.dcm"))
    with Node(tmp_path, PACS_PROCESSES="1") as node:
        node.manage("prepare")
        other = free_port()
        node.shell(
            "from apps.accounts.principal import system; from apps.network import config\n"
            "from apps.network.models import Listener, Peer; who = system('test')\n"
            "x = Listener.objects.get(); x.balancers = '127.0.0.1'; config.save(x, principal=who)\n"
            f"x.pk = None; x.name = 'other'; x.locked = []; x.port = {other}; config.save(x, principal=who)\n"
            "config.save(Peer(name='scu', ae_title='STORESCU', address_ranges='127.0.0.1', services=['store']),"
            " principal=who)\n"
        )
        node.run("indexer", COMMANDS["indexer"])
        for name in ("default", "other"):
            node.run(name, [*COMMANDS["listeners"], "--names", name])
        wait_for(lambda: node.answers() and listens(other))
        with Balancer(tmp_path, [node.dimse_port, other]) as balancer:
            wait_for(lambda: balancer.servers() == ["UP", "UP"], what="both are up")

            def store() -> int:
                command = [peer("storescu"), "-aec", "PACS", "127.0.0.1", str(balancer.port), sent]
                return subprocess.run(command, capture_output=True, timeout=60).returncode

            def listeners() -> set[str]:
                return {str(row[0]) for row in node.sql("SELECT listener FROM network_associationlog")}

            assert [store(), store()] == [0, 0]
            wait_for(lambda: listeners() == {"default", "other"}, what="one association each")
            node.stop("other")
            wait_for(lambda: balancer.servers() == ["UP", "DOWN"], what="the other is seen to be down")
            assert [store(), store()] == [0, 0]
        assert node.sql("SELECT count(*) FROM storage_instance") == [(1,)]
        query = "SELECT address, peer FROM network_associationlog"
        rows = wait_for(lambda: len(found := node.sql(query)) == 4 and found, what="all are logged")
        assert {tuple(map(str, row)) for row in rows} == {("127.0.0.1", "scu")}
        assert refusals(node) == {}, "health checks are no refused callers"
        assert " ERROR " not in node.log_text()
