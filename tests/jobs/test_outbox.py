from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apps.jobs import outbox
from apps.jobs.models import Job, JobState, OutboxEvent
from apps.jobs.outbox import Reaction

pytestmark = pytest.mark.django_db


def test_an_event_makes_the_jobs_the_table_names(events: dict[str, list[Reaction]]) -> None:
    events["study changed"] = [Reaction("route"), Reaction("metadata", priority=3)]
    outbox.write("study changed", {"study_instance_uid": "1.2"})
    assert outbox.dispatch() == 1
    jobs = {job.kind: job for job in Job.objects.all()}
    assert jobs.keys() == {"route", "metadata"}
    assert jobs["metadata"].priority == 3
    assert jobs["route"].arguments == {"study_instance_uid": "1.2"}
    assert jobs["route"].submitted_by == "outbox"
    assert outbox.dispatch() == 0


def test_an_event_nobody_cares_for_is_forgotten(events: dict[str, list[Reaction]]) -> None:
    outbox.write("study changed", {})
    outbox.dispatch()
    assert not OutboxEvent.objects.exists()
    assert not Job.objects.exists()


def test_many_events_of_one_key_make_one_job_that_lets_more_of_them_gather(
    events: dict[str, list[Reaction]],
) -> None:
    events["stored"] = [Reaction("metadata", key=("series_instance_uid",), delay=timedelta(seconds=30))]
    outbox.write_many("stored", [{"series_instance_uid": uid, "n": n} for n, uid in enumerate(["1", "1", "2", "1"])])
    outbox.write("stored", {"series_instance_uid": "2"})
    outbox.dispatch()
    assert sorted(Job.objects.values_list("key", flat=True)) == ["1", "2"]
    assert all(job.due_at > timezone.now() for job in Job.objects.all())


def test_all_events_may_make_one_job(events: dict[str, list[Reaction]]) -> None:
    events["stored"] = [Reaction("look", once=True), Reaction("route")]
    outbox.write_many("stored", [{"n": n} for n in range(3)])
    outbox.dispatch()
    outbox.write("stored", {"n": 3})
    outbox.dispatch()
    assert Job.objects.get(kind="look").arguments == {}
    assert Job.objects.filter(kind="route").count() == 4


def test_values_of_events_may_gather_in_one_job(events: dict[str, list[Reaction]]) -> None:
    events["stored"] = [Reaction("link", gathers="uid"), Reaction("look", once=True)]
    outbox.write_many("stored", [{"uid": uid} for uid in ("2", "1", "2")])
    outbox.dispatch()
    outbox.write("stored", {"uid": "3"})
    outbox.dispatch()
    jobs = Job.objects.filter(kind="link").order_by("id")
    assert [job.arguments for job in jobs] == [{"uid": ["1", "2"]}, {"uid": ["3"]}]
    assert Job.objects.filter(kind="look").count() == 1


def test_an_event_makes_no_job_while_there_is_nothing_for_it_to_do(
    events: dict[str, list[Reaction]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    monkeypatch.setattr(outbox, "LOOK_AGAIN", 0.0)
    events["stored"] = [Reaction("route", gathers="uid", wanted=lambda: bool(wanted))]
    assert not outbox.is_awaited("stored")
    outbox.write("stored", {"uid": ["1"]})
    outbox.dispatch()
    assert not Job.objects.exists()
    wanted.append("a rule")
    assert outbox.is_awaited("stored")
    outbox.write_many("stored", [{"uid": ["2", "1"]}, {"uid": ["3"]}])
    outbox.dispatch()
    assert Job.objects.get().arguments == {"uid": ["1", "2", "3"]}


def test_what_is_rolled_back_has_not_happened(events: dict[str, list[Reaction]]) -> None:
    events["stored"] = [Reaction("metadata")]
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        outbox.write("stored", {})
        raise ZeroDivisionError
    assert outbox.dispatch() == 0


def test_more_events_than_one_batch_are_all_handled(
    events: dict[str, list[Reaction]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 3)
    events["stored"] = [Reaction("look")]
    outbox.write_many("stored", [{"n": n} for n in range(10)])
    assert outbox.dispatch() == 10
    assert [job.arguments["n"] for job in Job.objects.order_by("id")] == list(range(10))


def test_an_event_that_breaks_is_told_of_and_in_nobodys_way(events: dict[str, list[Reaction]]) -> None:
    """Such as one of another version of the program."""
    events["stored"] = [Reaction("route", gathers="uid")]
    for payload in ({"uid": "1"}, {"sop": "2"}, {"uid": ["3"]}):
        outbox.write("stored", payload)
    assert outbox.dispatch() == 3
    assert outbox.dispatch() == 0
    told = Job.objects.get(state=JobState.FAILED)
    assert (told.kind, told.arguments) == ("route", {"sop": "2"})
    assert "reference" in told.error
    gathered = Job.objects.filter(state=JobState.QUEUED).values_list("arguments", flat=True)
    assert sorted(uid for arguments in gathered for uid in arguments["uid"]) == ["1", "3"]
