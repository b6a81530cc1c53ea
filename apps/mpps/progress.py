"""How many of the instances that performed steps refer to have arrived."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q

from apps.mpps.models import PerformedInstance
from apps.storage.models import Instance


@dataclass(frozen=True, slots=True)
class Progress:
    received: int
    referred: int

    @property
    def is_complete(self) -> bool:
        return self.received == self.referred

    def __str__(self) -> str:
        return f"{self.received} of {self.referred} received"


def of(performed: Iterable[int]) -> Mapping[int, Progress]:
    """By primary key of the performed step; those that refer to nothing are left out."""
    arrived = Exists(Instance.objects.filter(sop_instance_uid=OuterRef("sop_instance_uid")))
    rows = (
        PerformedInstance.objects.filter(performed__in=list(performed))
        .values_list("performed")
        .annotate(received=Count("pk", filter=Q(arrived)), referred=Count("pk"))
    )
    return {key: Progress(received, referred) for key, received, referred in rows}


def missing(performed: int, *, most: int = 100) -> list[str]:
    """SOP Instance UIDs that have not arrived."""
    arrived = Exists(Instance.objects.filter(sop_instance_uid=OuterRef("sop_instance_uid")))
    rows = PerformedInstance.objects.filter(performed=performed).exclude(arrived).order_by("pk")
    return list(rows.values_list("sop_instance_uid", flat=True)[:most])
