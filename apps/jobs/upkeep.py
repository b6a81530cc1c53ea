"""A kind of job of this room itself."""

from datetime import timedelta

from django.utils import timezone

from apps.jobs import queue
from apps.jobs.run import JobRun

KEPT_DAYS = 30


def prune_job(run: JobRun) -> None:
    """Forgets jobs that ended long ago: `{"days": 30}`."""
    before = timezone.now() - timedelta(days=run.arguments.get("days", KEPT_DAYS))
    run.log(f"{queue.prune(before)} jobs that ended before {before:%Y-%m-%d} removed")
