"""The verbs that make, change, order and remove rules: row and trail in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Self

from django.db import transaction
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, NotAsItWas, NotFound
from apps.audit import trail
from apps.audit.trail import Actor
from apps.jobs import outbox
from apps.network.models import DicomwebServer, Peer
from apps.routing.conditions import Condition, Errors, check
from apps.routing.conditions import read as read_conditions
from apps.routing.models import (
    LONGEST_QUIET,
    OVER_THE_WEB,
    Destination,
    DestinationKind,
    Match,
    RoutingRule,
    When,
)
from apps.storage.index import STUDY_CHANGED
from apps.storage.models import Study
from dicom.errors import DicomError

MOST_DESTINATIONS: Final = 50
_LATELY: Final = timedelta(seconds=10)
_BEHIND: Final = timedelta(hours=1)  # the index, at most, where it matters here
_LARGEST: Final = 1000  # priority, either way
FIELDS: Final = (
    *("name", "enabled", "when", "quiet_seconds", "match", "conditions", "destinations", "stops", "priority"),
)


class NotAllowed(DicomError):
    http_status = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A rule as somebody wants it. `destinations`: also those that are not there any more."""

    name: str = ""
    enabled: bool = True
    when: str = When.QUIET
    quiet_seconds: int = 60
    match: str = Match.ALL
    conditions: tuple[Condition, ...] = ()
    destinations: tuple[Destination, ...] = ()
    stops: bool = False
    priority: int = 0

    @classmethod
    def of(cls, rule: RoutingRule) -> Self:
        return cls(
            name=rule.name,
            enabled=rule.enabled,
            when=rule.when,
            quiet_seconds=rule.quiet_seconds,
            match=rule.match,
            conditions=tuple(read_conditions(rule.conditions)),
            destinations=tuple(rule.destinations.select_related("peer", "server").order_by("pk")),
            stops=rule.stops,
            priority=rule.priority,
        )

    @classmethod
    def read(cls, said: Mapping[str, Any], *, base: "Draft | None" = None) -> "Draft":
        """What is not said stays as in `base`. Raises InvalidRequest, each error by the name of its field."""
        errors: Errors = {name[:64]: "no such field" for name in said if name not in FIELDS}
        draft = replace(base or cls(), **{name: said[name] for name in said if name in _CHECKS})
        for name, (kind, holds, needed) in _CHECKS.items():
            value = getattr(draft, name)
            if isinstance(value, bool) is not (kind is bool) or not isinstance(value, kind) or not holds(value):
                errors[name] = needed
        if "conditions" in said:
            draft = replace(draft, conditions=tuple(check(said["conditions"], errors)))
        if "destinations" in said:
            known = draft.destinations
            draft = replace(draft, destinations=_destinations(said["destinations"], known, errors))
        if not draft.destinations and "destinations" not in errors:
            errors["destinations"] = "one at least is needed"
        if errors:
            raise InvalidRequest(errors)
        return replace(draft, name=draft.name.strip())

    def document(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in _CHECKS}
        return plain | {
            "conditions": [each.document() for each in self.conditions],
            "destinations": [each.name for each in self.destinations],
        }


def _is_name(value: str) -> bool:
    return 0 < len(value.strip()) <= 64 and value.isprintable()


_CHECKS: Final[Mapping[str, tuple[type, Any, str]]] = {
    "name": (str, _is_name, "1 to 64 characters are needed"),
    "enabled": (bool, lambda value: True, "true or false"),
    "when": (str, lambda value: value in When.values, f"one of {', '.join(When.values)}"),
    "quiet_seconds": (int, lambda value: 0 < value <= LONGEST_QUIET, f"1 to {LONGEST_QUIET}"),
    "match": (str, lambda value: value in Match.values, f"one of {', '.join(Match.values)}"),
    "stops": (bool, lambda value: True, "true or false"),
    "priority": (int, lambda value: abs(value) <= _LARGEST, f"-{_LARGEST} to {_LARGEST}"),
}


def _destinations(said: Any, known: Sequence[Destination], errors: Errors) -> tuple[Destination, ...]:
    """Rows, those of new destinations not yet saved. One that the rule has already may stay, whatever became of it."""
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        errors["destinations"] = (
            f"a list of names is needed, of peers, and of DICOMweb servers with {OVER_THE_WEB} before them"
        )
        return ()
    if len(said) > MOST_DESTINATIONS:
        errors["destinations"] = f"at most {MOST_DESTINATIONS}"
        return ()
    found: dict[str, Destination] = {}
    there = {each.name: each for each in possible()}
    kept = {each.name: each for each in known}
    wrong = []
    for name in said:
        if name in there:
            found[name] = there[name]
        elif name in kept:
            found[name] = kept[name]
        else:
            wrong.append(name[:64])
    if wrong:
        errors["destinations"] = f"{', '.join(wrong)}: no peer of this name has an address, nor is it that of a server"
    return tuple(found.values())


def possible() -> list[Destination]:
    """Whoever can be sent to, by kind and name; those nothing is sent to yet not saved."""
    peers = Peer.objects.exclude(host="").exclude(port=None).order_by("name")
    servers = DicomwebServer.objects.order_by("name")
    rows = Destination.objects.select_related("peer", "server")
    of_peers = {row.peer_id: row for row in rows.exclude(peer=None)}
    of_servers = {row.server_id: row for row in rows.exclude(server=None)}
    return [
        *(of_peers.get(peer.pk) or Destination(peer=peer, last_name=peer.name) for peer in peers),
        *(
            of_servers.get(server.pk) or Destination(kind=DestinationKind.SERVER, server=server, last_name=server.name)
            for server in servers
        ),
    ]


def save(
    draft: Draft, *, principal: Principal, rule: RoutingRule | None = None, revision: int | None = None
) -> RoutingRule:
    """Makes a rule, the last one, or changes one. Raises NotAllowed, InvalidRequest, NotAsItWas."""
    _administers(principal)
    with transaction.atomic():
        row = _locked(rule.pk, revision) if rule else RoutingRule(position=_last() + 1)
        if RoutingRule.objects.filter(name=draft.name).exclude(pk=row.pk).exists():
            raise InvalidRequest({"name": "another rule has this name"})
        before = Draft.of(row).document() if row.pk else {}
        wanted = draft.document()
        for name in _CHECKS:
            setattr(row, name, wanted[name])
        row.conditions = wanted["conditions"]
        row.revision += 1
        if row.enabled and row.in_force_since is None:
            row.in_force_since = timezone.now()
        row.save()
        for destination in draft.destinations:
            destination.last_name = destination.own_name
            destination.save()
        row.destinations.set(draft.destinations)
        changes = {name: [before.get(name), wanted[name]] for name in wanted if before.get(name) != wanted[name]}
        _record(principal, "change" if before else "add", row, changes)
        if row.enabled and not before.get("enabled"):
            _look_at_what_comes()
    return row


def delete(rule: RoutingRule, *, principal: Principal, revision: int | None = None) -> None:
    _administers(principal)
    with transaction.atomic():
        row = _locked(rule.pk, revision)
        _record(principal, "delete", row, {"was": Draft.of(row).document()})
        row.delete()


def move(rule: RoutingRule, *, principal: Principal, position: int) -> None:
    """To this place of all, from 1; too far is the end."""
    _administers(principal)
    with transaction.atomic():
        rows = list(RoutingRule.objects.select_for_update().order_by("position", "pk"))
        row = next((each for each in rows if each.pk == rule.pk), None)
        if row is None:
            raise NotFound("There is no such rule")
        was = rows.index(row) + 1
        rows.remove(row)
        rows.insert(min(max(0, position - 1), len(rows)), row)
        for number, each in enumerate(rows, 1):
            if each.position != number:
                RoutingRule.objects.filter(pk=each.pk).update(position=number)
        if was != rows.index(row) + 1:
            _record(principal, "change", row, {"position": [was, rows.index(row) + 1]})


def _look_at_what_comes() -> None:
    """At studies that are just coming: the index told of them before there was the rule, and may not do so again."""
    now = timezone.now()
    lately = int((now - _LATELY).timestamp() * 1_000_000)
    coming = Study.objects.filter(changed_at__gte=now - _BEHIND, revision__gte=lately)
    uids = coming.values_list("study_instance_uid", flat=True)
    outbox.write_many(STUDY_CHANGED, [{"study_instance_uid": uid} for uid in uids])


def _locked(key: int, revision: int | None) -> RoutingRule:
    row = RoutingRule.objects.select_for_update().filter(pk=key).first()
    if row is None:
        raise NotFound("There is no such rule")
    if revision is not None and row.revision != revision:
        raise NotAsItWas(f'The rule was changed meanwhile: it is "{row.revision}"')
    return row


def _last() -> int:
    last = RoutingRule.objects.order_by("-position").values_list("position", flat=True).first()
    return last or 0


def _administers(principal: Principal) -> None:
    if not principal.administers:
        raise NotAllowed("Rules are for administrators")


def _record(principal: Principal, action: str, rule: RoutingRule, detail: Mapping[str, Any]) -> None:
    trail.record(actor=Actor.of(principal), action=action, object=f"routing_rule {rule.name}", detail=detail)
