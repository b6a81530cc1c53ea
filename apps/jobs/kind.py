"""What TABLE 3 says of a kind of job, and how somebody asks for one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.jobs import queue
from apps.jobs.models import Job
from apps.jobs.run import JobRun
from dicom.errors import DicomError

Verb = Callable[[JobRun], None]
Right = Callable[[Principal], bool]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a request comes to once it is checked. `peer`: the name whose limit counts; `key`: of one kind and key one
    job waits at a time; `items` may be planned by the verb as well."""

    arguments: Mapping[str, Any]
    peer: str = ""
    key: str = ""
    items: Sequence[str] = ()


Check = Callable[[Principal, Mapping[str, Any]], Planned]


def administers(principal: Principal) -> bool:
    return principal.administers or principal.kind == "system"


@dataclass(frozen=True, slots=True)
class Kind:
    """`check` reads the arguments of somebody who asks, raises InvalidRequest and the like; a kind without one is only
    the program's own. `right`: who may ask, looked at again when the job runs. After an attempt that failed it waits
    for `first_delay`, then twice as long each time, up to `longest_delay`. `example`: arguments for people."""

    verb: Verb
    title: str = ""
    check: Check | None = None
    right: Right = administers
    maximum_attempts: int = 5
    first_delay: timedelta = queue.FIRST_DELAY
    longest_delay: timedelta = queue.LONGEST_DELAY
    example: Mapping[str, Any] = field(default_factory=dict)


class NoSuchKind(DicomError):
    http_status = 400
    errors = {"kind": "no kind of job that can be asked for"}


class NotAllowed(DicomError):
    http_status = 403


class WaitsAlready(DicomError):
    http_status = 409


def kinds() -> Mapping[str, Kind]:
    """The roof's table: this room knows no kind of job."""
    table: Mapping[str, Kind] = import_string(settings.JOB_KINDS)
    return table


def title_of(name: str) -> str:
    """For people; one that this version lacks keeps its name."""
    known = kinds().get(name)
    return known.title if known and known.title else name.replace("_", " ").capitalize()


def plan(name: str, *, principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """What a request comes to. Raises NoSuchKind, NotAllowed, and what the check raises."""
    kind = kinds().get(name)
    if kind is None or kind.check is None:
        raise NoSuchKind(f"There is no kind of job {name!r} that can be asked for")
    if not kind.right(principal):
        raise NotAllowed(f"Not allowed: a job of the kind {name}")
    return kind.check(principal, arguments)


def submit(
    name: str,
    planned: Planned,
    *,
    principal: Principal,
    key: str = "",
    priority: int = 0,
    due_at: datetime | None = None,
) -> Job:
    """`key` instead of the one that is planned."""
    return queue.submit(
        kind=name,
        principal=principal,
        arguments=planned.arguments,
        items=planned.items,
        key=key or planned.key,
        peer=planned.peer,
        due_at=due_at,
        priority=priority,
        maximum_attempts=kinds()[name].maximum_attempts,
    )


def request(
    name: str,
    *,
    principal: Principal,
    arguments: Mapping[str, Any],
    priority: int = 0,
    due_at: datetime | None = None,
) -> Job:
    """A job for who asks, and its line in the trail. Raises NoSuchKind, NotAllowed, and what the check raises."""
    planned = plan(name, principal=principal, arguments=arguments)
    job = submit(name, planned, principal=principal, priority=priority, due_at=due_at)
    others = job.principal != principal.to_plain()
    if others and not Job.objects.visible_to(principal).filter(pk=job.pk).exists():
        raise WaitsAlready("Somebody else has asked for this already, and it has not begun")
    trail.record(actor=Actor.of(principal), action="submit", object=f"job {job.pk}", detail={"kind": name})
    return job
