"""`python -m pacs.supervisor`: the processes of `manage.py standalone`, kept running and stopped together.

Knows no Django: it costs a fraction of the memory of the processes it watches.
"""

import logging
import logging.config
import os
import select
import signal
import time

from pacs import environment, logs
from pacs.supervision import Child, Stops

logger = logging.getLogger("pacs.supervisor")

GRACE = 20.0  # seconds beyond the drain of the listeners
WORKER = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


class Supervisor:
    """`stages` are stopped one after the other: the indexer last, so that what drains can wait for its index."""

    def __init__(self, stages: list[list[Child]]) -> None:
        self.stages = stages
        self.stops = Stops()
        self.wake_read, wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.stops)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # only to wake up

    def run(self) -> None:
        children = [child for stage in self.stages for child in stage]
        while not self.stops.count:
            for child in children:
                child.look()
            now = time.monotonic()
            self._sleep(
                min((max(0.0, child.start_at - now) for child in children if not child.is_running()), default=60)
            )
        logger.info("stopping")
        for stage in self.stages:
            self._stop_stage(stage)
        logger.info("stopped")

    def _sleep(self, seconds: float) -> None:
        """Until a signal comes, at most `seconds`."""
        if select.select([self.wake_read], [], [], seconds)[0]:
            os.read(self.wake_read, 4096)

    def _stop_stage(self, stage: list[Child]) -> None:
        """Politely; by force after the drain, or when asked to stop for the third time."""
        deadline = time.monotonic() + environment.number("PACS_DRAIN", 10) + GRACE
        for child in stage:
            child.signal(signal.SIGTERM)
        running = stage
        while running and self.stops.count < 3 and time.monotonic() < deadline:
            self._sleep(0.2)
            for child in running:
                if not child.is_running():
                    logger.info("%s stopped", child.name)
            running = [child for child in running if child.is_running()]
        for child in running:
            child.kill()


def main() -> None:
    logging.config.dictConfig(logs.configuration())
    os.environ.setdefault("PACS_SWEEP_SECONDS", "1")
    web = Child("web", ["-m", "gunicorn", "-c", "python:pacs.gunicorn", "pacs.wsgi"])
    worker = Child("worker", ["-m", "celery", "-A", "pacs", "--quiet", "worker", "--dimse", "--queues=jobs", *WORKER])
    indexer = Child("indexer", ["manage.py", "indexer"])
    Supervisor([[web, worker], [indexer]]).run()


if __name__ == "__main__":
    main()
