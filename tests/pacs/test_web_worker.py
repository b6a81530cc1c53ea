"""The web server's worker: clients that are slow, leave, or lie about the length of what they send."""

import base64
import functools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests

from tests.node import Node, listens, wait_for
from tests.storage import made

pytestmark = pytest.mark.live

THREADS = 4
HEAD = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
END = b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("web"), PACS_WEB_THREADS=str(THREADS), PACS_WEB_PATIENCE="1") as running:
        running.manage("prepare")
        yield running.start("indexer", "web")


@pytest.fixture(scope="module")
def credentials(node: Node) -> bytes:
    return base64.b64encode(f"admin:{node.admin_password}".encode())


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def connected(node: Node, sockets: ExitStack, receive_buffer: int = 0) -> socket.socket:
    sock = sockets.enter_context(socket.socket())
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(30)
    sock.connect((node.host, node.http_port))
    return sock


def head(credentials: bytes, *headers: bytes) -> bytes:
    lines = [
        b"POST /dicomweb/studies HTTP/1.1",
        b"Host: x",
        b"Authorization: Basic " + credentials,
        b'Content-Type: multipart/related; type="application/dicom"; boundary=b',
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def answer(sock: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    while piece := sock.recv(1 << 16):
        received += piece
    return received


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def instances(node: Node, uid: str) -> int:
    ((count,),) = node.sql("SELECT COUNT(*) FROM storage_instance WHERE sop_instance_uid = %s", [uid])
    return int(count)


def is_clean(node: Node) -> bool:
    """No file is half written, none waits."""
    spool = node.data / "spool" / "main"
    written = [path for path in spool.glob("tmp/*/*") if path.is_file() and path.stat().st_size]
    return not written and not list((spool / "ready").iterdir())


def test_silent_clients_as_many_as_threads_keep_nobody_out(node: Node, sockets: ExitStack) -> None:
    silent = [connected(node, sockets) for _ in range(2 * THREADS)]
    for number, sock in enumerate(silent):
        sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " if number % 2 else b"G")
    assert node.get("/health/live")[0] == 200
    for sock in silent:
        assert b"200 OK" not in answer(sock)


def test_a_body_that_stops_ends_with_408_and_what_was_whole_stays(
    node: Node, sockets: ExitStack, credentials: bytes
) -> None:
    sock = connected(node, sockets)
    first, second = made.data_set(sop="1.2.3.408.1"), made.data_set(sop="1.2.3.408.2", pixels=bytes(3 << 20))
    body = HEAD + first + b"\r\n" + HEAD + second
    sock.sendall(head(credentials, b"Content-Length: %d" % (len(body) + 100)) + body)
    assert status(answer(sock)) == 408
    wait_for(lambda: instances(node, "1.2.3.408.1") == 1 and is_clean(node))
    assert instances(node, "1.2.3.408.2") == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_a_body_that_trickles_ends(node: Node, sockets: ExitStack, credentials: bytes, framing: bytes) -> None:
    sock = connected(node, sockets)
    sock.sendall(head(credentials, framing) + (b"fff\r\n" if b"chunked" in framing else b"") + HEAD)
    with pytest.raises(OSError):
        while True:
            sock.sendall(b"x")
            time.sleep(0.02)
    assert node.get("/health/live")[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_leaves_leaves_nothing_behind(
    node: Node, sockets: ExitStack, credentials: bytes, chunked: bool
) -> None:
    uid = f"1.2.3.410.{int(chunked)}"
    sock = connected(node, sockets)
    body = HEAD + made.data_set(sop=f"{uid}.1") + b"\r\n" + HEAD + made.data_set(sop=f"{uid}.2", pixels=bytes(3 << 20))
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 10000000"
    sock.sendall(head(credentials, framing) + (b"%x\r\n" % (len(body) + 5) if chunked else b"") + body)
    sock.close()
    wait_for(lambda: instances(node, f"{uid}.1") == 1 and is_clean(node))
    assert instances(node, f"{uid}.2") == 0


def test_what_follows_a_body_that_is_longer_than_it_says_is_no_request(
    node: Node, sockets: ExitStack, credentials: bytes
) -> None:
    sock = connected(node, sockets)
    body = HEAD + made.data_set(sop="1.2.3.411.1")
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    sock.sendall(head(credentials, b"Content-Length: %d" % len(body)) + body + smuggled)
    received = answer(sock)
    assert status(received) == 400
    assert received.count(b"HTTP/1.1") == 1
    assert instances(node, "1.2.3.411.1") == 0


def test_requests_follow_each_other_on_one_connection(node: Node, sockets: ExitStack, credentials: bytes) -> None:
    sock = connected(node, sockets)
    uids = [f"1.2.3.412.{number}" for number in range(3)]
    bodies = [HEAD + made.data_set(sop=uid) + END for uid in uids]
    sock.sendall(b"".join(head(credentials, b"Content-Length: %d" % len(body)) + body for body in bodies[:2]))
    body = bodies[2]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:100], body[100:101], body[101:]))
    sock.sendall(head(credentials, b"Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
    sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    received = answer(sock)
    assert received.count(b"HTTP/1.1 200 OK") == 4
    wait_for(lambda: [instances(node, uid) for uid in uids] == [1, 1, 1])


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"5\r\nxxxxxxx\r\n", b"-5\r\n", b"5;" + b"x" * 20_000 + b"\r\n"])
def test_chunks_that_are_malformed_are_400_and_end_the_connection(
    node: Node, sockets: ExitStack, credentials: bytes, chunk: bytes
) -> None:
    sock = connected(node, sockets)
    sock.sendall(head(credentials, b"Transfer-Encoding: chunked") + b"3\r\n--b\r\n" + chunk)
    assert status(answer(sock)) == 400


def test_bodies_that_arrive_slowly_leave_threads_for_others(node: Node, sockets: ExitStack, credentials: bytes) -> None:
    late = functools.partial(
        requests.post,
        f"http://{node.host}:{node.http_port}/dicomweb/studies",
        auth=("admin", node.admin_password),
        headers={"Content-Type": "application/dicom"},
    )

    body = HEAD + made.data_set(sop="1.2.3.413.2", pixels=bytes(8 << 20))
    enough = threading.Event()

    def arrive_slowly() -> None:
        """Fast enough to be borne with; one that is ended all the same comes again."""
        while not enough.is_set():
            with suppress(OSError), connected(node, sockets) as sock:
                sock.sendall(head(credentials, b"Content-Length: %d" % len(body)))
                for start in range(0, len(body), 4096):
                    sock.sendall(body[start : start + 4096])
                    if enough.wait(0.1):
                        return

    def refused() -> list[requests.Response]:
        return [answer for answer in [late(data=b"x")] if answer.status_code == 503]

    slow = [threading.Thread(target=arrive_slowly) for _ in range(THREADS // 2)]
    for thread in slow:
        thread.start()
    try:
        (busy,) = wait_for(refused)
        assert int(busy.headers["Retry-After"]) > 0
        assert node.get("/health/live")[0] == 200
    finally:
        enough.set()
        for thread in slow:
            thread.join()
    data = made.data_set(sop="1.2.3.413.1")
    wait_for(lambda: late(data=data).status_code == 200)  # once the slow ones have gone


def test_a_worker_whose_master_was_killed_leaves_the_port_and_finishes_what_it_is_at(
    tmp_path: Path, sockets: ExitStack
) -> None:
    with Node(tmp_path) as alone:
        alone.manage("prepare")
        alone.start("indexer", "web")
        body = HEAD + made.data_set(sop="1.2.3.415.1") + END
        sock = connected(alone, sockets)
        framing = b"Content-Length: %d" % len(body)
        sock.sendall(head(base64.b64encode(f"admin:{alone.admin_password}".encode()), framing) + body[:100])
        wait_for(lambda: alone.get("/health/live")[0] == 200, what="who came before is being served too")
        alone.kill("web")
        wait_for(lambda: not listens(alone.http_port), what="the port is free")
        sock.sendall(body[100:])
        assert status(answer(sock)) == 200


def test_clients_that_do_not_read_their_answer_keep_nobody_out(
    node: Node, sockets: ExitStack, credentials: bytes
) -> None:
    data = made.data_set(sop="1.2.3.414.1", study="1.2.3.414", series="1.2.3.414.2", pixels=bytes(32 << 20))
    address = f"http://{node.host}:{node.http_port}/dicomweb/studies"
    headers = {"Content-Type": "application/dicom"}
    send = functools.partial(requests.post, address, data=data, headers=headers, auth=("admin", node.admin_password))
    wait_for(lambda: send().status_code == 200, what="those of other tests who store slowly have been ended")
    asked = b"GET /dicomweb/studies/1.2.3.414 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + credentials + b"\r\n\r\n"
    for _ in range(THREADS):
        connected(node, sockets, receive_buffer=4096).sendall(asked)
    assert node.get("/health/live")[0] == 200
