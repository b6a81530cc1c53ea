"""A listening socket with a thread for each connection: for samples, tests and small tools."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic

from dicom.dimse import negotiation
from dicom.dimse.acceptor import Acceptor, run_acceptor
from dicom.dimse.association import Association
from dicom.dimse.message import Message
from dicom.dimse.negotiation import Accept, AssociateRequest, Reject
from dicom.dimse.settings import Limits, Timeouts

logger = logging.getLogger("dicom.dimse")

BACKLOG = 1024


class SimpleAcceptor:
    """Accepts everybody for what is in a table: {abstract syntax: (transfer syntaxes by preference, handler)}."""

    def __init__(self, services: Mapping[str, tuple[Sequence[str], Callable[[Association, Message], None]]]) -> None:
        self.services = services
        self.outcomes: list[str] = []

    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        results: dict[int, tuple[int, str]] = {}
        for context in request.contexts:
            syntaxes = self.services[context.abstract_syntax][0] if context.abstract_syntax in self.services else None
            if syntaxes is None:
                results[context.id] = (negotiation.ABSTRACT_SYNTAX_NOT_SUPPORTED, "")
                continue
            chosen = next((syntax for syntax in syntaxes if syntax in context.transfer_syntaxes), "")
            results[context.id] = (0 if chosen else negotiation.TRANSFER_SYNTAXES_NOT_SUPPORTED, chosen)
        return Accept(results, roles=request.roles, extended_negotiation=request.extended_negotiation)

    def begin(self, assoc: Association) -> None:
        pass

    def handle(self, assoc: Association, message: Message) -> None:
        self.services[message.context.abstract_syntax][1](assoc, message)

    def before_release(self, assoc: Association) -> None:
        pass

    def end(self, assoc: Association | None, outcome: str) -> None:
        self.outcomes.append(outcome)


class _Capped:
    """An acceptor that counts associations: over the cap, the request is read and rejected (PS3.8 9.3.4: 2,3,2)."""

    def __init__(self, acceptor: Acceptor, server: "ThreadedServer") -> None:
        self._acceptor, self._server = acceptor, server
        self._counted = False
        self.begin, self.handle = acceptor.begin, acceptor.handle

    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        answer = self._acceptor.negotiate(request, address)
        if isinstance(answer, Accept):
            if not self._server.take_slot():
                return negotiation.LOCAL_LIMIT_EXCEEDED
            self._counted = True
        return answer

    def before_release(self, assoc: Association) -> None:
        try:
            self._acceptor.before_release(assoc)
        finally:
            self._give()  # who has the answer may call again at once

    def end(self, assoc: Association | None, outcome: str) -> None:
        self._give()
        self._acceptor.end(assoc, outcome)

    def _give(self) -> None:
        if self._counted:
            self._counted = False
            self._server.give_slot()


class ThreadedServer:
    """`start()` binds and returns; `port` tells which one a bind to port 0 got; `stop()` drains.

    `maximum_associations` counts what is associated, `maximum_connections` what is not yet: silent connections never
    take an association's place.
    """

    def __init__(
        self,
        address: tuple[str, int],
        acceptor: Acceptor,
        *,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
        limits: Limits = Limits(),  # noqa: B008
        tls: ssl.SSLContext | None = None,
        maximum_associations: int = 100,
        maximum_connections: int = 1000,
    ) -> None:
        self._address, self._acceptor = address, acceptor
        self._timeouts, self._limits, self._tls = timeouts, limits, tls
        self._maximum_associations, self._maximum_connections = maximum_associations, maximum_connections
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._associations = 0
        self._threads: set[threading.Thread] = set()
        self._socket: socket.socket | None = None
        self._accepting: threading.Thread | None = None

    @property
    def port(self) -> int:
        if self._socket is None:
            raise RuntimeError("The server has not been started")
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        self._socket = socket.create_server(self._address, family=family, backlog=BACKLOG)
        self._accepting = threading.Thread(target=self._accept, name="dimse-accept", daemon=True)
        self._accepting.start()

    def wait(self) -> None:
        """Until another thread calls `stop()`, or until Ctrl-C."""
        with suppress(KeyboardInterrupt):
            self._stopping.wait()

    def stop(self, drain_seconds: float = 10) -> None:
        """Accept no more, let the running messages finish, end the associations."""
        self._stopping.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self._socket.close()
        deadline = monotonic() + drain_seconds
        for thread in ([self._accepting] if self._accepting else []) + list(self._threads):
            thread.join(max(0.0, deadline - monotonic()))

    def __enter__(self) -> "ThreadedServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def take_slot(self) -> bool:
        with self._lock:
            if self._associations >= self._maximum_associations:
                return False
            self._associations += 1
            return True

    def give_slot(self) -> None:
        with self._lock:
            self._associations -= 1

    def _accept(self) -> None:
        assert self._socket is not None
        while not self._stopping.is_set():
            try:
                sock, address = self._socket.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                logger.warning("accept failed: %s", error)  # too many open files: wait for some to close
                self._stopping.wait(0.1)
                continue
            with self._lock:
                waiting = len(self._threads) - self._associations
            if waiting >= self._maximum_connections:
                sock.close()
                continue
            thread = threading.Thread(target=self._run, args=(sock, address[:2]), name="dimse", daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def _run(self, sock: socket.socket, address: tuple[str, int]) -> None:
        try:
            run_acceptor(
                sock,
                address,
                _Capped(self._acceptor, self),
                timeouts=self._timeouts,
                limits=self._limits,
                tls=self._tls,
                stopping=self._stopping,
            )
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
