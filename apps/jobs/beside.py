"""A step of a job that blocks, such as a conversation with another system, in a thread beside the job."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from threading import Thread
from typing import Final, TypeVar

from apps.jobs.run import JobRun

T = TypeVar("T")

_LOOK: Final = 0.2  # seconds
_BEATS: Final = 3  # looks between two beats
_GRACE: Final = 1.0  # seconds for the work to end after `abort`


def beside(
    run: JobRun, work: Callable[[], T], *, abort: Callable[[], None], meanwhile: Callable[[], None] | None = None
) -> T:
    """What `work` returns or raises. `meanwhile` is called a few times a second; what it or the wish for an end raises
    goes on after `abort`, which must end the work soon; where that is not heard at once, by who is connecting, the work
    ends beside whatever comes next."""
    future = Future[T]()
    context = copy_context()

    def carry_out() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised where the result is taken
            future.set_exception(error)

    Thread(target=carry_out, name=f"job-{run.job.pk}", daemon=True).start()
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
        wait([future], _GRACE)
        raise
    return future.result()
