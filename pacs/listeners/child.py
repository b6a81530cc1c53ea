"""A child: serves the connections its parent gives it, a thread each."""

import logging
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from apps.network.current import CurrentRules
from apps.network.database import give_back
from apps.network.log import AssociationJournal
from apps.network.nodes import Heartbeat
from apps.network.rules import ListenerRules
from apps.network.tls import InvalidTls
from dicom.dimse import Limits, Timeouts, run_acceptor
from pacs.listeners import proxy
from pacs.listeners.acceptor import IncomingAssociation
from pacs.listeners.channel import Channel, Note

logger = logging.getLogger("pacs.listeners")

LAST_WORDS = 3.0  # seconds for the log and the sign of life when all associations are over
LAG = 2.0  # seconds that the rules of two processes may be apart
ANSWER_WAIT = 5.0  # seconds for the parent to say whether an association fits; then it does not


@dataclass
class Served:
    """One connection: its socket, its thread, the parent's answer."""

    socket: socket.socket
    thread: threading.Thread | None = None
    answered: threading.Event = field(default_factory=threading.Event)
    admitted: bool = False


class Child:
    """One process; `run` returns when the parent said stop or died, and the associations are over or given up."""

    def __init__(self, channel: Channel, *, drain_seconds: float) -> None:
        self.channel = channel
        self.drain_seconds = drain_seconds
        self.stopping = threading.Event()
        self.rules = CurrentRules()
        self.journal = AssociationJournal()
        self.heartbeat = Heartbeat("listeners")
        self.served: dict[int, Served] = {}

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._leave)
        threading.excepthook = _log_uncaught
        self.rules.start()
        self.journal.start()
        self.heartbeat.start()
        while not self.stopping.is_set():
            received = self.channel.receive()
            if received is None:
                break
            self._take(*received)
        self._drain()

    def _leave(self, number: int, frame: object) -> None:
        """Asked to go alone: the loop reads the end, the parent sends nobody any more."""
        self.tell(Note("leaving"))
        self.channel.socket.shutdown(socket.SHUT_RD)

    def _take(self, note: Note, descriptors: list[int]) -> None:
        if note.what == "connection":
            self._serve(note, socket.socket(fileno=descriptors[0]))
            return
        served = self.served.get(note.connection)
        if note.what == "stop":
            self.stopping.set()
        elif note.what == "admitted" and served:
            served.admitted = note.allowed
            served.answered.set()
        elif note.what == "drop" and served:
            self._shut(served)

    def _serve(self, note: Note, connection: socket.socket) -> None:
        served = Served(connection)
        self.served[note.connection] = served
        served.thread = threading.Thread(
            target=self._converse, args=(note, served), name=f"association {note.connection}", daemon=True
        )
        try:
            served.thread.start()
        except RuntimeError:  # no thread left
            logger.error("no thread for the connection from %s", note.address[0])
            self._finish(note, served)

    def _converse(self, note: Note, served: Served) -> None:
        """The whole life of a connection, in its thread."""
        try:
            listener = self._listener(note.listener)
            address = self._caller(listener, note, served) if listener is not None else None
            if listener is not None and address is not None:
                tls = listener.tls()
                acceptor = IncomingAssociation(
                    note.listener,
                    address[0],
                    rules=self.rules,
                    journal=self.journal,
                    places=_Place(self, note.connection, served),
                )
                run_acceptor(
                    served.socket,
                    address,
                    acceptor,
                    timeouts=timeouts(listener),
                    limits=Limits(maximum_length=listener.maximum_length),
                    tls=tls,
                    stopping=self.stopping,
                )
        except InvalidTls as error:
            logger.error("nobody is served on %s: %s", note.listener, error)
            reason = f"Listener {note.listener}: {error}"[:200]
            self.journal.refused(calling_ae_title="", called_ae_title="", address=note.address[0], reason=reason)
        finally:
            self._finish(note, served)

    def _listener(self, name: str) -> ListenerRules | None:
        """A new one may be known to the process that told the parent, and here a second later."""
        deadline = time.monotonic() + LAG
        while (listener := self.rules.rules.listener(name)) is None and time.monotonic() < deadline:
            if self.stopping.wait(0.1):
                break
        return listener

    def _caller(self, listener: ListenerRules, note: Note, served: Served) -> tuple[str, int] | None:
        """Who calls: a balancer says for whom it does. None when nothing is to be served."""
        if not listener.is_balancer(note.address[0]):
            return note.address
        try:
            found = proxy.read(served.socket, seconds=listener.acse_timeout or None, stopping=self.stopping)
        except proxy.Gone:
            return None  # it looked whether we are there
        except proxy.InvalidHeader as error:
            logger.warning("balancer %s on %s refused: it sent %s", note.address[0], listener.name, error)
            self.journal.refused(
                calling_ae_title="",
                called_ae_title="",
                address=note.address[0],
                reason=f"Balancer of listener {listener.name} sent {error}",
            )
            return None
        return found or note.address

    def _finish(self, note: Note, served: Served) -> None:
        give_back()
        served.socket.close()
        self.served.pop(note.connection, None)
        self.tell(Note("ended", note.connection))

    def tell(self, note: Note) -> None:
        with suppress(OSError):  # the parent is gone: the loop notices
            self.channel.send(note)

    @staticmethod
    def _shut(served: Served) -> None:
        with suppress(OSError):  # closed already
            served.socket.shutdown(socket.SHUT_RDWR)

    def _drain(self) -> None:
        """Associations finish the message they are in; whoever needs longer is cut off."""
        self.stopping.set()
        deadline = time.monotonic() + self.drain_seconds
        for served in list(self.served.values()):
            if served.thread is not None:
                served.thread.join(max(0.0, deadline - time.monotonic()))
        for served in list(self.served.values()):
            self._shut(served)
        # Together: each waits for a database that may be away.
        last_words = [threading.Thread(target=stop, daemon=True) for stop in (self.journal.stop, self.heartbeat.stop)]
        for thread in last_words:
            thread.start()
        for thread in last_words:
            thread.join(LAST_WORDS)


@dataclass(slots=True)
class _Place:
    """One connection's, asked for and left by notes to the parent."""

    child: Child
    connection: int
    served: Served

    def take(self, peer: str, limit: int) -> bool:
        self.child.tell(Note("admit", self.connection, peer=peer, limit=limit))
        return self.served.answered.wait(ANSWER_WAIT) and self.served.admitted

    def leave(self) -> None:
        self.child.tell(Note("released", self.connection))


def _log_uncaught(uncaught: threading.ExceptHookArgs) -> None:
    """The one place for bugs in threads of ours; the engine logs those of handlers."""
    logger.critical("thread %s ended", uncaught.thread, exc_info=uncaught.exc_value)


def timeouts(listener: ListenerRules) -> Timeouts:
    """In the rows 0 is for ever."""
    return Timeouts(
        acse=listener.acse_timeout or None,
        pdu=listener.pdu_timeout or None,
        dimse=listener.dimse_timeout or None,
        idle=listener.idle_timeout or None,
    )
