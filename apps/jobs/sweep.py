"""What every worker does at intervals by itself, so that nothing depends on the bell."""

import logging
import threading

from django.conf import settings
from django.db import Error, connection

from apps.jobs import outbox, queue, schedules
from apps.jobs.kind import kinds
from apps.jobs.runner import run_due
from apps.jobs.shares import Shares

logger = logging.getLogger(__name__)

SPARE = 2  # threads


class Runners:
    """Threads that run jobs, started when there are jobs and gone when there are none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._shares = Shares(limit)

    def wake(self) -> None:
        """One thread more, up to the limit: a long job does not hold up the next. A few more for what is of
        another kind than the long ones, or calls others than who may hang."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            spare = len(self._threads) >= self._limit
            if len(self._threads) < self._limit + SPARE and not self._stopping.is_set():
                # A daemon: a verb that does not come to its next step must not keep the process from ending.
                thread = threading.Thread(target=self._run, args=(spare,), name="jobs", daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self, timeout: float) -> None:
        """Running jobs go back to the queue at their next step; what does not, when its lease has run out."""
        with self._lock:
            self._stopping.set()
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout / len(threads))

    def _run(self, spare: bool) -> None:
        try:
            run_due(stopping=self._stopping, shares=self._shares, spare=spare)
        except Error as error:
            logger.warning("The database is away, jobs wait: %s", error)
        finally:
            connection.close()


_runners = Runners(settings.JOB_THREADS)


def sweep_once() -> None:
    """Makes the jobs that schedules and events ask for, and sees that due jobs and those of dead workers are run.
    Returns while they run."""
    try:
        schedules.fire_due()
        outbox.dispatch()
    finally:  # what is broken there is in the way of no job
        look()


def look() -> None:
    """Returns while what is due is run."""
    if queue.runnable(list(kinds()), queue.clock()).exists():
        _runners.wake()


def stop(timeout: float) -> None:
    """Before the process ends."""
    _runners.stop(timeout)
