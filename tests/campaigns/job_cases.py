"""Within an installation: a job of each kind, and whether what it was for has happened, once."""

from collections.abc import Mapping

from django.db.models import Q

from apps.jobs import queue
from apps.jobs.models import ItemState, Job, JobState
from apps.network.models import DicomwebServer, Peer
from apps.routing import rules
from apps.routing.rules import Draft
from tests.campaigns import job_cases_images, job_cases_old, job_cases_orders
from tests.campaigns.job_case import At, Case, Facts, admin


def prepare(facts: Facts) -> None:
    """Peers, and rules that are in force before images come."""
    ports = facts["ports"]
    for name in ("receiver", "second", "ris", "modality"):
        port = ports["receiver" if name == "second" else name]
        Peer.objects.create(name=name, ae_title=name.upper(), host="127.0.0.1", port=port, jobs_at_once=4)
    Peer.objects.filter(name="ris").update(forwards_mpps=True)
    Peer.objects.create(name="other", ae_title=facts["other"], host="127.0.0.1", port=ports["other"], jobs_at_once=4)
    Peer.objects.filter(name__in=["modality", "other"]).update(services=["commitment"], address_ranges="127.0.0.1")
    DicomwebServer.objects.create(
        name="web", url=facts["web"], username="admin", password=facts["password"], jobs_at_once=4
    )
    by_text = {"attribute": "accession_number", "operator": "is", "values": ["ROUTE"]}
    for name, peer, enabled in (("route", "receiver", True), ("apply", "second", False)):
        said = {"name": name, "destinations": [peer], "when": "image", "enabled": enabled}
        rules.save(Draft.read(said | ({"conditions": [by_text]} if enabled else {})), principal=admin())


def ask(kind: str, number: int, facts: Facts) -> int:
    """First of all that waits."""
    job = CASES[kind].ask(At(number, facts))
    Job.objects.filter(pk=job.pk).update(priority=1000)
    return job.pk


def check(kind: str, number: int, key: int, facts: Facts) -> None:
    """Raises AssertionError."""
    job = Job.objects.get(pk=key)
    assert job.state == JobState.SUCCEEDED, f"{job.state}: {job.error}"
    assert not job.failures, f"{job.failures} items failed"
    assert not job.items.exclude(state=ItemState.SUCCEEDED).exists(), "items are left"
    assert job.done == job.total, f"{job.done} of {job.total} done"
    CASES[kind].check(At(number, facts), job)


def left() -> bool:
    """Whether a worker will have something to do soon; what waits after an attempt is tried at once, but for what waits
    for a peer's report."""
    now = queue.clock()
    waiting = Job.objects.filter(state=JobState.QUEUED)
    waiting.filter(attempts__gt=0, due_at__gt=now).exclude(kind="commit").update(due_at=now)
    soon = waiting.filter(Q(due_at__lte=queue.clock()) | Q(kind="commit"))
    return soon.exists() or Job.objects.filter(state=JobState.RUNNING).exists()


CASES: Mapping[str, Case] = {**job_cases_images.CASES, **job_cases_orders.CASES, **job_cases_old.CASES}
