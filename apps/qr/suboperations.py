"""The C-STORE sub-operations of a C-GET or C-MOVE: on their way, counted, reported (PS3.4 C.4.2, C.4.3)."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotYet
from contextlib import closing, contextmanager
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Final, Self

from apps.network.database import give_back
from apps.qr.retrieve import Instances
from apps.storage.attempts import MoveOriginator, Outcome
from apps.storage.scu import Sender
from apps.storage.sources import Archived
from dicom import status
from dicom.dimse import Association, DimseError, Message
from dicom.encoding import encode_elements

HEARTBEAT: Final = 5.0  # seconds between pending responses while one instance takes its time
PATIENCE: Final = 5.0  # seconds for the instance on its way when nobody wants the rest any more
FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058
_LOGGED: Final = 20  # failures of one request that are logged one by one
_LONGEST_LIST: Final = 65534  # bytes that an explicit UI can hold (PS3.5 7.1.2)


logger = logging.getLogger(__name__)


class Tally:
    """Numbers of sub-operations, and who they failed for, as far as a response can say it."""

    def __init__(self, found: Instances) -> None:
        self.completed = self.failed = self.warning = 0
        self.comment = ""  # why the last one failed
        self._found = found
        self._failed_uids: list[str] = []
        self._list_length = 0

    def note(self, outcome: Outcome) -> None:
        if status.is_success(outcome.status):
            self.completed += 1
        elif status.is_warning(outcome.status):
            self.warning += 1
        else:
            self.failed += 1
            self.comment = outcome.comment
            if self.failed <= _LOGGED:
                uid, why = outcome.sop_instance_uid, outcome.comment or "no reason given"
                logger.warning("%s could not be sent: status %04X, %s", uid, outcome.status, why)
            self._list(outcome.sop_instance_uid)

    def give_up(self, comment: str) -> None:
        """What was not tried has failed too."""
        for row in islice(self._found, len(self._found) - self.remaining, None):
            if self._list_length > _LONGEST_LIST:
                break
            self._list(row.sop_instance_uid)
        if self.remaining:
            logger.warning("%d instances not sent: %s", self.remaining, comment)
        self.failed += self.remaining
        self.comment = comment

    def _list(self, sop_instance_uid: str) -> None:
        """As many as fit, in the order they failed."""
        if self._list_length <= _LONGEST_LIST:
            self._list_length += len(sop_instance_uid) + bool(self._failed_uids)
        if self._list_length <= _LONGEST_LIST:
            self._failed_uids.append(sop_instance_uid)

    @property
    def remaining(self) -> int:
        return len(self._found) - self.completed - self.failed - self.warning

    def pending(self, assoc: Association, message: Message) -> None:
        assoc.respond(
            message,
            status.PENDING,
            remaining=self.remaining,
            completed=self.completed,
            failed=self.failed,
            warning=self.warning,
        )

    def finish(self, assoc: Association, message: Message, *, cancelled: bool) -> int:
        """The final response; its status."""
        final = status.CANCEL if cancelled else self._status()
        if self.failed > _LOGGED:
            logger.warning("%d of %d instances could not be sent", self.failed, len(self._found))
        identifier = None
        if self._failed_uids:
            listed = "\\".join(self._failed_uids).encode()
            elements = [(FAILED_SOP_INSTANCE_UID_LIST, "UI", listed)]
            identifier = encode_elements(elements, message.context.transfer_syntax)
        assoc.respond(
            message,
            final,
            data_set=identifier,
            error_comment=self.comment if self.failed else "",
            completed=self.completed,
            failed=self.failed,
            warning=self.warning,
        )
        return final

    def _status(self) -> int:
        if not self.failed and not self.warning:
            return status.SUCCESS
        if not self.completed and not self.warning:
            return status.RETRIEVE_SUBOPERATIONS_FAILED
        return status.RETRIEVE_WARNING


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
