"""Places where a test may stop, kill or slow a process: the steps between which a power cut could fall.

`PACS_FAILPOINT="name:action[:nth]"`, several separated by commas; an action is `kill` (SIGKILL to ourselves), `raise`,
`skip` (the caller leaves the guarded step out) or `sleep=SECONDS`; `nth` counts passes from 1, else it is every pass.
"""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


class FailpointError(Exception):
    """Raised where a test asked for it."""


@dataclass(slots=True)
class _Armed:
    action: str
    nth: int | None
    passes: Iterator[int] = field(default_factory=lambda: itertools.count(1))  # next() is atomic under the GIL

    def fires(self) -> bool:
        return next(self.passes) == self.nth if self.nth is not None else True


_armed: dict[str, _Armed] = {}


def arm(specification: str) -> None:
    """Replaces what is armed; an empty text disarms."""
    _armed.clear()
    for part in filter(None, (part.strip() for part in specification.split(","))):
        name, action, *nth = part.split(":")
        if action not in ("kill", "raise", "skip") and not action.startswith("sleep="):
            raise ValueError(f"PACS_FAILPOINT: no action {action!r}")
        _armed[name] = _Armed(action, int(nth[0]) if nth else None)


def failpoint(name: str) -> bool:
    """Nothing, and False, unless armed; True tells the caller to skip the step."""
    if not _armed:
        return False
    armed = _armed.get(name)
    if armed is None or not armed.fires():
        return False
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if armed.action == "raise":
        raise FailpointError(name)
    if armed.action.startswith("sleep="):
        time.sleep(float(armed.action.removeprefix("sleep=")))
    return armed.action == "skip"


arm(os.environ.get("PACS_FAILPOINT", ""))
