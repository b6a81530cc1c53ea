"""Jobs of the kind "send": asked for, run in this process, and what they say."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.utils import timezone

from apps.accounts.principal import system
from apps.jobs import kind
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.network.models import Peer

ME = system("test")
STUDY = {"study_instance_uids": ["1.2.3"]}


def destination(port: int, name: str = "workstation", **columns: object) -> Peer:
    values = {"ae_title": "ANY", "host": "127.0.0.1", "port": port, **columns}
    return Peer.objects.update_or_create(name=name, defaults=values)[0]


def asked(name: str = "workstation", **uids: list[str]) -> Job:
    return kind.request("send", principal=ME, arguments={"peer": name, **(uids or STUDY)})


def run(job: Job) -> Job:
    """Its next attempt, whenever that was to be."""
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    run_due(limit=1)
    job.refresh_from_db()
    return job


def errors(job: Job) -> dict[str, str]:
    return dict(job.items.exclude(error="").values_list("key", "error"))


def log(job: Job) -> str:
    return "\n".join(job.lines.values_list("text", flat=True))


@contextmanager
def running(job: Job) -> Iterator[threading.Thread]:

    def work() -> None:
        try:
            run_due()
        finally:
            connection.close()

    thread = threading.Thread(target=work, name="jobs of a test")
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)
        assert not thread.is_alive()
