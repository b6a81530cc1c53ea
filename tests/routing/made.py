"""Rules, images that come, and the jobs that are made of them."""

from typing import Any

from django.utils import timezone

from apps.accounts.principal import Kind, Principal
from apps.jobs import outbox
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.network.models import Peer
from apps.routing import rules
from apps.routing.models import RoutingRule
from apps.routing.rules import Draft
from apps.storage import index
from apps.storage.models import Study
from dicom.sop_classes import Service
from tests.storage import made

ADMIN = Principal(kind=Kind.USER, name="admin", administers=True, services=frozenset(Service))
READER = Principal(kind=Kind.USER, name="reader", services=frozenset({Service.FIND}))


def peer(name: str, **columns: Any) -> Peer:
    given = {"ae_title": name, "host": "127.0.0.1", "port": 104, **columns}
    return Peer.objects.create(name=name, **given)


def condition(attribute: str, operator: str, *values: str) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "values": list(values)}


def rule(name: str = "To the workstation", **said: Any) -> RoutingRule:
    given = {"name": name, "destinations": ["WS"], "when": "quiet", "quiet_seconds": 60, **said}
    outbox._awaited.clear()
    return rules.save(Draft.read(given), principal=ADMIN)


def come(*numbers: int, study: str = "1.2.3", source: Any = None, **values: Any) -> None:
    """Images of a series; indexed, and news of them made into jobs."""
    index._told.clear()
    for number in numbers:
        series = values.get("series", f"{study}.1")
        own = {"study": study, "sop": f"{series}.{number}", **values, "series": series}
        made.receive(source=source, number=str(number), pixels=bytes([number % 256]) * 8, **own)
    made.index()
    outbox.dispatch()


def pass_time(seconds: int) -> None:
    """As if it had gone by: nothing came meanwhile, and what waited is due. Jobs run."""
    for study in Study.objects.all():
        Study.objects.filter(pk=study.pk).update(revision=study.revision - seconds * 1_000_000)
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    run_routing()


def run_routing() -> None:
    run_due(limit=50)


def sent() -> list[tuple[str, list[str]]]:
    """Destination and images of each job that sends, in the order in which they were made."""
    jobs = Job.objects.filter(kind="send").order_by("id")
    return [(job.arguments["peer"], sorted(job.arguments["sop_instance_uids"])) for job in jobs]
