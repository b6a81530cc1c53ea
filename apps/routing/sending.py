"""From what rules wish to jobs that send: marked and asked for in one transaction, so that nothing is sent twice."""

from collections.abc import Iterable, Sequence
from typing import Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.principal import system
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.jobs import queue
from apps.jobs.kind import kinds
from apps.routing.deciding import Image, Origins, Wish
from apps.routing.models import Destination, DestinationKind, RoutedInstance, RoutingRule
from dicom.errors import DicomError

# Where a failpoint may stop a worker, in order.
STEPS: Final = ("routing.decided", "routing.marked", "routing.submitted", "routing.sent")
MOST: Final = 5000  # images of one job
# The kind of job, and the argument that names who it is for.
_KINDS: Final = {DestinationKind.PEER: ("send", "peer"), DestinationKind.SERVER: ("stow", "server")}


class NoDestination(DicomError):
    """Whom a rule sends to is not there any more."""


def send(wish: Wish, origins: Origins, *, again: bool = False) -> int:
    """How many images a job was made for: those that are not from there and, unless `again`, not marked yet. Raises
    what keeps the job from being made, which then stands at the rule."""
    failpoint("routing.decided")
    wanted = [image for image in wish.images if not origins.is_from(image, wish.destination)]
    try:
        sent = sum(_send(wish, wanted[start : start + MOST], again) for start in range(0, len(wanted), MOST))
    except DicomError as error:
        _complain(wish, str(error))
        raise
    failpoint("routing.sent")
    return sent


def marked(destination: Destination, images: Sequence[Image]) -> set[tuple[str, str]]:
    """UID and digest of those that went, or go, there."""
    if destination.pk is None:
        return set()
    uids = [image.sop_instance_uid for image in images]
    rows = RoutedInstance.objects.filter(destination=destination, sop_instance_uid__any_of=uids)
    return set(rows.values_list("sop_instance_uid", "digest"))


def _send(wish: Wish, images: Sequence[Image], again: bool) -> int:
    with transaction.atomic():
        # Of two workers one waits here: what the first has marked, the second sees.
        row = (
            Destination.objects.select_for_update(of=("self",))
            .select_related("peer", "server")
            .get(pk=wish.destination.pk)
        )
        before = marked(row, images)
        fresh = [image for image in images if (image.sop_instance_uid, image.digest) not in before]
        wanted = list(images) if again else fresh
        if not wanted:
            return 0
        if row.target is None:
            raise NoDestination(f"{row.name} is not there any more: {len(wanted)} images were not sent")
        now = timezone.now()
        principal = system(f"routing {wish.rule.name}")
        kind, of = _KINDS[DestinationKind(row.kind)]
        # Not checked as a request is: to a destination that is switched off it waits.
        job = queue.submit(
            kind=kind,
            principal=principal,
            arguments={of: row.own_name, "sop_instance_uids": [image.sop_instance_uid for image in wanted]},
            peer=row.own_name,
            priority=wish.rule.draft.priority,
            maximum_attempts=kinds()[kind].maximum_attempts,
        )
        trail.record(actor=Actor.of(principal), action="submit", object=f"job {job.pk}", detail={"kind": kind})
        failpoint("routing.submitted")
        RoutedInstance.objects.bulk_create(_marks(wish, fresh, job.pk), batch_size=1000)
        failpoint("routing.marked")
        RoutingRule.objects.filter(pk=wish.rule.key).update(
            fired=F("fired") + 1, images=F("images") + len(wanted), last_fired_at=now
        )
    return len(wanted)


def _marks(wish: Wish, images: Iterable[Image], job: int) -> Iterable[RoutedInstance]:
    now = timezone.now()
    for image in images:
        yield RoutedInstance(
            destination=wish.destination,
            sop_instance_uid=image.sop_instance_uid,
            digest=image.digest,
            rule=wish.rule.key,
            job=job,
            routed_at=now,
        )


def _complain(wish: Wish, error: str) -> None:
    RoutingRule.objects.filter(pk=wish.rule.key).update(
        last_error=f"To {wish.destination.name}: {error}", last_error_at=timezone.now()
    )
