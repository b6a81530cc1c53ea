"""A step of a job that blocks, such as a conversation with another system, in a thread beside the job."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Final, TypeVar

from apps.jobs.run import JobRun

T = TypeVar("T")

_LOOK: Final = 0.2  # seconds
_BEATS: Final = 3  # looks between two beats


def beside(
    run: JobRun, work: Callable[[], T], *, abort: Callable[[], None], meanwhile: Callable[[], None] | None = None
) -> T:
    """What `work` returns or raises. `meanwhile` is called a few times a second; what it or the wish for an end raises
    goes on after `abort`, which must end the work soon."""
    with ThreadPoolExecutor(1, thread_name_prefix=f"job-{run.job.pk}") as pool:
        future = pool.submit(copy_context().run, work)
        looks = 0
        try:
            while not wait([future], _LOOK).done:
                looks += 1
                if looks % _BEATS == 0:
                    run.beat()
                run.check()
                if meanwhile is not None:
                    meanwhile()
        except BaseException:
            abort()
            raise
    return future.result()
