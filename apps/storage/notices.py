"""Hints from the receivers to the indexer of the same node, over a Unix socket that keeps messages apart.

A lost notice is found in `ready/` a little later; a sender never waits. Not datagrams: Linux queues ten of them.
"""

import contextlib
import os
import selectors
import socket
import threading
import time
from functools import lru_cache
from pathlib import Path

from apps.storage import received
from apps.storage.received import Received

_SOCKET = "indexer.sock"
_HURRY = b"hurry"
_LARGEST = 64 * 1024  # a longer header is read again from the file
_BUFFER = 4 << 20
_BACKLOG = 128
_TICK = 0.004


@lru_cache
def _address(root: Path) -> str:
    """A Unix address holds 107 bytes; a longer path is reached through an open directory."""
    path = root / _SOCKET
    if len(os.fsencode(path)) <= 100:
        return str(path)
    return f"/proc/self/fd/{os.open(root, os.O_PATH)}/{_SOCKET}"


class _Sender:
    """This process's connection to the indexer, made when needed and made again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._owner = (0, "")

    def send(self, root: Path, message: bytes) -> None:
        with self._lock:
            try:
                self._connected(_address(root)).send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
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


def stored(root: Path, what: Received) -> None:
    dump = what.dump()
    if len(dump) <= _LARGEST:
        _sender.send(root, dump)


def hurry(root: Path) -> None:
    """Somebody waits for what is in `ready/`."""
    _sender.send(root, _HURRY)


class Inbox:
    """The indexer's end: what has been announced and not yet taken."""

    def __init__(self, root: Path) -> None:
        (root / _SOCKET).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(_address(root))
        (root / _SOCKET).chmod(0o600)
        self._socket.listen(_BACKLOG)
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self.announced: dict[str, Received] = {}
        self.hurried = False

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def wait(self, seconds: float) -> None:
        """Until something is announced or somebody is in a hurry, at most so long."""
        self._take(seconds)

    def gather(self, seconds: float, enough: int) -> None:
        """Go on taking notices for so long; ends early when somebody is in a hurry or there are enough."""
        deadline = time.monotonic() + seconds
        while not self.hurried and len(self.announced) < enough and time.monotonic() < deadline:
            time.sleep(min(_TICK, seconds))  # one wake-up for several notices: receivers need the processor
            self._take(0)

    def _take(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._socket:
                self._accept()
            elif isinstance(key.fileobj, socket.socket):
                self._drain(key.fileobj)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)

    def _drain(self, connection: socket.socket) -> None:
        try:
            while message := connection.recv(_LARGEST):
                if message == _HURRY:
                    self.hurried = True
                else:
                    notice = received.load(message)
                    self.announced[notice.name] = notice
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(connection)
        connection.close()
