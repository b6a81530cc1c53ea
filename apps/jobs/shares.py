"""Who may have the threads of a worker: peers that hang must not hold all of them."""

import threading
import time
from collections import Counter
from collections.abc import Collection
from typing import Final

from apps.jobs import queue
from apps.jobs.models import Job

FORGOTTEN: Final = 3600.0  # seconds after which a peer is no longer held to have trouble


class Shares:
    """Of one process with so many threads. A peer has trouble from an attempt that came to nothing until one goes well;
    all that have leave a thread to the others. Until it is known who hangs, `spare` threads help: they run jobs of
    nobody who has one running already."""

    def __init__(self, threads: int) -> None:
        self._most = max(threads - 1, 1)
        self._lock = threading.Lock()
        self._running = Counter[str]()
        self._trouble: dict[str, float] = {}

    def claim(self, *, worker: str, kinds: Collection[str], spare: bool = False) -> Job | None:
        """Then `ended`, once."""
        with self._lock:
            job = queue.claim(worker=worker, kinds=kinds, without=self._kept_out(spare))
            if job is not None:
                self._running[job.peer] += 1
            return job

    def ended(self, job: Job, went_well: bool | None) -> None:
        """None: it is not known, or says nothing about the peer."""
        with self._lock:
            self._running -= Counter([job.peer])
            if went_well and job.peer in self._trouble:
                del self._trouble[job.peer]
            elif went_well is False and job.peer:
                self._trouble[job.peer] = time.monotonic()

    @property
    def all_call_somebody(self) -> bool:
        """No thread runs a job that will end by itself."""
        return "" not in self._running

    def _kept_out(self, spare: bool) -> set[str]:
        since = time.monotonic() - FORGOTTEN
        self._trouble = {peer: at for peer, at in self._trouble.items() if at > since}
        if spare:
            return {*self._trouble, *filter(None, self._running)}
        held = sum(self._running[peer] for peer in self._trouble)
        return set(self._trouble) if held >= self._most else set()
