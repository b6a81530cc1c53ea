"""Writing the trail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

from django.utils import timezone

from apps.audit.models import AuditEvent


class Acting(Protocol):
    """What `apps.accounts.principal.Principal` is, seen from below."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def ae_title(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted, as text: the row he came from may be gone tomorrow."""

    name: str
    kind: str = ""
    address: str = ""
    ae_title: str = ""

    @classmethod
    def of(cls, principal: Acting) -> Self:
        return cls(
            name=principal.name, kind=str(principal.kind), address=principal.address, ae_title=principal.ae_title
        )


def record(
    *, actor: Actor, action: str, object: str = "", outcome: str = "success", detail: Mapping[str, Any] | None = None
) -> AuditEvent:
    """Call it in the transaction of the act, so that neither stands without the other.

    `object` is a kind and what identifies it, with a space between: "study 1.2.840.113619.2.5".
    """
    kind, _, uid = object.partition(" ")
    texts = {
        "actor_kind": actor.kind,
        "actor_name": actor.name,
        "actor_ae_title": actor.ae_title,
        "address": actor.address,
        "action": action,
        "object_kind": kind,
        "object_uid": uid,
        "outcome": outcome,
    }
    return AuditEvent.objects.create(
        at=timezone.now(), detail=dict(detail or {}), **{name: _fit(name, text) for name, text in texts.items()}
    )


def times(*, actor: Actor, action: str, outcome: str, since: datetime, most: int) -> list[datetime]:
    """When this actor, from this address, has last done so; the latest first, at `most` so many."""
    said = {"actor_name": actor.name, "address": actor.address, "action": action, "outcome": outcome}
    events = AuditEvent.objects.filter(at__gte=since, **{name: _fit(name, text) for name, text in said.items()})
    return list(events.order_by("-at").values_list("at", flat=True)[:most])


def _fit(column: str, text: str) -> str:
    """A text that is too long or holds a NUL must not keep an act out of the trail."""
    field = AuditEvent._meta.get_field(column)
    return text.replace("\0", "")[: getattr(field, "max_length", None)]
