"""Durable files wait a moment in `tmp/`, then go to `ready/` several at once, the indexer told of all in one message.

A rename changes a directory that the next file's fdatasync may have to write as well: one by one, renames and notices
are an eighth of what a small image costs. Meanwhile a file is as safe as it was when its sender was told Success.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence

from apps.storage.blanks import Blank
from apps.storage.received import Received

log = logging.getLogger(__name__)

_MOST = 16
_SECONDS = 0.1  # that a file waits for others
_AFTER_FAILURE = 1.0

Move = Callable[[Blank, str], None]
Tell = Callable[[Sequence[Received]], None]


class Handover:
    """Of one process; after a fork the child leaves alone what its parent will move."""

    def __init__(self, *, move: Move, tell: Tell) -> None:
        self._move, self._tell = move, tell
        self._process = 0
        self._lock = threading.Lock()
        self._handing = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._files: dict[str, Blank] = {}  # by the names they get
        self._news: deque[Received] = deque()
        self._armed = False

    @property
    def names(self) -> Collection[str]:
        """Of files that are not in `ready/` yet."""
        return self._files.keys()

    def add(self, blank: Blank, name: str) -> None:
        """Before its sender is told: nothing here can fail."""
        with self._lock:
            if self._process != os.getpid():
                self._process = os.getpid()
                self._begin()
            self._files[name] = blank

    def announce(self, stored: Received) -> None:
        """After its sender was told."""
        self._news.append(stored)
        if len(self._news) >= _MOST:
            self.hand_over()
        elif not self._armed:
            self._arm(_SECONDS)

    def hand_over(self) -> None:
        """All there is, now. What cannot be moved stays for another time."""
        if self._process != os.getpid():
            return
        with self._handing:
            news = [self._news.popleft() for _ in range(len(self._news))]
            for name, blank in list(self._files.items()):
                try:
                    self._move(blank, name)
                except FileNotFoundError:
                    log.error("%s was removed from tmp/", name)
                except OSError as error:
                    log.error("%s stays in tmp/ for now: %s", name, error)
                    self._arm(_AFTER_FAILURE)
                    break
                del self._files[name]
            else:
                if news:
                    self._tell(news)

    def _arm(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._ring)
        timer.daemon = self._armed = True
        try:
            timer.start()
        except RuntimeError:  # no thread left: whoever comes next tries again
            self._armed = False

    def _ring(self) -> None:
        self._armed = False
        self.hand_over()
