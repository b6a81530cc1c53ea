"""The broker of an installation without one: in the memory of each process, left at once by a worker that stops."""

import os
import select
from queue import Empty
from typing import Any

from celery import signals
from kombu.transport import memory

_PAUSE = 1.0  # seconds between two looks

_wake_read, _wake_write = os.pipe()


@signals.worker_shutting_down.connect
def _wake(**details: Any) -> None:
    os.write(_wake_write, b"\0")


class Transport(memory.Transport):
    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:
        """The next message; TimeoutError where there is none. Kombu's own sleeps seconds that nothing ends, twice."""
        assert self.cycle is not None
        try:
            self.cycle.get(self._deliver, timeout=timeout)
        except Empty:
            select.select([_wake_read], [], [], _PAUSE if timeout is None else min(_PAUSE, timeout))
            raise TimeoutError from None
