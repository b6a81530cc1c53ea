"""TABLE 3: what the program does by itself at night."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.principal import system
from apps.jobs import queue, runner, schedules
from apps.jobs.models import Job, JobState, Schedule
from apps.network.models import AssociationLog
from pacs import first_start, kinds

pytestmark = pytest.mark.django_db(transaction=True)


OWN = sorted(name for name, kind in kinds.KINDS.items() if kind.check is None)


@pytest.mark.parametrize("kind", OWN)
def test_every_kind_of_the_programs_own_runs_to_its_end(kind: str) -> None:
    job = queue.submit(kind=kind, principal=system("test"))
    assert runner.run_due() == 1
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert job.lines.exists()


def test_what_is_scheduled_is_a_kind_there_is() -> None:
    assert set(kinds.DAILY) <= set(kinds.KINDS)


def test_a_schedule_that_an_administrator_changed_stays_as_it_is() -> None:
    kinds.ensure_schedules()
    Schedule.objects.filter(name="prune_jobs").update(enabled=False)
    kinds.ensure_schedules()
    assert Schedule.objects.count() == len(kinds.DAILY) + 1  # and verify, which is off
    assert not Schedule.objects.get(name="prune_jobs").enabled


def test_old_associations_are_forgotten_at_night() -> None:
    kinds.ensure_schedules()
    long_ago = timezone.now() - timedelta(days=400)
    for number, ended in enumerate((long_ago, timezone.now())):
        AssociationLog.objects.create(
            association_id=str(number),
            node="main",
            process=1,
            listener="default",
            calling_ae_title="CT1",
            called_ae_title="PACS",
            began_at=ended,
            ended_at=ended,
        )
    Schedule.objects.update(next_at=timezone.now())
    assert schedules.fire_due() == len(kinds.DAILY)
    runner.run_due()
    assert list(AssociationLog.objects.values_list("association_id", flat=True)) == ["1"]
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.SUCCEEDED}


def test_preparing_twice_changes_nothing() -> None:
    listener, password = first_start.prepare()
    again, none = first_start.prepare()
    assert password
    assert none is None
    assert again == listener
