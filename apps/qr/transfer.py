"""One C-GET or C-MOVE in a thread of its own, so that who waits for it can look around meanwhile."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
from typing import Final, Self

from apps.qr.scu import Begun, Progress
from dicom.dimse import Association, DimseError, Responses

GRACE: Final = 0.5  # seconds that the peer has to end what was cancelled, before the association is aborted

Asking = Callable[[Begun], Iterator[Progress]]


class Transfer:
    """`latest`: what the peer said last, and `moved` when. Left early, it is cancelled, then aborted."""

    def __init__(self, assoc: Association, asking: Asking) -> None:
        self.latest: Progress | None = None
        self.moved = time.monotonic()
        self._assoc, self._asking = assoc, asking
        self._responses: Responses | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retrieve")

    def __enter__(self) -> Self:
        self._future = self._thread.submit(copy_context().run, self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.shutdown()

    def wait(self, seconds: float) -> bool:
        """Whether it is over by then."""
        return bool(wait([self._future], seconds).done)

    def result(self) -> Progress:
        """The final response, once it is over. Raises DimseError."""
        return self._future.result()

    def stop(self) -> None:
        if self._future.done():
            return
        if self._responses is not None:
            with suppress(DimseError):
                self._responses.cancel()
        if not self.wait(GRACE):
            self._assoc.abort()

    def _run(self) -> Progress:
        for progress in self._asking(self._begun):
            self.latest, self.moved = progress, time.monotonic()
        assert self.latest is not None, "there is a final response, or an error"
        return self.latest

    def _begun(self, responses: Responses) -> None:
        self._responses = responses
