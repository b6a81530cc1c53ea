"""Runs jobs: claims one, calls the verb of its kind, names the end."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection

from apps.accounts.principal import Principal
from apps.accounts.users import refreshed
from apps.context import bound
from apps.failpoints import failpoint
from apps.jobs import queue
from apps.jobs.kind import kinds
from apps.jobs.models import Job, JobState
from apps.jobs.queue import LeaseLost
from apps.jobs.run import Cancelled, JobError, JobRun, Stopping, TryAgain
from apps.jobs.shares import Shares

logger = logging.getLogger(__name__)

BEAT = queue.LEASE.total_seconds() / 4


def run_due(
    *,
    stopping: threading.Event | None = None,
    limit: int | None = None,
    shares: Shares | None = None,
    spare: bool = False,
) -> int:
    """Runs due jobs one after another until none is left; how many. Kinds this version lacks stay for another.
    `shares`: of the threads of this process, of which this may be a `spare` one."""
    worker = f"{settings.NODE}:{socket.gethostname()}:{os.getpid()}:{threading.get_ident():x}"
    stopping = stopping or threading.Event()
    shares = shares or Shares(1)
    ran = 0
    while not stopping.is_set() and (limit is None or ran < limit):
        job = shares.claim(worker=worker, kinds=list(kinds()), spare=spare)
        if job is None:
            break
        went_well: bool | None = None
        try:
            with bound(job=str(job.pk)):
                went_well = _run(job, stopping)
        finally:
            shares.ended(job, went_well)
        ran += 1
    return ran


def _run(job: Job, stopping: threading.Event) -> bool | None:
    """The one place where a job's errors end. A job that cannot even be ended comes back when its lease has run out."""
    run = JobRun(job, refreshed(Principal.from_plain(job.principal)), stopping=stopping)
    try:
        with _beating(run):
            return _call(run)
    except LeaseLost:
        logger.warning("Job %s is no longer ours", job)
    except Error as error:
        logger.warning("The database is away in the middle of job %s (%s): it is taken up again later", job, error)
    return None


def _call(run: JobRun) -> bool | None:
    """Whether the attempt came to something; None: it was broken off."""
    job = run.job
    went_well: bool | None = True
    logger.info("Job %s begins, attempt %d", job, job.attempts)
    failpoint("job.claimed")
    try:
        kind = kinds()[job.kind]
        if not kind.right(run.principal):
            raise JobError(f"{job.submitted_by or 'Who asked'} may not have this done any more")
        kind.verb(run)
    except Stopping:
        queue.give_back(job)
        went_well = None
    except Cancelled:
        queue.end(job, JobState.CANCELLED)
        went_well = None
    except JobError as error:
        queue.end(job, JobState.FAILED, error=str(error))
    except TryAgain as error:
        went_well = error.delay is not None
        queue.postpone(job, error=str(error), delay=_delay(job) if error.delay is None else error.delay)
    except (LeaseLost, OperationalError, InterfaceError):
        raise
    except Exception:  # a bug: named by a reference, tried again like any other failure
        reference = secrets.token_hex(4)
        logger.exception("Job %s broke, reference %s", job, reference)
        queue.postpone(job, error=f"An error of the program, reference {reference} in the log", delay=_delay(job))
    else:
        _finished(run)
    logger.info("Job %s: %s", job, Job.objects.values_list("state", flat=True).get(pk=job.pk))
    return went_well


def _finished(run: JobRun) -> None:
    job = run.job
    failpoint("job.ending")
    if waiting := run.waiting():
        queue.postpone(job, error=f"{waiting} of {job.total} still to be done", delay=_delay(job))
        return
    job.refresh_from_db(fields=["failures", "total"])
    if job.failures:
        queue.end(job, JobState.FAILED, error=f"{job.failures} of {job.total} failed")
    else:
        queue.end(job, JobState.SUCCEEDED)
    failpoint("job.ended")


def _delay(job: Job) -> timedelta:
    kind = kinds()[job.kind]
    return queue.back_off(job.attempts, first=kind.first_delay, longest=kind.longest_delay)


@contextmanager
def _beating(run: JobRun) -> Iterator[None]:
    """A step may take longer than a lease: a thread beside it renews, and sees a wish to cancel."""
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(run, done), name=f"beat of job {run.job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(run: JobRun, done: threading.Event) -> None:
    renewed = time.monotonic()
    while not done.wait(BEAT):
        asked = time.monotonic()
        try:
            run.beat()
            renewed = asked
        except Error as error:
            logger.warning("The lease of job %s cannot be renewed: %s", run.job, error)
            if time.monotonic() - renewed > queue.LEASE.total_seconds():
                run.lose()
        finally:
            with suppress(Error):
                connection.close()
