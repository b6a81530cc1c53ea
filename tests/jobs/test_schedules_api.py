"""REST of schedules."""

from datetime import time
from typing import Any

import pytest
from django.test import Client

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.audit.models import AuditEvent
from apps.jobs import kind, schedules
from apps.jobs.kind import Kind, Planned
from apps.jobs.models import Job, JobState, Schedule
from tests.jobs.test_api import ask, signed_in

pytestmark = pytest.mark.django_db

SCHEDULES = "/api/schedules/"
NIGHTLY = {"name": "nightly", "kind": "send", "arguments": {"to": "CT"}, "cron": "30 2 * * 1-5"}


def check(principal: Principal, arguments: Any) -> Planned:
    if arguments != {"to": "CT"}:
        raise InvalidRequest({"to": "nobody"})
    return Planned(arguments)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"send": Kind(print, title="Send", check=check), "prune": Kind(print)}
    monkeypatch.setattr(kind, "kinds", lambda: table)


def test_a_schedule_is_made_read_changed_and_deleted(admin_client: Client) -> None:
    answer = ask(admin_client, "post", SCHEDULES, NIGHTLY)
    assert answer.status_code == 201
    row = answer.json()
    assert row | NIGHTLY == row
    assert (row["title"], row["submitted_by"], row["of_the_program"], row["enabled"]) == ("Send", "admin", False, True)
    assert (row["every"], row["at"], row["last_at"]) == (None, None, None)
    one = answer["Location"]
    changed = ask(admin_client, "patch", one, {"at": "03:00", "enabled": False}).json()
    assert (changed["at"], changed["cron"], changed["enabled"]) == ("03:00:00", "", False)
    assert admin_client.get(one).json() == changed
    assert admin_client.get(SCHEDULES).json()["results"] == [changed]
    assert admin_client.delete(one).status_code == 204
    assert admin_client.get(one).status_code == 404
    actions = list(AuditEvent.objects.filter(object_kind="schedule").values_list("action", flat=True).order_by("pk"))
    assert actions == ["add", "change", "delete"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "", "at": "25:00"}, "at"),
        ({"cron": "", "at": "02:30:00+01:00"}, "at"),
        ({"cron": "", "every": 0}, "every"),
        ({"cron": ""}, "body"),
        ({"at": "02:00"}, "body"),
        ({"kind": "prune"}, "kind"),
        ({"kind": "other"}, "kind"),
        ({"arguments": {"to": "X"}}, "to"),
        ({"arguments": []}, "arguments"),
        ({"arguments": {"to": "\0"}}, "arguments"),
        ({"enabled": "yes"}, "enabled"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"next_at": "2026-01-01"}, "next_at"),
    ],
)
def test_what_is_wrong_is_named(admin_client: Client, change: dict[str, Any], field: str) -> None:
    answer = ask(admin_client, "post", SCHEDULES, NIGHTLY | change)
    assert answer.status_code == 400, answer.content
    assert field in answer.json()["errors"]
    assert not Schedule.objects.exists()


def test_a_name_is_given_once(admin_client: Client) -> None:
    ask(admin_client, "post", SCHEDULES, NIGHTLY)
    answer = ask(admin_client, "post", SCHEDULES, NIGHTLY)
    assert (answer.status_code, answer.json()["errors"].keys()) == (400, {"name"})


def test_a_schedule_of_the_program_gets_another_time_and_stays(admin_client: Client) -> None:
    schedule = schedules.ensure(name="prune", kind="prune", at=time(2))
    one = f"{SCHEDULES}{schedule.pk}/"
    assert ask(admin_client, "patch", one, {"cron": "0 4 * * *"}).json()["of_the_program"] is True
    assert ask(admin_client, "patch", one, {"arguments": {"to": "CT"}}).status_code == 409
    assert ask(admin_client, "delete", one).status_code == 409
    assert Schedule.objects.get().cron == "0 4 * * *"


def test_schedules_are_for_administrators(client: Client) -> None:
    assert client.get(SCHEDULES).status_code == 401
    reader = signed_in("reader")
    assert reader.get(SCHEDULES).status_code == 403
    assert ask(reader, "post", SCHEDULES, NIGHTLY).status_code == 403


def test_it_is_run_at_once_besides_its_times_and_says_which_job_it_made(admin_client: Client) -> None:
    one = ask(admin_client, "post", SCHEDULES, NIGHTLY)["Location"]
    answer = ask(admin_client, "post", f"{one}run/", {})
    job = answer.json()
    assert (answer.status_code, answer["Location"]) == (201, f"/api/jobs/{job['id']}/")
    assert (job["kind"], job["arguments"], job["submitted_by"]) == ("send", {"to": "CT"}, "admin")
    assert admin_client.get(one).json()["last_job"] == job["id"]
    Job.objects.update(state=JobState.RUNNING)
    assert ask(admin_client, "post", f"{one}run/", {}).status_code == 409
    assert AuditEvent.objects.filter(action="run", object_kind="schedule").count() == 1


def test_one_of_the_program_keeps_its_name_which_would_come_back(admin_client: Client) -> None:
    row = schedules.ensure(name="prune", kind="prune", at=time(2))
    answer = ask(admin_client, "patch", f"{SCHEDULES}{row.pk}/", {"name": "mine"})
    assert answer.status_code == 409
    assert Schedule.objects.get().name == "prune"
