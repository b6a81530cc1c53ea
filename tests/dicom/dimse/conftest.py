"""Servers that end with their test."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dicom.dimse.sides import Recorder, Running

Serve = Callable[..., Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve()` or `serve(services={...}, timeouts=...)` starts a server on a free port."""
    started: list[Running] = []

    def start(acceptor: Recorder | None = None, *, services: Any = None, **options: Any) -> Running:
        running = Running(acceptor or Recorder(services), **options)
        started.append(running)
        return running

    yield start
    for running in started:
        running.server.stop(drain_seconds=5)


class BarePeer:
    """Accepts connections and says the same thing to everybody."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._connections.append(sock)
                sock.sendall(self._said)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for sock in self._connections:
            sock.close()


@pytest.fixture
def silent_peer() -> Iterator[BarePeer]:
    peer = BarePeer(b"")
    yield peer
    peer.close()


@pytest.fixture
def http_peer() -> Iterator[BarePeer]:
    peer = BarePeer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    yield peer
    peer.close()
