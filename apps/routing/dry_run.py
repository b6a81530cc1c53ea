"""What a rule would do with studies that are stored, and why not; nothing is sent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Q

from apps.accounts.principal import Principal
from apps.routing import deciding, route, sending
from apps.routing.deciding import Image, Origins, Rule
from apps.routing.models import Destination, RoutingRule
from apps.routing.rules import Draft
from apps.storage.models import Study

STUDIES: Final = 20
MOST_STUDIES: Final = 100
MOST_IMAGES: Final = 50_000  # looked at in one answer
_REASONS: Final = 5  # of a study, told one by one


@dataclass(frozen=True, slots=True)
class Sent:
    destination: str
    images: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Images that are not sent; to any destination when none is named."""

    reason: str
    images: int
    destination: str = ""


@dataclass(slots=True)
class Looked:
    study: Study
    images: int
    sends: list[Sent] = field(default_factory=list)
    keeps: list[Kept] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """`more`: studies that were not looked at are left."""

    studies: list[Looked]
    more: bool

    @property
    def images(self) -> int:
        return sum(each.images for each in self.studies)

    def to(self) -> Mapping[str, int]:
        """Images by destination."""
        counted: Counter[str] = Counter()
        for each in self.studies:
            counted.update({sent.destination: sent.images for sent in each.sends})
        return dict(counted)


def run(
    draft: Draft,
    *,
    principal: Principal,
    row: RoutingRule | None = None,
    filter: Any = None,
    limit: int = STUDIES,
) -> Outcome:
    """Of a rule as it is drafted, in the place of `row` or as the last one. Raises InvalidRequest."""
    rule = Rule(row.pk if row else 0, draft)
    before = [Rule(each.key, each.draft) for each in _before(row) if each.draft.stops]
    found = list(route.studies({} if filter is None else filter, principal).select_related("patient")[: limit + 1])
    outcome = Outcome([], more=len(found) > limit)
    origins = Origins()
    for study in found[:limit]:
        if outcome.images + study.number_of_study_related_instances > MOST_IMAGES and outcome.studies:
            outcome.more = True
            break
        images = deciding.images(Q(series__study=study), [rule, *before])
        outcome.studies.append(_looked(study, images, rule, before, origins))
    return outcome


def _before(row: RoutingRule | None) -> list[Rule]:
    """Those in force that see images first."""
    rules = deciding.in_force()
    if row is None:
        return rules
    keys = [each.key for each in rules]
    return rules[: keys.index(row.pk)] if row.pk in keys else [each for each in rules if _earlier(each, row)]


def _earlier(rule: Rule, row: RoutingRule) -> bool:
    return RoutingRule.objects.filter(pk=rule.key, position__lt=row.position).exists()


def _looked(study: Study, images: Sequence[Image], rule: Rule, before: Sequence[Rule], origins: Origins) -> Looked:
    looked = Looked(study, len(images))
    reasons: Counter[str] = Counter()
    chosen = []
    for image in images:
        if stopped := next((each.name for each in before if each.chooses(image)), ""):
            reasons[f"An earlier rule stops: {stopped}"] += 1
        elif why := rule.why_not(image):
            reasons[why] += 1
        else:
            chosen.append(image)
    looked.keeps += [Kept(reason, count) for reason, count in reasons.most_common(_REASONS)]
    if left := sum(reasons.values()) - sum(each.images for each in looked.keeps):
        looked.keeps.append(Kept("Other values", left))
    for destination in rule.draft.destinations if chosen else ():
        _to(destination, chosen, origins, looked)
    return looked


def _to(destination: Destination, chosen: Sequence[Image], origins: Origins, looked: Looked) -> None:
    name = destination.name
    if destination.target is None:
        looked.keeps.append(Kept("It is not there any more", len(chosen), name))
        return
    before = sending.marked(destination, chosen)
    others = [image for image in chosen if not origins.is_from(image, destination)]
    sent = sum((image.sop_instance_uid, image.digest) in before for image in others)
    if back := len(chosen) - len(others):
        looked.keeps.append(Kept("They came from there", back, name))
    if sent:
        looked.keeps.append(Kept("Sent already", sent, name))
    if left := len(others) - sent:
        looked.sends.append(Sent(name, left))
