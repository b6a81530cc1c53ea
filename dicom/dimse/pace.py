"""How fast data leave: a bucket that fills with time, shared by all associations that go to one place."""

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Final

_BURST: Final = 0.25  # seconds' worth that may leave at once after a pause
_NAP: Final = 0.1  # seconds of waiting between looks whether it is still wanted
_SMALLEST, _LARGEST = 1 << 10, 1 << 14  # bytes that leave at once: several times a second, if the rate allows


class Pace:
    """`rate`: bytes a second, 0 for as fast as it goes; may be changed while others send."""

    def __init__(
        self, rate: int = 0, *, clock: Callable[[], float] = monotonic, sleep: Callable[[float], None] = sleep
    ) -> None:
        self.rate = rate
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_at = clock()  # when all that was let through is paid for

    @property
    def piece(self) -> int:
        """Bytes to send at once; 0: any number."""
        return min(_LARGEST, max(_SMALLEST, self.rate // 8)) if self.rate else 0

    def turn(self, size: int, wanted: Callable[[], bool]) -> bool:
        """Waits until that many bytes may leave, as long as they are `wanted`; whether they may."""
        turn = self._take(size)
        while (left := turn - self._clock()) > 0:
            if not wanted():
                return False
            self._sleep(min(left, _NAP))
        return True

    def _take(self, size: int) -> float:
        """When these may leave. Who comes later waits longer."""
        rate, now = self.rate, self._clock()
        if not rate:
            return now
        with self._lock:
            turn = max(self._free_at, now - _BURST)
            self._free_at = turn + size / rate
        return turn
