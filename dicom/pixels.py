"""Compressed pixel data made native by helper processes: the codecs run there, never here.

A helper is started when it is needed, takes one job after the other, and is ended when it has been idle for a while,
has done its share, or fails. What a broken image does to it costs the one call that sent it: CannotReencode.
"""

import fcntl
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dicom.elements import NATIVE
from dicom.errors import CannotReencode, DecoderBusy
from dicom.pixels_helper import Helper

# What the installed codecs read; MPEG and the like have no frames to take apart.
DECOMPRESSIBLE: Final = frozenset(
    {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)}
    | {"1.2.840.10008.1.2.5"}
)
WORKER: Final = (sys.executable, "-m", "dicom.pixels_worker")
_BUSY: Final = "no decoder became free in time"
_SLOT_POLL: Final = 0.05  # seconds between looks for a free slot of the machine


def can_decompress(from_syntax: str, to_syntax: str) -> bool:
    return from_syntax in DECOMPRESSIBLE and to_syntax in NATIVE


def decompress(
    source: Path | int,
    dataset_offset: int,
    from_syntax: str,
    to_syntax: str,
    output: Path,
    *,
    size: int | None = None,
    timeout: float = 60.0,
) -> None:
    """Writes the data set that begins at `dataset_offset` of a file, natively encoded, as the whole of `output`.

    `source` may be an open file; `size` is that of the data set, to the end of the file unless given. Waiting for a
    free helper counts against `timeout` (seconds). Raises CannotReencode, and leaves no `output` then.
    """
    _pool.decompress(source, dataset_offset, from_syntax, to_syntax, output, size=size, timeout=timeout)


def run(job: str, source: int, output: int, arguments: Mapping[str, Any], *, timeout: float = 60.0) -> dict[str, Any]:
    """See `HelperPool.run`."""
    return _pool.run(job, source, output, arguments, timeout=timeout)


class HelperPool:
    """Helpers for the threads of this process; what runs at the same time is bounded for the whole machine."""

    _lock: threading.Lock
    _permits: threading.BoundedSemaphore
    _helpers: set[Helper]  # all of them
    _idle: list[Helper]
    _janitor: threading.Thread | None

    def __init__(
        self,
        *,
        command: Sequence[str] = WORKER,
        size: int = 2,
        machine_size: int | None = None,
        slots: Path | None = None,
        memory: int = 2 << 30,
        jobs_each: int = 200,
        idle_seconds: float = 60.0,
    ) -> None:
        """`size` helpers of this process, `machine_size` (default: one for each core) jobs of all processes that share
        the directory `slots`; `memory` is the address space of each, in bytes."""
        self._command, self._size, self._memory = command, size, memory
        self._machine_size = machine_size or os.cpu_count() or 1
        self._slots = slots or Path(tempfile.gettempdir()) / f"dicom-pixels-{os.getuid()}"
        self._jobs_each, self._idle_seconds = jobs_each, idle_seconds
        self._start_over()
        os.register_at_fork(after_in_child=self._forked)

    def decompress(
        self,
        source: Path | int,
        dataset_offset: int,
        from_syntax: str,
        to_syntax: str,
        output: Path,
        *,
        size: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        """See `decompress` of the module."""
        if not can_decompress(from_syntax, to_syntax):
            raise CannotReencode("there is no codec for this transfer syntax")
        with _opened(source) as source_file, _created(output) as output_file:
            arguments = {
                "dataset_offset": dataset_offset,
                "size": os.fstat(source_file).st_size - dataset_offset if size is None else size,
                "from_syntax": from_syntax,
                "to_syntax": to_syntax,
            }
            self.run("decompress", source_file, output_file, arguments, timeout=timeout)

    def run(
        self, job: str, source: int, output: int, arguments: Mapping[str, Any], *, timeout: float = 60.0
    ) -> dict[str, Any]:
        """A job of the table in `dicom.pixels_worker`, between two open files: what it answers. Arguments and answer
        are of what JSON has. Raises CannotReencode, with anything in `output` then."""
        deadline = time.monotonic() + timeout
        with self._permit(deadline), self._slot(deadline), self._helper() as helper:
            # The helper's own alarm is a little later than ours: it is for a helper without a client.
            seconds = max(deadline - time.monotonic(), 0.001) + 1
            request = {"job": job, "seconds": seconds, "arguments": arguments}
            said = helper.run(request, (source, output), deadline)
        if said["comment"]:
            raise CannotReencode(said["comment"])
        answer: dict[str, Any] = said["answer"]
        return answer

    def close(self) -> None:
        """Ends all helpers that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for helper in idle:
            self._end(helper)

    @contextmanager
    def _permit(self, deadline: float) -> Iterator[None]:
        if not self._permits.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise DecoderBusy(_BUSY)
        try:
            yield
        finally:
            self._permits.release()

    @contextmanager
    def _slot(self, deadline: float) -> Iterator[None]:
        """One of the machine's slots: a lock that the kernel takes back from whoever dies."""
        try:
            self._slots.mkdir(mode=0o700, parents=True, exist_ok=True)
            while (file := self._free_slot()) is None:
                if time.monotonic() >= deadline:
                    raise DecoderBusy(_BUSY)
                time.sleep(_SLOT_POLL)
        except OSError as error:
            raise CannotReencode(f"no decoder could be reserved: {error.strerror}") from error
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # also for a child that was forked meanwhile
            os.close(file)

    def _free_slot(self) -> int | None:
        for number in range(self._machine_size):
            file = os.open(self._slots / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            else:
                return file
        return None

    @contextmanager
    def _helper(self) -> Iterator[Helper]:
        helper = self._idle_helper() or self._started()
        try:
            yield helper
        except BaseException:
            self._end(helper)
            raise
        self._keep_or_end(helper)

    def _idle_helper(self) -> Helper | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                helper = self._idle.pop()
            if helper.process.poll() is None:
                return helper
            self._end(helper)  # somebody else did already

    def _keep_or_end(self, helper: Helper) -> None:
        if helper.jobs >= self._jobs_each:
            self._end(helper)
            return
        helper.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(helper)
            if self._janitor is None:
                self._janitor = threading.Thread(target=self._end_the_idle, name="pixel-helpers", daemon=True)
                self._janitor.start()

    def _end_the_idle(self) -> None:
        """Lives as long as there are idle helpers."""
        while True:
            with self._lock:
                now = time.monotonic()
                tired = [helper for helper in self._idle if now - helper.idle_since >= self._idle_seconds]
                self._idle = [helper for helper in self._idle if helper not in tired]
                wait = min((helper.idle_since + self._idle_seconds - now for helper in self._idle), default=None)
                if wait is None:
                    self._janitor = None
            for helper in tired:
                self._end(helper)
            if wait is None:
                return
            time.sleep(wait)

    def _started(self) -> Helper:
        try:
            helper = Helper.started(self._command, self._memory)
        except OSError as error:
            raise CannotReencode(f"no decoder could be started: {error.strerror}") from error
        self._helpers.add(helper)
        return helper

    def _end(self, helper: Helper) -> None:
        self._helpers.discard(helper)
        helper.end()

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._permits = threading.BoundedSemaphore(self._size)
        self._helpers, self._idle, self._janitor = set(), [], None

    def _forked(self) -> None:
        for helper in self._helpers:
            helper.leave_to_parent()
        self._start_over()


@contextmanager
def _opened(source: Path | int) -> Iterator[int]:
    if isinstance(source, int):
        yield source
        return
    file = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _created(output: Path) -> Iterator[int]:
    """An empty file that is taken away again when the block fails."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        yield file
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


_pool = HelperPool()
