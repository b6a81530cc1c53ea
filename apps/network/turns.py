"""Taking turns: threads of one interpreter that all compute at once only take it from each other, and the last of them
waits for all. A few at a time, first come first served, each is done sooner, and none much later than the others."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """`most` at once. Who comes while others wait is behind them."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        self._take()
        try:
            yield
        finally:
            self._leave()

    def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()  # the turn goes over, nobody gets in between
            else:
                self._free += 1
