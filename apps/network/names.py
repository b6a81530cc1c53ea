"""Host names of peers, looked up beside the caller: a name server that is slow or dead delays no rule."""

import logging
import threading
import time
from collections.abc import Sequence

from apps.network.rules import resolve_now

logger = logging.getLogger(__name__)

PATIENCE = 0.5  # seconds that first lookups may hold up one snapshot, all together
FRESH = 60.0  # seconds after which a name is looked up again


class Names:
    """Callable as `Resolve`. What a name said last goes on until it says something else."""

    def __init__(self, *, fresh: float = FRESH, patience: float = PATIENCE) -> None:
        self._fresh = fresh
        self._patience = patience
        self._lock = threading.Lock()
        self._answers: dict[str, Sequence[str]] = {}
        self._asked: dict[str, float] = {}
        self._given: dict[str, Sequence[str]] = {}
        self._running: dict[str, threading.Thread] = {}
        self._patient_until = 0.0

    def begin(self) -> None:
        """A new snapshot is made: names it does not ask for are not followed any more."""
        with self._lock:
            self._given.clear()
            self._patient_until = time.monotonic() + self._patience

    def __call__(self, host: str) -> Sequence[str]:
        with self._lock:
            thread = self._ask(host) if host not in self._answers else None
        if thread is not None:
            thread.join(max(0.0, self._patient_until - time.monotonic()))
        with self._lock:
            self._given[host] = self._answers.get(host, ())
            return self._given[host]

    def changed(self) -> bool:
        """Whether a name that was asked for says something else by now. Starts new lookups where it is time."""
        now = time.monotonic()
        with self._lock:
            for host in self._given:
                if now - self._asked.get(host, 0.0) > self._fresh:
                    self._ask(host)
            return any(self._answers.get(host, ()) != given for host, given in self._given.items())

    def _ask(self, host: str) -> threading.Thread:
        running = self._running.get(host)
        if running is None:
            running = threading.Thread(target=self._look_up, args=(host,), name=f"lookup {host}", daemon=True)
            self._running[host] = running
            self._asked[host] = time.monotonic()
            running.start()
        return running

    def _look_up(self, host: str) -> None:
        answer = resolve_now(host)
        with self._lock:
            # A name that cannot be resolved for the moment keeps its last address.
            self._answers[host] = answer or self._answers.get(host, ())
            self._running.pop(host, None)
