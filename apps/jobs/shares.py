"""Who may have the threads of a worker: peers that hang must not hold all of them, nor those that are down keep them
busy with a backlog of which nothing can be done."""

import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from apps.jobs import queue
from apps.jobs.models import Job

FIRST_REST: Final = 5.0  # seconds
LONGEST_REST: Final = 30.0
FORGOTTEN: Final = 3600.0  # seconds after which a peer is no longer held to have trouble


@dataclass(slots=True)
class Trouble:
    """Of a peer: so many attempts in a row came to nothing; nobody tries the next one before `rests_until`."""

    since: float
    attempts: int = 0
    rests_until: float = 0.0


class Shares:
    """Of one process with so many threads. A peer has trouble from an attempt that came to nothing until one goes well:
    meanwhile one of its jobs at a time is tried, with rests between, and all such peers leave a thread to the others.
    Until it is known who hangs, and while long jobs hold all threads, `spare` ones help: they run what calls nobody who
    is being called already, or is of another kind."""

    def __init__(self, threads: int) -> None:
        self._most = max(threads - 1, 1)
        self._lock = threading.Lock()
        self._running = Counter[tuple[str, str]]()  # peer and kind
        self._trouble: dict[str, Trouble] = {}

    def claim(self, *, worker: str, kinds: Collection[str], spare: bool = False) -> Job | None:
        """Then `ended`, once."""
        with self._lock:
            if spare:
                kinds = set(kinds) - {kind for peer, kind in self._running if not peer}
            job = queue.claim(worker=worker, kinds=kinds, without=self._kept_out(spare))
            if job is not None:
                self._running[job.peer, job.kind] += 1
            return job

    def ended(self, job: Job, went_well: bool | None) -> None:
        """None: it is not known, or says nothing about the peer."""
        now = time.monotonic()
        with self._lock:
            self._running -= Counter([(job.peer, job.kind)])
            if went_well:
                self._trouble.pop(job.peer, None)
            elif went_well is False and job.peer:
                trouble = self._trouble.setdefault(job.peer, Trouble(now))
                trouble.since, trouble.attempts = now, trouble.attempts + 1
                trouble.rests_until = now + min(FIRST_REST * 2 ** min(trouble.attempts - 1, 8), LONGEST_REST)

    def _kept_out(self, spare: bool) -> set[str]:
        now = time.monotonic()
        self._trouble = {peer: each for peer, each in self._trouble.items() if now - each.since < FORGOTTEN}
        called = Counter(peer for peer, _ in self._running.elements() if peer)
        if spare:
            return {*self._trouble, *called}
        if sum(called[peer] for peer in self._trouble) >= self._most:
            return set(self._trouble)
        return {peer for peer, each in self._trouble.items() if each.rests_until > now or called[peer]}
