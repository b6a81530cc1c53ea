"""A worker that dies while it sends: who goes on sends the rest, and the peer has everything once."""

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.jobs.models import ItemState, Job, JobState
from apps.jobs.runner import run_due
from apps.qr import sending
from tests.jobs.test_workers import database_url
from tests.qr.files import assert_same, keep
from tests.qr.jobs import asked, destination
from tests.qr.receiver import Receiver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders"), pytest.mark.timeout(120)]

COUNT = 200


def killed(data: Path, failpoint: str) -> None:
    """A worker that dies there."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "pacs.settings",
        "DATABASE_URL": database_url(),
        "PACS_DATA": str(data),
        "PACS_FAILPOINT": failpoint,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.qr.send_worker"], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("failpoint", "associations"),
    [
        ("job.planning:kill", 1),
        ("send.planned:kill", 2),
        ("send.answered:kill:1", 2),
        ("send.answered:kill:3", 1),
        ("send.recorded:kill:1", 1),
        ("send.recorded:kill:2", 2),
        ("send.finished:kill", 1),
        ("send.commit:kill", 1),
    ],
)
def test_a_killed_worker_leaves_nothing_out_and_little_to_repeat(
    tmp_path: Path, failpoint: str, associations: int, settings: Settings
) -> None:
    settings.JOB_KINDS = "tests.qr.kinds_of_sending.KINDS"
    kept = keep(*range(1, COUNT + 1))
    with Receiver() as receiver:
        destination(receiver.port, associations_per_job=associations, commits_storage=True)
        job = asked()
        killed(tmp_path, failpoint)
        job.refresh_from_db()
        assert job.state == JobState.RUNNING
        accepted = job.items.filter(state=ItemState.SUCCEEDED).count()
        assert job.done == accepted
        before = len(receiver.arrived)
        Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        run_due()
        job.refresh_from_db()
        assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, COUNT, COUNT), job.error
        arrived = Counter(each.sop_instance_uid for each in receiver.arrived)
        assert_same(kept, {each.sop_instance_uid: each.data_set for each in receiver.arrived})
        assert before - accepted <= sending.UNRECORDED + associations
        assert sum(arrived.values()) - COUNT <= sending.UNRECORDED + associations
        assert len(receiver.arrived) - before == COUNT - accepted
        assert Job.objects.filter(kind="commit").count() == 1
