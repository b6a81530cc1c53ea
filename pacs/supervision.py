"""Starting other programs, keeping them running, and ending with whoever started us; knows no Django."""

import ctypes
import logging
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from pacs import environment

logger = logging.getLogger("pacs.supervision")

SUPERVISOR = "PACS_SUPERVISOR"  # process id of who started us and wants us to end with him
SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
BURST = 0.5  # seconds
STEADY = 60.0  # who ran this long is not in a loop of crashes
_PR_SET_PDEATHSIG = 1


def end_with_supervisor() -> None:
    """As `end_with` does with the process that started us; nothing in a process started by hand."""
    supervisor = os.environ.pop(SUPERVISOR, "")
    if supervisor:
        end_with(int(supervisor))


def end_with(parent: int) -> None:
    """Ask for SIGTERM when our parent dies, however it dies.

    The kernel means the thread that started us: it must live as long as we should.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before we asked
        sys.exit(0)


class Stops:
    """How often somebody has asked us to stop; a handler of signals. A burst is asking once: of the death of a process
    with threads the kernel tells its children once for each of them."""

    def __init__(self) -> None:
        self.count = 0
        self._last = -math.inf

    def __call__(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if now - self._last > BURST:
            self.count += 1
            self._last = now


def ending(code: int) -> str:
    """An exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@dataclass
class Child:
    """One program, started again with growing pauses whenever it ends; `arguments` are those of Python."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    pause: float = SHORTEST_PAUSE / 2

    def start(self) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments],
            cwd=environment.BASE_DIR,
            env={**os.environ, SUPERVISOR: str(os.getpid())},
            process_group=0,
            stdin=subprocess.DEVNULL,
        )
        self.started = time.monotonic()
        logger.info("%s started as process %d", self.name, self.process.pid)
        return self.process

    def ended(self, code: int) -> None:
        """Log it and plan the next start."""
        now = time.monotonic()
        self.process = None
        self.pause = SHORTEST_PAUSE if now - self.started > STEADY else min(self.pause * 2, LONGEST_PAUSE)
        self.start_at = now + self.pause
        logger.error("%s ended (%s), starts again in %.1f s", self.name, ending(code), self.pause)

    def look(self) -> None:
        """Start it when it is due."""
        if self.process is None:
            if time.monotonic() >= self.start_at:
                self.start()
        elif (code := self.process.poll()) is not None:
            self.ended(code)

    def signal(self, number: int) -> None:
        if self.is_running() and self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        if self.is_running() and self.process is not None:
            logger.error("%s does not stop and is killed", self.name)
            self.process.kill()
            self.process.wait()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None
