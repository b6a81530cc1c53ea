"""Several workers, and workers that die: with processes of their own, on the database of this test run."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.principal import system
from apps.jobs import outbox, queue, schedules
from apps.jobs.models import Job, JobState, OutboxEvent, Schedule
from apps.jobs.outbox import Reaction
from apps.jobs.run import JobRun
from apps.jobs.runner import run_due
from tests.jobs.conftest import Verb

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

ME = system("test")
Result = TypeVar("Result")


def database_url() -> str:
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    password = f":{values['PASSWORD']}" if values["PASSWORD"] else ""
    return f"postgres://{values['USER']}{password}@{values['HOST']}:{values['PORT']}/{values['NAME']}"


class Worker:
    def __init__(self, tmp_path: Path, **environment: str) -> None:
        self.lines = tmp_path / "lines"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.worker", str(self.lines)],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "pacs.settings",
                "DATABASE_URL": database_url(),
                "PACS_DATA": str(tmp_path),
                **environment,
            },
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.close()


def test_three_processes_run_each_job_once(tmp_path: Path) -> None:
    jobs = [queue.submit(kind="send", principal=ME, items=["a"]) for _ in range(40)]
    workers = [Worker(tmp_path) for _ in range(3)]
    for worker in workers:
        worker.go()
    assert [worker.process.wait(100) for worker in workers] == [0, 0, 0]
    begun = Counter(line for line in workers[0].lines.read_text().split("\n") if line.startswith("job"))
    assert begun == Counter(f"job {job.pk}" for job in jobs)
    assert Job.objects.filter(state=JobState.SUCCEEDED, done=1).count() == 40


@pytest.mark.parametrize("nth", [1, 3])
def test_a_killed_worker_repeats_no_finished_step(tmp_path: Path, nth: int) -> None:
    job = queue.submit(kind="send", principal=ME, items=["a", "b", "c", "d"])
    dying = Worker(tmp_path, PACS_FAILPOINT=f"tests.after_item:kill:{nth}")
    dying.go()
    assert dying.process.wait(60) == -signal.SIGKILL
    job.refresh_from_db()
    assert (job.state, job.done) == (JobState.RUNNING, nth)
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    heir = Worker(tmp_path)
    heir.go()
    assert heir.process.wait(60) == 0
    steps = [line for line in heir.lines.read_text().split("\n") if line.startswith("item")]
    assert steps == ["item a", "item b", "item c", "item d"]
    job.refresh_from_db()
    assert (job.state, job.done, job.attempts) == (JobState.SUCCEEDED, 4, 2)


def crowd(what: Callable[[], Result], number: int = 4) -> list[Result]:
    """Threads that do the same thing at the same moment, each with a connection of its own."""
    barrier = threading.Barrier(number)
    results: list[Result] = []

    def work() -> None:
        try:
            barrier.wait(30)
            results.append(what())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_of_many_who_want_one_job_one_gets_it() -> None:
    for _ in range(10):
        job = queue.submit(kind="send", principal=ME)
        got = crowd(lambda: queue.claim(worker="w", kinds=["send"]))
        assert [claimed for claimed in got if claimed is not None] == [job]
        assert len(got) == 4


def submit_metadata(key: str) -> int:
    return queue.submit(kind="metadata", principal=ME, key=key).pk


def test_of_many_who_submit_one_key_all_get_one_job() -> None:
    for number in range(10):
        got = crowd(partial(submit_metadata, str(number)))
        assert len(got) == 4
        assert len(set(got)) == 1


def test_a_schedule_fires_once_for_all_who_look() -> None:
    schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    Schedule.objects.update(next_at=timezone.now() - timedelta(days=3))
    assert sorted(crowd(schedules.fire_due)) == [0, 0, 0, 1]
    assert Job.objects.count() == 1


def test_each_event_makes_its_jobs_once(events: dict[str, list[Reaction]], kinds: dict[str, Verb]) -> None:
    events["stored"] = [Reaction("look")]
    outbox.write_many("stored", [{"n": number} for number in range(200)])
    assert sum(crowd(outbox.dispatch)) == 200
    assert sorted(job.arguments["n"] for job in Job.objects.all()) == list(range(200))
    assert not OutboxEvent.objects.exists()


def test_workers_side_by_side_finish_everything(kinds: dict[str, Verb]) -> None:
    ran: list[int] = []

    def send(run: JobRun) -> None:
        for item in run.items():
            run.succeeded(item)
        ran.append(run.job.pk)

    kinds["send"] = send
    jobs = [queue.submit(kind="send", principal=ME, items=["a", "b"]).pk for _ in range(20)]
    crowd(run_due)
    assert sorted(ran) == jobs
