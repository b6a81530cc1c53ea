"""How fast data leave: a bucket that fills with time, shared by all associations that go to one place."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

_BURST: Final = 0.25  # seconds' worth that may leave at once after a pause
_SMALLEST, _LARGEST = 1 << 10, 1 << 14  # bytes that leave at once: several times a second, if the rate allows


class Pace:
    """`rate`: bytes a second, 0 for as fast as it goes; may be changed while others send."""

    def __init__(self, rate: int = 0, *, clock: Callable[[], float] = monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._debt_over = clock()  # when what has been taken is paid for

    @property
    def piece(self) -> int:
        """Bytes to send at once; 0: any number."""
        return min(_LARGEST, max(_SMALLEST, self.rate // 8)) if self.rate else 0

    def take(self, size: int) -> float:
        """Takes that many bytes; seconds to wait before they may leave. Who comes later waits longer."""
        rate = self.rate
        if not rate:
            return 0.0
        with self._lock:
            now = self._clock()
            starts = max(self._debt_over, now - _BURST)
            self._debt_over = starts + size / rate
            return max(0.0, starts - now)
