"""The client of the DICOMweb figures takes answers as our server and Orthanc give them, and no broken one for whole."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from benchmarks.processes import PeerMissing
from benchmarks.web import Answer, Connection

MULTIPART = b'Content-Type: multipart/related; type="application/dicom"; boundary=x\r\n'
TWO_PARTS = b"--x\r\n\r\none\r\n--x\r\n\r\ntwo\r\n--x--\r\n"
Ask = Callable[..., list[Answer]]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Answers of a server that gives each connection one answer of those given, and closes it."""
    server = socket.create_server(("127.0.0.1", 0))
    given: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(given.pop(0))

    thread = threading.Thread(target=serve)
    thread.start()

    def asked(*answers: bytes) -> list[Answer]:
        given.extend(answers)
        with Connection(server.getsockname()[1], {}, capacity=4) as connection:
            return [connection.ask("/", accept="*/*") for _ in answers]

    yield asked
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_an_answer_of_known_length_is_unpacked(ask: Ask) -> None:
    packed = gzip.compress(b"[1]")
    head = f"HTTP/1.1 206 Partial\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    (answer,) = ask(head.encode() + packed)
    assert (answer.status, answer.plain()) == (206, b"[1]")


def test_parts_are_counted_in_chunks(ask: Ask) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (TWO_PARTS[:7], TWO_PARTS[7:]))
    (answer,) = ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + MULTIPART + b"\r\n" + chunks + b"0\r\n\r\n")
    assert (bytes(answer.content), answer.parts()) == (TWO_PARTS, 2)


def test_an_answer_that_ends_with_its_connection_is_followed_by_another_one(ask: Ask) -> None:
    whole = b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + MULTIPART + b"\r\n" + TWO_PARTS
    assert [answer.parts() for answer in ask(whole, whole)] == [2, 2]


def test_a_multipart_answer_without_its_end_has_no_parts(ask: Ask) -> None:
    (answer,) = ask(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + MULTIPART + b"\r\n" + TWO_PARTS[:-6])
    assert answer.parts() == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n\r\nfour", b"Transfer-Encoding: chunked\r\n\r\n9\r\nfour"])
def test_an_answer_that_breaks_off_is_an_error(ask: Ask, framing: bytes) -> None:
    with pytest.raises(PeerMissing):
        ask(b"HTTP/1.1 200 OK\r\n" + framing)
