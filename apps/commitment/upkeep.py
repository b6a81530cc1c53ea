"""A kind of job of this room itself."""

from datetime import timedelta

from django.utils import timezone

from apps.commitment.models import CommitmentRequest
from apps.failpoints import failpoint
from apps.jobs.run import JobRun

KEPT_DAYS = 90


def prune_job(run: JobRun) -> None:
    """Forgets requests of long ago: `{"days": 90}`."""
    before = timezone.now() - timedelta(days=run.arguments.get("days", KEPT_DAYS))
    old = CommitmentRequest.objects.filter(created_at__lt=before).order_by()
    removed = 0
    while keys := list(old.values_list("pk", flat=True)[:50]):
        run.check()
        old.filter(pk__in=keys).delete()
        removed += len(keys)
        failpoint("prune_commitments.removed")
    run.log(f"{removed} requests for storage commitment from before {before:%Y-%m-%d} removed")
