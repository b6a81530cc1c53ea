"""The C-STORE sub-operations of a C-GET or C-MOVE: on their way (PS3.4 C.4.2, C.4.3); `dicom.tally` counts them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotYet
from contextlib import closing, contextmanager
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Final, Self

from apps.network.database import give_back
from apps.qr.retrieve import Instances
from apps.storage.attempts import MoveOriginator, Outcome
from apps.storage.scu import Sender
from apps.storage.sources import Archived
from dicom.dimse import DimseError

HEARTBEAT: Final = 5.0  # seconds between pending responses while one instance takes its time
PATIENCE: Final = 5.0  # seconds for the instance on its way when nobody wants the rest any more


class Transfer:
    """Instances on their way to a destination, sent by a thread of its own so that the requester can be told meanwhile.

    A context manager; at its end the thread is over, if need be by breaking off what it sends.
    """

    def __init__(self, sender: Sender, found: Instances, move_originator: MoveOriginator) -> None:
        self._sender, self._found, self._move_originator = sender, found, move_originator
        self._outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        self._stop = Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="move")
        self._done = self._thread.submit(self._run)
        self.over = False

    def _run(self) -> None:
        try:
            with self._sender:
                self._sender.connect()
                rows = (Archived(row) for page in self._found.pages() for row in page)
                with closing(self._sender.send_each(rows, move_originator=self._move_originator)) as outcomes:
                    while not self._stop.is_set() and (outcome := next(outcomes, None)) is not None:
                        self._outcomes.put(outcome)
        finally:
            give_back()
            self._outcomes.put(None)

    def outcomes(self, timeout: float) -> list[Outcome]:
        """What has come since the last call; waits for the first. `over` afterwards: nothing more will come."""
        taken: list[Outcome] = []
        try:
            while not self.over:
                outcome = self._outcomes.get(timeout=0 if taken else timeout)
                if outcome is None:
                    self.over = True
                else:
                    taken.append(outcome)
        except Empty:
            pass
        return taken

    def wait(self, seconds: float) -> None:
        """Until the thread is over, or that long."""
        wait([self._done], seconds)

    def stop(self) -> None:
        """No more; raises DimseError where the destination could not be reached at all."""
        self._stop.set()
        try:
            self._done.result(PATIENCE)
        except NotYet:
            self._sender.abort()
            self._done.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if not self._done.done():
            self._sender.abort()
        self._thread.shutdown()


@contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """`beat` is called every HEARTBEAT seconds as long as the block lasts, by another thread."""
    over = Event()

    def run() -> None:
        while not over.wait(HEARTBEAT):
            try:
                beat()
            except DimseError:
                return  # the association has ended: who runs it will notice

    thread = Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
