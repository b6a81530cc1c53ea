"""A kind of job of this room itself."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db.models import Exists, OuterRef
from django.utils import timezone

from apps.failpoints import failpoint
from apps.jobs.run import JobRun
from apps.routing.models import Destination, RoutedInstance
from apps.storage.models import DeletedInstance, Instance, QuarantinedInstance

_OLD: Final = timedelta(days=1)  # what is just being received, deleted or put back stays
_PAGE: Final = 5000


def prune_job(run: JobRun) -> None:
    """Forgets that images were sent which are not here any more and cannot be put back, and what was sent to
    destinations that are gone and that no rule names."""
    marks = 0
    for keys in _pages(run):
        marks += RoutedInstance.objects.filter(pk__in=keys).delete()[0]
        failpoint("prune_routed.removed")
    for gone in Destination.objects.filter(peer=None, server=None, rules=None):
        run.check()
        marks += RoutedInstance.objects.filter(destination=gone).delete()[0]
        gone.delete()
    run.log(f"{marks} marks of images that were sent on removed")


def _pages(run: JobRun) -> Iterator[list[int]]:
    """Keys of marks that no image needs: few of the table at a time, however large it is."""
    old = RoutedInstance.objects.filter(routed_at__lt=timezone.now() - _OLD)
    same = {"sop_instance_uid": OuterRef("sop_instance_uid")}
    current, beside = Instance.objects.filter(**same), QuarantinedInstance.objects.filter(**same)
    deleted = DeletedInstance.objects.filter(**same, purged_at=None)
    last = 0
    while keys := list(old.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:_PAGE]):
        run.check()
        last = keys[-1]
        found = old.filter(~Exists(current), ~Exists(beside), ~Exists(deleted), pk__gte=keys[0], pk__lte=last)
        yield list(found.values_list("pk", flat=True))
