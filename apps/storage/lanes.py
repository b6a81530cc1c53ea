"""Several associations with one destination, side by side: each sends what comes next."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from time import monotonic
from typing import Self

from apps.network.database import give_back
from apps.storage.attempts import Outcome
from apps.storage.scu import Sender
from apps.storage.sources import Source
from dicom.dimse import DimseError

PATIENCE = 0.5  # seconds for the instances on their way when the rest is not wanted any more, and to break them off


class Lanes:
    """`give` sources and `finish`; take the `outcomes` and say how many are `recorded`: a lane waits while `unrecorded`
    of them are not, so that no more than these, and the ones on their way, are sent again by who goes on after a kill.

    A context manager. A lane that gets no association any more leaves what it has to the others; `reason` says why.
    """

    def __init__(self, make: Callable[[], Sender], number: int, *, unrecorded: int) -> None:
        self._senders = [make() for _ in range(number)]
        self._most = unrecorded
        lock = threading.Lock()
        # Two, so that what comes wakes nobody before there is enough of it: threads that take turns cost much.
        self._changed, self._come = threading.Condition(lock), threading.Condition(lock)
        self._waiting: deque[Source] = deque()
        self._outcomes: list[Outcome] = []
        self._unrecorded, self._enough = 0, 1
        self._finished = self._stopping = False
        self._error: BaseException | None = None
        self.reason = ""
        self._running = number
        # Daemons: one that is still connecting when nobody waits for it any more must not keep the process.
        self._threads = [
            threading.Thread(target=self._run, args=(sender,), name=f"lane {lane}", daemon=True)
            for lane, sender in enumerate(self._senders)
        ]

    def give(self, sources: Iterable[Source]) -> None:
        with self._changed:
            self._waiting.extend(sources)
            self._changed.notify_all()

    def leave_out(self, uids: Collection[str]) -> list[str]:
        """Of these SOP Instance UIDs what waits, and does so no more; not what a lane has begun."""
        with self._changed:
            left_out = [each.sop_instance_uid for each in self._waiting if each.sop_instance_uid in uids]
            self._waiting = deque(each for each in self._waiting if each.sop_instance_uid not in uids)
        return left_out

    def finish(self) -> None:
        """No more will be given."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def associations(self) -> int:
        return sum(sender.associations for sender in self._senders)

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        with self._changed:
            return not self._running and not self._outcomes

    def outcomes(self, timeout: float, *, enough: int = 1) -> list[Outcome]:
        """What has come since the last call; waits until it is enough. Raises what a lane broke with."""
        with self._come:
            self._enough = enough
            self._come.wait_for(lambda: len(self._outcomes) >= enough or not self._running, timeout)
            taken, self._outcomes = self._outcomes, []
            if self._error is not None and not taken:
                raise self._error
        return taken

    def recorded(self, number: int) -> None:
        with self._changed:
            self._unrecorded -= number
            self._changed.notify_all()

    def stop(self) -> None:
        """After the instances on their way, or by breaking them off. Who does not hear that yet, since he is connecting
        or decoding, ends as soon as he does."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._join()
        for sender, thread in zip(self._senders, self._threads, strict=True):
            if thread.is_alive():
                sender.abort()
        self._join()

    def _join(self) -> None:
        until = monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))

    def _run(self, sender: Sender) -> None:
        taken: deque[Source] = deque()
        try:
            with sender:
                sender.connect()
                with closing(sender.send_each(self._next(taken))) as outcomes:
                    while not self._stopping and not sender.given_up and (outcome := next(outcomes, None)) is not None:
                        taken.popleft()
                        self._put(outcome)
                self.reason = sender.given_up or self.reason
        except DimseError as error:
            self.reason = str(error)
        except BaseException as error:  # noqa: BLE001 - raised where the outcomes are taken
            self._error = error
        finally:
            give_back()
            with self._changed:
                self._waiting.extendleft(reversed(taken))
                self._running -= 1
                self._changed.notify_all()
                self._come.notify()

    def _next(self, taken: deque[Source]) -> Iterator[Source]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._finished or self._stopping)
                if self._stopping or not self._waiting:
                    return
                source = self._waiting.popleft()
            taken.append(source)
            yield source

    def _put(self, outcome: Outcome) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._unrecorded < self._most or self._stopping)
            self._unrecorded += 1
            self._outcomes.append(outcome)
            if len(self._outcomes) >= self._enough:
                self._come.notify()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
