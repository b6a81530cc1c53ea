"""The verbs that change listeners, peers and DICOMweb servers: row, version and trail in one transaction."""

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from apps.accounts.principal import Principal, system
from apps.audit import trail
from apps.audit.trail import Actor
from apps.fields import SecretField
from apps.jobs import queue, schedules
from apps.network.models import ConfigVersion, DicomwebServer, Listener, Peer, RefusedCaller
from apps.network.rules import ANYONE, clean_ae_title, parse_address, peer_rules, resolve_nothing
from dicom.sop_classes import Service

DEFAULT_LISTENER = "default"
# What an accepted caller may do until an administrator says otherwise.
ACCEPTED_SERVICES = list(Service)

Configured = Listener | Peer | DicomwebServer


class Locked(ValidationError):
    """The environment decides these fields."""


def bump() -> None:
    """Call it in the transaction that changes the configuration: the listeners look for it each second."""
    if not ConfigVersion.objects.update(version=F("version") + 1):
        ConfigVersion.objects.create(version=1)


def save(row: Configured, *, principal: Principal) -> None:
    """Raises ValidationError: for values that cannot stand, and for fields the environment decides."""
    with transaction.atomic():
        old = type(row).objects.filter(pk=row.pk).first() if row.pk else None
        changed = changes(old, row)
        if isinstance(old, Listener) and (held := sorted(set(changed) & set(old.locked))):
            raise Locked({name: "Decided by the environment of the server." for name in held})
        if changed:
            _save(row, old, principal)


def _save(row: Configured, old: Configured | None, principal: Principal) -> None:
    if not isinstance(row, DicomwebServer):
        row.ae_title = clean_ae_title(row.ae_title)
    row.full_clean()
    bump()
    row.save()
    if old is not None and old.name != row.name and not isinstance(row, Listener):
        servers = isinstance(row, DicomwebServer)
        queue.rename(old.name, row.name, servers=servers)
        schedules.rename(old.name, row.name, servers=servers)
    trail.record(
        actor=Actor.of(principal),
        action="change" if old else "add",
        object=f"{row._meta.model_name} {row.name}",
        detail=told(old, row),
    )


def delete(row: Configured, *, principal: Principal) -> None:
    with transaction.atomic():
        bump()
        trail.record(
            actor=Actor.of(principal),
            action="delete",
            object=f"{row._meta.model_name} {row.name}",
            detail=told(row, None),
        )
        row.delete()


def ensure_default_listener(host: str, port: int, ae_title: str, *, locked: Collection[str] = ()) -> Listener:
    """The listener called "default" exists; the fields named in `locked` have these values and keep them."""
    given: dict[str, Any] = {"host": host, "port": port, "ae_title": clean_ae_title(ae_title)}
    with transaction.atomic():
        old = Listener.objects.select_for_update().filter(name=DEFAULT_LISTENER).first()
        if old is None:
            row = Listener(name=DEFAULT_LISTENER, services=[str(service) for service in Service], **given)
        else:
            row = Listener.objects.get(pk=old.pk)
            for name in locked:
                setattr(row, name, given[name])
        row.locked = sorted(locked)
        if old is None or changes(old, row):
            _save(row, old, system("environment"))
    return row


def accept(refused: RefusedCaller, *, principal: Principal) -> Peer:
    """The peer that lets this caller in from now on: known by AE title and given his address too, or made new.

    Raises ValidationError."""
    if refused.calling_ae_title == ANYONE:
        raise ValidationError(f"A caller that names itself {ANYONE} would let in whoever calls from its address.")
    with transaction.atomic():
        peer = _peer_for(refused)
        save(peer, principal=principal)
        same = RefusedCaller.objects.filter(calling_ae_title=refused.calling_ae_title, address=refused.address)
        removed = same.delete()[0]
        trail.record(
            actor=Actor.of(principal),
            action="accept",
            object=f"peer {peer.name}",
            detail={"calling_ae_title": refused.calling_ae_title, "address": refused.address, "refusals": removed},
        )
    return peer


def dismiss(refused: RefusedCaller, *, principal: Principal) -> None:
    """Out of the list; it comes back with the next refusal."""
    with transaction.atomic():
        trail.record(
            actor=Actor.of(principal),
            action="dismiss",
            object=f"refused_caller {refused.calling_ae_title}",
            detail={"address": refused.address},
        )
        refused.delete()


def _peer_for(refused: RefusedCaller) -> Peer:
    known = list(Peer.objects.select_for_update().filter(ae_title=refused.calling_ae_title).order_by("name"))
    for peer in known:
        if (origin := parse_address(refused.address)) and peer_rules(peer, resolve_nothing).closeness(origin) >= 0:
            peer.enabled = True
            return peer
    for peer in known:
        # The ranges stand for the host as soon as there are some, and they hold no names.
        if peer.address_ranges or (peer.host and parse_address(peer.host)):
            ranges = peer.address_ranges.split() or [peer.host]
            peer.address_ranges = "\n".join([*ranges, refused.address])
            peer.enabled = True
            return peer
    return Peer(
        name=_free_name(refused.calling_ae_title),
        ae_title=refused.calling_ae_title,
        address_ranges=refused.address,
        services=[str(service) for service in ACCEPTED_SERVICES],
    )


def _free_name(ae_title: str) -> str:
    name = ae_title.strip() or "peer"
    taken = set(Peer.objects.filter(name__startswith=name).values_list("name", flat=True))
    candidates = [name, *(f"{name} {number}" for number in range(2, len(taken) + 2))]
    return next(candidate for candidate in candidates if candidate not in taken)


def changes(old: Configured | None, new: Configured | None) -> dict[str, Any]:
    """Field -> [old value, new value], of those that differ; None stands for no row."""
    names = [field.name for row in (old, new) if row is not None for field in row._meta.concrete_fields]
    pairs = {name: [getattr(old, name, None), getattr(new, name, None)] for name in names if name != "id"}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def told(old: Configured | None, new: Configured | None) -> dict[str, Any]:
    """The same for the trail: of secrets only whether there is one."""
    row = new or old
    secret = {field.name for field in row._meta.concrete_fields if isinstance(field, SecretField)} if row else set()
    return {
        name: [value and "(secret)" for value in pair] if name in secret else pair
        for name, pair in changes(old, new).items()
    }
