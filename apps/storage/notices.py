"""Hints from the receivers to the indexer of the same node, over a Unix socket that keeps messages apart.

A lost notice is found in `ready/` a little later; a sender never waits. Not datagrams: Linux queues ten of them.
"""

import contextlib
import os
import select
import selectors
import socket
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from apps.storage import received
from apps.storage.received import Received

_SOCKET = "indexer.sock"
_BELL = "indexer.bell"
_LARGEST = 64 * 1024  # a longer header is read again from the file
_BUFFER = 4 << 20
_BACKLOG = 128


@lru_cache
def _address(root: Path, name: str) -> str:
    """A Unix address holds 107 bytes; a longer path is reached through an open directory."""
    path = root / name
    if len(os.fsencode(path)) <= 100:
        return str(path)
    return f"/proc/self/fd/{os.open(root, os.O_PATH)}/{name}"


class _Sender:
    """This process's connection to the indexer, made when needed and made again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._owner = (0, "")

    def send(self, root: Path, message: bytes) -> None:
        with self._lock:
            try:
                self._connected(_address(root, _SOCKET)).send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return  # the indexer is busy, and will look by itself
            except OSError:
                self._close()

    def _connected(self, where: str) -> socket.socket:
        owner = (os.getpid(), where)
        if self._socket is None or self._owner != owner:
            self._close()
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._owner = owner
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._socket.connect(where)
        return self._socket

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


_sender = _Sender()


def stored(root: Path, several: Sequence[Received]) -> None:
    """These are in `ready/`."""
    message = received.dump(several)
    if len(message) <= _LARGEST:
        _sender.send(root, message)
    elif len(several) > 1:
        middle = len(several) // 2
        stored(root, several[:middle])
        stored(root, several[middle:])


def hurry(root: Path) -> None:
    """Somebody waits for what is in `ready/`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller, contextlib.suppress(OSError):
        # An error: nobody is there, or it has been rung often enough.
        caller.sendto(b"!", socket.MSG_DONTWAIT, _address(root, _BELL))


def _bound(root: Path, name: str, kind: socket.SocketKind) -> socket.socket:
    (root / name).unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, kind)
    bound.bind(_address(root, name))
    (root / name).chmod(0o600)
    bound.setblocking(False)
    return bound


class Inbox:
    """The indexer's end: what has been announced and not yet taken."""

    def __init__(self, root: Path) -> None:
        self._socket = _bound(root, _SOCKET, socket.SOCK_SEQPACKET)
        self._socket.listen(_BACKLOG)
        self._bell = _bound(root, _BELL, socket.SOCK_DGRAM)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._ringing = select.poll()
        self._ringing.register(self._bell, select.POLLIN)
        self.announced: dict[str, Received] = {}
        self.hurried = False

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def wait(self, seconds: float) -> None:
        """Until something is announced or somebody is in a hurry, at most so long."""
        self._take(seconds)

    def gather(self, seconds: float) -> None:
        """Let notices come in for so long, without waking up for each: receivers need the processor. Ends early when
        somebody is in a hurry."""
        if seconds > 0 and not self.hurried:
            self._ringing.poll(seconds * 1000)
            self._take(0)

    def _take(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._socket:
                self._accept()
            elif key.fileobj is self._bell:
                self._hear()
            elif isinstance(key.fileobj, socket.socket):
                self._drain(key.fileobj)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(1):
                self.hurried = True

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)

    def _drain(self, connection: socket.socket) -> None:
        try:
            while message := connection.recv(_LARGEST):
                self.announced.update((one.name, one) for one in received.load(message))
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(connection)
        connection.close()
