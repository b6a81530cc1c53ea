"""Which rule sends which image to whom, and why not: the one place that says so, for jobs and for dry runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from django.db.models import Q

from apps.network.models import Peer
from apps.routing.attributes import ATTRIBUTES
from apps.routing.conditions import Condition
from apps.routing.models import Destination, Match, RoutingRule, When
from apps.routing.rules import Draft
from apps.storage.models import Instance

_ALWAYS: Final = ("sop_instance_uid", "digest", "peer", "calling_ae_title", "received_at")


class Image(NamedTuple):
    """An instance as rules see it; `values`: those that conditions ask for, by attribute."""

    sop_instance_uid: str
    digest: str
    peer: str
    calling_ae_title: str
    received_at: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`key` is 0 for one that is not saved. `since`: older images are not for it; None: all are."""

    key: int
    draft: Draft
    since: datetime | None = None

    @classmethod
    def of(cls, row: RoutingRule) -> Self:
        return cls(row.pk, Draft.of(row), row.in_force_since)

    @property
    def name(self) -> str:
        return self.draft.name

    def why_not(self, image: Image) -> str:
        """The condition that does not hold; empty when the rule is about this image."""
        conditions = self.draft.conditions
        if self.draft.match == Match.ANY and conditions:
            holding = any(each.holds(image.values[each.attribute.name]) for each in conditions)
            return "" if holding else "; ".join(_but(each, image) for each in conditions)
        failing = (each for each in conditions if not each.holds(image.values[each.attribute.name]))
        return next((_but(each, image) for each in failing), "")

    def chooses(self, image: Image) -> bool:
        return (self.since is None or image.received_at >= self.since) and not self.why_not(image)


@dataclass(frozen=True, slots=True)
class Wish:
    rule: Rule
    destination: Destination
    images: list[Image]


class Waits(NamedTuple):
    """Until a study has been quiet for so many seconds: for rules that do not act yet."""

    seconds: int


def in_force() -> list[Rule]:
    return [Rule.of(row) for row in RoutingRule.objects.filter(enabled=True).order_by("position", "pk")]


def images(which: Q, rules: Iterable[Rule]) -> list[Image]:
    """With what the conditions of these rules ask for."""
    names = sorted({each.attribute.name for rule in rules for each in rule.draft.conditions})
    rows = Instance.objects.filter(which).order_by("series_id", "instance_number_value", "pk")
    found = rows.values_list(*_ALWAYS, *(ATTRIBUTES[name].path for name in names))
    size = len(_ALWAYS)
    return [
        Image._make((*row[:size], dict(zip(names, row[size:], strict=True)))) for row in found.iterator(chunk_size=2000)
    ]


def wishes(rules: Sequence[Rule], seen: Sequence[Image], acting: Sequence[Rule]) -> list[Wish]:
    """Of rules in order; those not in `acting` only keep later ones from what they have chosen, where they stop."""
    left = list(seen)
    found = []
    for rule in rules:
        acts = rule in acting
        if not left or not (acts or rule.draft.stops):
            continue
        chosen = [image for image in left if rule.chooses(image)]
        if acts and chosen:
            found += [Wish(rule, destination, chosen) for destination in rule.draft.destinations]
        if rule.draft.stops and chosen:
            taken = {image.sop_instance_uid for image in chosen}
            left = [image for image in left if image.sop_instance_uid not in taken]
    return found


def quiet_enough(rules: Iterable[Rule], seconds: float) -> tuple[list[Rule], Waits | None]:
    """Those that act on a study that nothing came for since so many seconds, and how long the next one waits."""
    quiet = [rule for rule in rules if rule.draft.when == When.QUIET]
    acting = [rule for rule in quiet if rule.draft.quiet_seconds <= seconds]
    waiting = [rule.draft.quiet_seconds for rule in quiet if rule.draft.quiet_seconds > seconds]
    return acting, Waits(min(waiting)) if waiting else None


class Origins:
    """Who sent what: nothing goes back there."""

    def __init__(self) -> None:
        self._titles = dict(Peer.objects.values_list("name", "ae_title"))

    def is_from(self, image: Image, destination: Destination) -> bool:
        """By the name of the peer; by AE title where the name says nothing of who it was, as that of a row for any
        AE title, or one that is not there any more."""
        if image.peer and image.peer == destination.own_name:
            return True
        known = self._titles.get(image.peer, "*")
        peer = destination.peer
        return bool(peer and known == "*" and image.calling_ae_title and image.calling_ae_title == peer.ae_title)


def _but(condition: Condition, image: Image) -> str:
    stored = image.values[condition.attribute.name]
    said = "empty" if stored is None or stored == "" else str(stored)[:100]
    return f"{condition}, but it is {said}"
