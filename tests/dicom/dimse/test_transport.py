"""What the sockets are told, and what the operating system must not limit."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dicom.dimse import associate
from dicom.dimse.transport import Stream
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import CT_IMAGE_STORAGE, EXPLICIT, IMPLICIT, VERIFICATION, wait_for


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


def test_nothing_is_held_back_and_dead_peers_are_looked_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    Stream(ours, 0.5)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


class Spy:
    """A socket that remembers what was set after which read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.calls: list[str] = []

    def recv_into(self, *arguments: object) -> int:
        self.calls.append("read")
        return self._sock.recv_into(*arguments)  # type: ignore[arg-type]

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.calls.append("quickack" if (level, option) == (socket.IPPROTO_TCP, socket.TCP_QUICKACK) else "other")
        self._sock.setsockopt(level, option, value)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux only")
def test_what_is_not_whole_is_acknowledged_before_the_rest_is_waited_for(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """A sender with Nagle on, such as a stock storescu, would wait 40 ms an instance for a delayed acknowledgement."""
    ours, theirs = pair
    stream = Stream(ours, 0.05)
    spy = Spy(ours)
    stream._sock = spy  # type: ignore[assignment]
    view = memoryview(bytearray(10))
    theirs.sendall(b"abc")
    assert stream.receive(view) == 3
    assert spy.calls == ["read"], "the answer carries the acknowledgement of a whole message"
    spy.calls.clear()
    with pytest.raises(BlockingIOError):
        stream.receive(view, more=True)
    assert spy.calls == ["read", "quickack", "read"]
    spy.calls.clear()
    theirs.sendall(b"abc")
    assert stream.receive(view, more=True) == 3
    assert spy.calls == ["read"], "what is there already does not wait"


@contextmanager
def many_files(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 200, hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    try:
        yield
    finally:
        for fd in files:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_file_descriptors_beyond_1024_are_as_good_as_any(serve: Serve) -> None:
    """select() cannot have them."""
    with many_files(1100):
        running = serve()
        with associate(
            *running.address,
            calling_ae_title="ME",
            called_ae_title="YOU",
            contexts=[(VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT])],
        ) as assoc:
            assert assoc._stream._sock.fileno() > 1024
            assert assoc.c_echo().status == 0
            assoc.serve(0.05)
            assert not assoc.peer_is_gone()
        assert running.acceptor.outcome() == "released"


def test_the_receive_buffer_stays_small_until_data_comes_in_bulk(serve: Serve) -> None:
    running = serve()
    with associate(
        *running.address,
        calling_ae_title="ME",
        called_ae_title="YOU",
        contexts=[(VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT])],
    ) as assoc:
        for _ in range(10):
            assert assoc.c_echo().status == 0
        wait_for(lambda: running.acceptor.associations)
        (theirs,) = running.acceptor.associations
        assert len(theirs._reader._buffer) <= 1 << 14
        storage = assoc.context_for(CT_IMAGE_STORAGE)
        assert storage is not None
        assoc.c_store(context=storage, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid="1.2.3", data=bytes(50_000_000))
        assert 1 << 14 < len(theirs._reader._buffer) <= 1 << 19
