"""Owns the listening sockets, keeps the children, gives each connection to the child that has fewest.

One thread, no database: what to listen on comes from the snapshot that the children write. So it can fork at any time.
"""

import logging
import os
import resource
import select
import selectors
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.network.rules import Rules
from apps.network.snapshot import read_snapshot, snapshot_path
from pacs.listeners.channel import Channel, Note
from pacs.listeners.child import Child
from pacs.listeners.ports import Ports
from pacs.supervision import Stops, ending

logger = logging.getLogger("pacs.listeners")

TICK = 0.5  # seconds between looks at the snapshot
ACCEPT_AT_ONCE = 64
BREATH = 0.01  # seconds without accepting when no child or no descriptor is free
WAITING_AT_MOST = 512  # connections that have not yet become associations
QUICK_DEATH = 5.0  # seconds; a child that lives no longer is replaced after a pause
GRACE = 8.0  # seconds beyond the drain before children are killed


@dataclass
class Connection:
    number: int
    listener: str
    address: str
    peer: str | None = None  # its name once the association is admitted


@dataclass
class Worker:
    """A child as the parent sees it."""

    pid: int
    channel: Channel
    started: float
    connections: dict[int, Connection] = field(default_factory=dict)
    leaving: bool = False


class Parent:
    """`names`: the listeners to run, empty for all."""

    def __init__(self, *, names: frozenset[str], processes: int, drain_seconds: float) -> None:
        self.names = names
        self.processes = processes
        self.drain_seconds = drain_seconds
        self.selector = selectors.DefaultSelector()
        self.ports = Ports(opened=self._listen, closed=self.selector.unregister)
        self.workers: dict[int, Worker] = {}
        self.rules = Rules()
        self.snapshot_mark: tuple[int, int] | None = None
        self.next_fork = 0.0
        self.next_number = 1
        self.associations_of_listener: Counter[str] = Counter()
        self.associations_of_peer: Counter[str] = Counter()
        self.stops = Stops()

    # Life

    def run(self) -> None:
        self._prepare_signals()
        _raise_file_limit()
        self._look_at_snapshot()
        while not self.stops.count:
            self._tick()
            self._wait(TICK)
        self._drain()

    def _prepare_signals(self) -> None:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self.selector.register(wake_read, selectors.EVENT_READ, lambda: os.read(wake_read, 4096))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stops)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # only to wake up

    def _wait(self, seconds: float) -> None:
        for key, _ in self.selector.select(seconds):
            handle: Callable[[], object] = key.data
            handle()

    def _tick(self) -> None:
        self._bury()
        self._look_at_snapshot()
        now = time.monotonic()
        while len(self.workers) < self.processes and now >= self.next_fork:
            self._fork()

    def _drain(self) -> None:
        """No new connections; children finish the message each association is in, then end."""
        logger.info("listeners stopping, %d associations", self.associations_of_listener.total())
        self.ports.close()
        for worker in self.workers.values():
            self._tell(worker, Note("stop"))
        deadline = time.monotonic() + self.drain_seconds + GRACE
        while self.workers and time.monotonic() < deadline and self.stops.count < 3:
            self._wait(0.2)
            self._bury()
        for worker in self.workers.values():
            logger.error("listener process %d does not stop and is killed", worker.pid)
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
        logger.info("listeners stopped")

    # Children

    def _fork(self) -> None:
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            self._become_child(ours, theirs)
        theirs.close()
        ours.socket.setblocking(False)
        worker = Worker(pid, ours, time.monotonic())
        self.workers[pid] = worker
        self.selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))
        logger.info("listener process %d started", pid)

    def _become_child(self, ours: Channel, theirs: Channel) -> None:
        """Never returns. Nothing of the parent's stays open: a port closes when the parent closes it."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for key in list(self.selector.get_map().values()):
                os.close(key.fd)
            self.selector.close()
            os.close(ours.socket.detach())
            Child(theirs, drain_seconds=self.drain_seconds).run()
            code = 0
        except Exception:  # the one place of a child's main thread
            logger.exception("listener process failed")
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        """Children that ended: their places are free again, others take over."""
        for pid, worker in list(self.workers.items()):
            dead, status = os.waitpid(pid, os.WNOHANG)
            if not dead:
                continue
            del self.workers[pid]
            self.selector.unregister(worker.channel)
            worker.channel.close()
            for connection in worker.connections.values():
                self._forget(connection)
            now = time.monotonic()
            if not self.stops.count:
                logger.error(
                    "listener process %d ended (%s) with %d connections, another takes its place",
                    pid,
                    ending(os.waitstatus_to_exitcode(status)),
                    len(worker.connections),
                )
                self.next_fork = now if now - worker.started > QUICK_DEATH else now + 2.0

    def _tell(self, worker: Worker, note: Note, *descriptors: int) -> bool:
        try:
            worker.channel.send(note, *descriptors)
        except OSError as error:
            # Gone: it is buried at the next tick. Stuck, its channel full: others take its place meanwhile.
            if not worker.leaving and not self.stops.count:
                logger.error("listener process %d does not take %s: %s", worker.pid, note.what, error)
            return False
        return True

    def _hear(self, worker: Worker) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                received = worker.channel.receive()
            except BlockingIOError:
                return
            if received is None:
                worker.leaving = True
                return
            note, _ = received
            if note.what == "leaving":
                worker.leaving = True
            elif note.what == "admit":
                self._admit(worker, note)
            elif connection := worker.connections.get(note.connection):
                self._forget(connection)
                if note.what == "ended":
                    del worker.connections[note.connection]

    # Connections

    def _accept(self, name: str) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            taker = self._taker()
            if taker is None:
                time.sleep(BREATH)  # who calls waits in the backlog
                return
            try:
                accepted, address = self.ports[name].accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                # No descriptors or memory left: they come back as connections end.
                logger.error("cannot accept on %s: %s", name, error)
                time.sleep(BREATH)
                return
            with accepted:
                self._assign(taker, name, accepted, (address[0], address[1]))

    def _taker(self) -> Worker | None:
        """The child with the fewest connections, of those whose channel has room."""
        poll = select.poll()
        for worker in self.workers.values():
            if not worker.leaving:
                poll.register(worker.channel, select.POLLOUT)
        free = {descriptor for descriptor, event in poll.poll(0) if event == select.POLLOUT}
        takers = (worker for worker in self.workers.values() if worker.channel.fileno() in free)
        return min(takers, key=lambda worker: len(worker.connections), default=None)

    def _assign(self, worker: Worker, listener: str, accepted: socket.socket, address: tuple[str, int]) -> None:
        self._make_room()
        number = self.next_number
        self.next_number += 1
        if self._tell(worker, Note("connection", number, listener, address), accepted.fileno()):
            worker.connections[number] = Connection(number, listener, address[0])

    def _make_room(self) -> None:
        """When too many connections wait without asking for an association, the oldest of the largest crowd goes."""
        waiting = [(c, w) for w in self.workers.values() for c in w.connections.values() if c.peer is None]
        if len(waiting) < WAITING_AT_MOST:
            return
        crowd = Counter(connection.address for connection, _ in waiting).most_common(1)[0][0]
        oldest, worker = min(((c, w) for c, w in waiting if c.address == crowd), key=lambda pair: pair[0].number)
        logger.warning("%d connections without association, one from %s is closed", len(waiting), crowd)
        self._tell(worker, Note("drop", oldest.number))
        worker.connections.pop(oldest.number)

    def _admit(self, worker: Worker, note: Note) -> None:
        """Whether one more association fits: of its listener, and of its peer where that has a limit."""
        connection = worker.connections.get(note.connection)
        listener = self.rules.listener(connection.listener) if connection else None
        allowed = (
            connection is not None
            and listener is not None
            and self.associations_of_listener[listener.name] < listener.maximum_associations
            and (not note.limit or self.associations_of_peer[note.peer] < note.limit)
        )
        if allowed and connection is not None:
            connection.peer = note.peer
            self.associations_of_listener[connection.listener] += 1
            self.associations_of_peer[note.peer] += 1
        self._tell(worker, Note("admitted", note.connection, allowed=allowed))

    def _forget(self, connection: Connection) -> None:
        if connection.peer is not None:
            self.associations_of_listener[connection.listener] -= 1
            self.associations_of_peer[connection.peer] -= 1
            connection.peer = None

    # What to listen on

    def _look_at_snapshot(self) -> None:
        try:
            found = os.stat(snapshot_path())
        except FileNotFoundError:
            return
        mark = (found.st_mtime_ns, found.st_ino)
        if mark != self.snapshot_mark and (rules := read_snapshot()) is not None:
            self.rules = rules
            self.snapshot_mark = mark
        elif not self.ports.incomplete:
            return
        self.ports.reconcile(row for row in self.rules.listeners if not self.names or row.name in self.names)

    def _listen(self, name: str, bound: socket.socket) -> None:
        self.selector.register(bound, selectors.EVENT_READ, lambda: self._accept(name))


def _raise_file_limit() -> None:
    """A connection takes a descriptor here for a moment and in a child for as long as it lives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
