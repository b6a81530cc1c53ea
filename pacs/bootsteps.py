"""What a Celery worker of ours does beside its tasks: watch the listeners, look for due jobs."""

import logging
import signal
import threading
from typing import Any

from celery import bootsteps, signals
from django.conf import settings
from django.db import Error, connection
from django.utils.module_loading import import_string

from pacs.supervision import Child

logger = logging.getLogger("pacs.worker")

GRACE = 10.0  # seconds beyond the drain of the listeners
RUNNERS = 5.0  # seconds for running jobs to come to their next step


class DimseStep(bootsteps.StartStopStep):
    """`--dimse[=NAMES]`: only starts and watches `manage.py listeners`, a fresh process that owns the sockets."""

    def __init__(self, worker: Any, dimse: str | None = None, **options: Any) -> None:
        self.enabled = dimse is not None
        names = [] if dimse in (None, "*") else [f"--names={dimse}"]
        self.child = Child("listeners", ["manage.py", "listeners", *names])
        self.stopping = threading.Event()
        # A daemon, so that a worker that ends in disorder ends; the listeners notice and drain.
        self.thread = threading.Thread(target=self._watch, name="listeners", daemon=True)

    def start(self, worker: Any) -> None:
        signals.worker_shutting_down.connect(self._shutting_down)
        self.thread.start()

    def stop(self, worker: Any) -> None:
        self._shutting_down()
        self.thread.join(settings.DRAIN_SECONDS + GRACE)
        self.child.kill()

    def terminate(self, worker: Any) -> None:
        self.stop(worker)

    def _shutting_down(self, **details: Any) -> None:
        """At the signal, not when the worker's loop comes round to it."""
        self.stopping.set()
        self.child.signal(signal.SIGTERM)

    def _watch(self) -> None:
        """In one thread for as long as the worker lives: the kernel ends the listeners when it does."""
        while not self.stopping.wait(max(0.0, self.child.pause if self.child.started else 0.0)):
            code = self.child.start().wait()
            if not self.stopping.is_set():
                self.child.ended(code)


def runs_jobs(worker: Any) -> bool:
    """A worker that only watches the listeners has another queue."""
    return settings.CELERY_TASK_DEFAULT_QUEUE in worker.app.amqp.queues.consume_from


class HeartbeatStep(bootsteps.StartStopStep):
    """Says that this worker lives, and what for."""

    heartbeat: Any = None

    def start(self, worker: Any) -> None:
        role = "worker" if runs_jobs(worker) else "dimse"
        self.heartbeat = import_string("apps.network.nodes.Heartbeat")(role)
        self.heartbeat.start()

    def stop(self, worker: Any) -> None:
        self.heartbeat.stop()

    def terminate(self, worker: Any) -> None:
        self.stop(worker)


class SweepStep(bootsteps.StartStopStep):
    """Looks for due and expired jobs at intervals, so that nothing depends on the broker."""

    def __init__(self, worker: Any, **options: Any) -> None:
        self.enabled = runs_jobs(worker)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self, worker: Any) -> None:
        self.thread.start()

    def stop(self, worker: Any) -> None:
        self.stopping.set()
        self.thread.join(RUNNERS)
        import_string("apps.jobs.sweep.stop")(RUNNERS)

    def terminate(self, worker: Any) -> None:
        self.stop(worker)

    def _run(self) -> None:
        sweep_once = import_string("apps.jobs.sweep.sweep_once")
        while not self.stopping.wait(settings.SWEEP_SECONDS):
            try:
                sweep_once()
            except Error as error:
                logger.warning("no look for jobs, the database is away: %s", error)
                connection.close()
            except Exception:  # the one place of this thread: it must look again
                logger.exception("looking for jobs failed")
