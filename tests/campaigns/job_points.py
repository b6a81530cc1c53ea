"""Where a worker is killed in the middle of each kind of job: the steps whose interruption could matter.

`name:2` is the second time that it comes there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

IMAGES = 3  # of each study

# Before the verb, when all is done and the job not yet ended, after its end.
AROUND = ("job.claimed", "job.ending", "job.ended")
PLANNED = ("job.planning",)
RECORDED = ("job.recording", "job.recorded")
RECEIVED = ("intake.written", "intake.rename", "intake.noticed")
DECIDED = ("decision.recorded", "decision.performed")

OF_KIND: Mapping[str, Sequence[str]] = {
    "send": (*PLANNED, "send.planned", "send.answered", *RECORDED, "send.recorded", "send.finished"),
    "retrieve": (*PLANNED, "retrieve.planned", *RECEIVED, "intake.noticed:2", *RECORDED, "retrieve.transferred"),
    "wado": (*PLANNED, "wado.planned", *RECEIVED, "intake.noticed:2", *RECORDED, "wado.transferred"),
    "stow": (*PLANNED, "stow.planned", "stow.answered", *RECORDED, "stow.recorded"),
    "import_worklist": ("import_worklist.taken", "import_worklist.taken:2"),
    "forward_mpps": tuple(f"forward_mpps.{step}" for step in ("shared", "create", "created", "set", "told")),
    "commit": tuple(f"commitment.{step}" for step in ("prepared", "asked", "awaited", "told", "concluded")),
    "commitment_decide": ("commitment.page", "commitment.decided"),
    "commitment_report": ("commitment.reported", "commitment.taken"),
    "export": ("export.instance", "export.instance:2", "export.written", "export.renamed", "export.made"),
    "import": (*RECEIVED, "import.received", "import.received:2", "import.indexed"),
    "delete": (*DECIDED, "delete.deleted", *RECORDED),
    "empty_recycle_area": ("purge.removed", *DECIDED, "empty.removed"),
    "purge_deleted": ("purge.removed", *DECIDED),
    "verify": ("verify.read", "verify.read:2", "verify.told"),
    "warm_caches": (*PLANNED, "warm.made", *RECORDED),
    "warm_up": ("warm_up.made", "warm_up.asked"),
    "reindex": ("index.begin", "index.upserted", "index.committed", "reindex.batch"),
    "link_studies": ("link.matching", "link.matched"),
    "link_orders": ("link.matching", "link.matched"),
    "link_performed": ("link_performed.adopting", "link_performed.adopted"),
    "route": (*PLANNED, *(f"routing.{step}" for step in ("decided", "submitted", "marked", "sent")), *RECORDED),
    "apply_routing_rule": (
        *PLANNED,
        *(f"routing.{step}" for step in ("decided", "submitted", "marked", "sent")),
        *RECORDED,
    ),
    "prune_associations": ("prune_associations.removed",),
    "prune_jobs": ("prune_jobs.removed",),
    "prune_answers": ("prune_answers.removed",),
    "prune_commitments": ("prune_commitments.removed",),
    "prune_routed": ("prune_routed.removed",),
    "prune_exports": ("prune_exports.removed", "prune_exports.removed:2"),
}


class Kill(NamedTuple):
    """`number`: what the job is about has it in its UIDs, so that each kill has its own."""

    number: int
    kind: str
    point: str


def all_of(kinds: Sequence[str]) -> list[Kill]:
    """Each step of each of these kinds."""
    return _numbered((kind, point) for kind in kinds for point in (AROUND[0], *OF_KIND[kind], *AROUND[1:]))


def one_of_each(kinds: Sequence[str] = tuple(OF_KIND)) -> list[Kill]:
    """The step of each kind that its own verb marks and that comes latest."""
    own = ((kind, [point for point in OF_KIND[kind] if not point.startswith("job.")]) for kind in kinds)
    return _numbered((kind, points[-1]) for kind, points in own)


def _numbered(kills: Iterator[tuple[str, str]]) -> list[Kill]:
    return [Kill(number, kind, point) for number, (kind, point) in enumerate(kills, 1)]
