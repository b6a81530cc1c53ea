from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.principal import system
from apps.audit.models import AuditEvent
from apps.jobs import queue, schedules
from apps.jobs.models import ItemState, Job, JobState, Schedule

pytestmark = pytest.mark.django_db

LIST = "admin:jobs_job_changelist"


def job() -> Job:
    made = queue.submit(kind="send", principal=system("test"), items=["1.2", "1.3"], arguments={"peer": "ws"})
    claimed = queue.claim(worker="w", kinds=["send"])
    assert claimed is not None
    claimed.items.filter(key="1.2").update(state=ItemState.FAILED, error="A700 <full>")
    Job.objects.update(failures=1)
    queue.say(claimed, "the association is open")
    return made


def act(client: Client, action: str, *jobs: Job) -> str:
    values = {"action": action, "_selected_action": [row.pk for row in jobs]}
    return client.post(reverse(LIST), values, follow=True).content.decode()


def test_the_list_shows_how_far_a_job_is(admin_client: Client) -> None:
    job()
    page = admin_client.get(reverse(LIST), {"q": "send"}).content.decode()
    assert "1 of 2, 1 failed" in page


def test_the_page_of_a_job_says_what_failed_and_what_it_said(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:jobs_job_change", args=[job().pk])).content.decode()
    assert "1.2: A700 &lt;full&gt;" in page
    assert "the association is open" in page


def test_a_job_is_cancelled_and_tried_again_from_the_list(admin_client: Client) -> None:
    row = queue.submit(kind="send", principal=system("test"))
    act(admin_client, "cancel", row)
    assert Job.objects.get().state == JobState.CANCELLED
    assert "waits to run again" in act(admin_client, "retry", row)
    assert Job.objects.get().state == JobState.QUEUED
    assert "neither failed nor been cancelled" in act(admin_client, "retry", row)
    assert set(AuditEvent.objects.exclude(action="sign in").values_list("actor_name", "action")) == {
        ("admin", "cancel"),
        ("admin", "retry"),
    }


def test_a_job_whose_like_waits_is_not_tried_again(admin_client: Client) -> None:
    row = queue.submit(kind="metadata", principal=system("test"), key="1.2")
    queue.cancel(row, principal=system("test"))
    queue.submit(kind="metadata", principal=system("test"), key="1.2")
    assert "waits already" in act(admin_client, "retry", row)


def test_jobs_are_not_edited(admin_client: Client) -> None:
    assert admin_client.post(reverse("admin:jobs_job_change", args=[job().pk]), {"kind": "x"}).status_code == 403
    assert admin_client.get(reverse("admin:jobs_job_add")).status_code == 403


def test_a_schedule_gets_another_interval(admin_client: Client) -> None:
    schedule = schedules.ensure(name="purge", kind="purge", every=timedelta(hours=1))
    address = reverse("admin:jobs_schedule_change", args=[schedule.pk])
    assert admin_client.get(address).status_code == 200
    assert admin_client.post(address, {"enabled": "on", "every": 60, "at": ""}).status_code == 302
    assert Schedule.objects.get().next_at < timezone.now() + timedelta(minutes=2)
    assert "Either seconds" in admin_client.post(address, {"every": "", "at": ""}).content.decode()
    assert admin_client.get(reverse("admin:jobs_schedule_changelist")).status_code == 200
