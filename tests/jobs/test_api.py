"""REST of jobs."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from apps.accounts.principal import Principal, system
from apps.accounts.rest import InvalidRequest
from apps.audit.models import AuditEvent
from apps.jobs import kind, queue, runner
from apps.jobs.kind import Kind, Planned
from apps.jobs.models import ItemState, Job, JobState
from apps.jobs.run import JobRun
from dicom.sop_classes import Service

pytestmark = pytest.mark.django_db

JOBS = "/api/jobs/"


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    uids = arguments.get("study_instance_uids")
    if not isinstance(uids, list):
        raise InvalidRequest({"study_instance_uids": "is needed"})
    return Planned(arguments, peer=arguments["peer"], items=uids)


def send(run: JobRun) -> None:
    for item in run.items():
        if item.key == "bad":
            run.failed(item, "refused")
        else:
            run.succeeded(item)
    run.log("sent")
    run.result(sent=1)


def may_find(principal: Principal) -> bool:
    return principal.may(Service.FIND)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        "send": Kind(send, title="Send", check=check, right=may_find, example={"peer": "WS"}),
        "verify": Kind(send, check=check),
        "own": Kind(send),
    }
    for module in (kind, runner):
        monkeypatch.setattr(module, "kinds", lambda: kinds)


def signed_in(name: str, role: str = "Radiologists") -> Client:
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def reader() -> Client:
    return signed_in("reader")


def ask(client: Client, method: str, path: str, document: Any = None, **headers: str) -> Any:
    body = json.dumps({} if document is None else document)
    return getattr(client, method)(path, body, content_type="application/json", headers=headers)


def asked(client: Client, *uids: str, **more: Any) -> dict[str, Any]:
    answer = ask(client, "post", JOBS, {"kind": "send", "peer": "WS", "study_instance_uids": list(uids), **more})
    assert answer.status_code == 201, answer.content
    row: dict[str, Any] = answer.json()
    return row


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_a_job_is_asked_for_with_its_arguments_flat_and_followed_to_its_end(reader: Client) -> None:
    row = asked(reader, "1.2", "1.3", priority=5)
    assert (row["kind"], row["title"], row["state"], row["priority"]) == ("send", "Send", "queued", 5)
    assert row["arguments"] == {"peer": "WS", "study_instance_uids": ["1.2", "1.3"]}
    assert (row["total"], row["done"], row["submitted_by"], row["peer"]) == (2, 0, "reader", "WS")
    runner.run_due()
    ended = reader.get(f"{JOBS}{row['id']}/").json()
    assert (ended["state"], ended["done"], ended["result"]) == ("succeeded", 2, {"sent": 1})
    assert ended["started_at"] <= ended["ended_at"]
    assert [line["text"] for line in reader.get(f"{JOBS}{row['id']}/log/").json()["results"]] == ["sent"]


def test_a_list_shows_the_beginning_of_long_arguments_and_the_job_all_of_them(reader: Client) -> None:
    uids = [f"1.2.{number}" for number in range(150)]
    key = asked(reader, *uids)["id"]
    (listed,) = reader.get(JOBS).json()["results"]
    assert listed["arguments"] == {"peer": "WS", "study_instance_uids": uids[:100]}
    assert reader.get(f"{JOBS}{key}/").json()["arguments"]["study_instance_uids"] == uids


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "kind"),
        ({"kind": 7}, "kind"),
        ({"kind": "own"}, "kind"),
        ({"kind": "send"}, "study_instance_uids"),
        ({"kind": "send", "study_instance_uids": [{"a": ["\0"]}]}, "study_instance_uids"),
        ({"kind": "send", "study_instance_uids": [], "peer": "WS", "priority": 101}, "priority"),
        ({"kind": "send", "study_instance_uids": [], "peer": "WS", "priority": True}, "priority"),
        ({"kind": "send", "study_instance_uids": [], "peer": "WS", "due_at": "soon"}, "due_at"),
    ],
)
def test_what_is_wrong_is_named_and_makes_no_job(reader: Client, document: Any, field: str) -> None:
    answer = ask(reader, "post", JOBS, document)
    assert answer.status_code == 400
    assert answer.json()["errors"].keys() == {field}
    assert not Job.objects.exists()


def test_who_may_not_ask_for_a_kind_is_told_and_is_not_offered_it(reader: Client, admin_client: Client) -> None:
    assert ask(reader, "post", JOBS, {"kind": "verify", "study_instance_uids": []}).status_code == 403
    offered = reader.get(f"{JOBS}kinds/").json()["results"]
    assert offered == [{"kind": "send", "title": "Send", "example": {"kind": "send", "peer": "WS"}}]
    assert [each["kind"] for each in admin_client.get(f"{JOBS}kinds/").json()["results"]] == ["send", "verify"]


def test_nobody_is_signed_in(client: Client) -> None:
    assert client.get(JOBS).status_code == 401


def test_each_sees_his_own_jobs_and_an_administrator_all(reader: Client, admin_client: Client) -> None:
    mine, others = asked(reader)["id"], asked(signed_in("other"))["id"]
    programs = queue.submit(kind="own", principal=system("outbox")).pk
    assert ids(reader.get(JOBS)) == [mine]
    assert ids(admin_client.get(JOBS)) == [programs, others, mine]
    for address in (f"{others}/", f"{others}/items/", f"{others}/log/", f"{programs}/", "999/"):
        assert reader.get(JOBS + address).status_code == 404
    for action in ("cancel", "pause", "resume", "retry"):
        assert ask(reader, "post", f"{JOBS}{others}/{action}/").status_code == 404
    assert ask(reader, "patch", f"{JOBS}{others}/", {"priority": 1}).status_code == 404
    assert admin_client.get(f"{JOBS}{others}/").status_code == 200


def test_the_list_is_filtered_and_paged(admin_client: Client, reader: Client) -> None:
    rows = [asked(reader, peer=peer)["id"] for peer in ("A", "B", "A", "C, D")]
    Job.objects.filter(pk=rows[0]).update(state=JobState.FAILED)
    Job.objects.filter(pk=rows[1]).update(created_at=timezone.now() - timedelta(days=3), paused=True)
    newest = rows[::-1]
    page = admin_client.get(JOBS, {"limit": 3})
    assert ids(page) == newest[:3]
    assert ids(admin_client.get(page.json()["next"])) == newest[3:]
    yesterday = (timezone.now() - timedelta(days=1)).isoformat()
    for params, expected in (
        ({"state": "failed,running"}, [rows[0]]),
        ({"state": ["failed", "queued"]}, newest),
        ({"peer": "A"}, [rows[2], rows[0]]),
        ({"peer": "C, D"}, [rows[3]]),
        ({"kind": "send,other"}, newest),
        ({"kind": "other"}, []),
        ({"submitted_by": "reader"}, newest),
        ({"submitted_by": "admin"}, []),
        ({"paused": "true"}, [rows[1]]),
        ({"created_since": yesterday}, [row for row in newest if row != rows[1]]),
        ({"created_before": yesterday}, [rows[1]]),
        ({"state": "", "kind": "", "peer": "", "created_since": ""}, newest),
    ):
        assert ids(admin_client.get(JOBS, params)) == expected, params


@pytest.mark.parametrize(
    "params",
    [
        {"state": "lost"},
        {"created_since": "soon"},
        {"paused": "?"},
        {"what": "1"},
        {"after": "x"},
        {"limit": "0"},
        {"kind": "a\0", "peer": "\0"},
    ],
)
def test_a_filter_that_is_wrong_is_named(admin_client: Client, params: dict[str, str]) -> None:
    answer = admin_client.get(JOBS, params)
    assert answer.status_code == 400
    assert answer.json()["errors"].keys() == params.keys()


def test_items_say_how_each_ended_and_the_failed_ones_are_tried_again(reader: Client) -> None:
    key = asked(reader, "1", "bad", "3")["id"]
    runner.run_due()
    row = reader.get(f"{JOBS}{key}/").json()
    assert (row["state"], row["done"], row["failures"], row["error"]) == ("failed", 2, 1, "1 of 3 failed")
    failed = reader.get(f"{JOBS}{key}/items/", {"state": "failed"}).json()["results"]
    assert [(item["key"], item["error"]) for item in failed] == [("bad", "refused")]
    page = reader.get(f"{JOBS}{key}/items/", {"limit": 2}).json()
    assert [item["key"] for item in page["results"]] == ["1", "bad"]
    assert [item["key"] for item in reader.get(page["next"]).json()["results"]] == ["3"]
    done = dict(Job.objects.get().items.filter(state=ItemState.SUCCEEDED).values_list("key", "finished_at"))
    retried = ask(reader, "post", f"{JOBS}{key}/retry/")
    assert (retried.json()["state"], retried.json()["failures"], retried.json()["done"]) == ("queued", 0, 2)
    Job.objects.get().items.filter(key="bad").update(key="good")
    runner.run_due()
    row = reader.get(f"{JOBS}{key}/").json()
    assert (row["state"], row["done"], row["failures"]) == ("succeeded", 3, 0)
    assert all(Job.objects.get().items.get(key=name).finished_at == at for name, at in done.items())
    assert reader.get(f"{JOBS}{key}/items/", {"state": "lost"}).status_code == 400


def test_a_waiting_job_is_paused_let_go_on_and_cancelled(reader: Client) -> None:
    key = asked(reader, "1")["id"]
    for _ in range(2):
        assert ask(reader, "post", f"{JOBS}{key}/pause/").json()["paused"] is True
    assert runner.run_due() == 0
    for _ in range(2):
        assert ask(reader, "post", f"{JOBS}{key}/resume/").json()["paused"] is False
    assert ask(reader, "post", f"{JOBS}{key}/retry/").status_code == 409
    assert ask(reader, "post", f"{JOBS}{key}/cancel/").json()["state"] == "cancelled"
    for action in ("cancel", "pause", "resume"):
        answer = ask(reader, "post", f"{JOBS}{key}/{action}/")
        assert (answer.status_code, answer.json()["errors"]["state"]) == (409, "cancelled: the job has ended")
    actions = list(AuditEvent.objects.filter(object_uid=str(key)).values_list("action", flat=True).order_by("pk"))
    assert actions == ["submit", "pause", "resume", "cancel"]


def test_a_waiting_job_gets_another_priority_and_time(reader: Client) -> None:
    key = asked(reader, "1", due_at="2999-01-01T00:00:00Z")["id"]
    assert runner.run_due() == 0
    answer = ask(reader, "patch", f"{JOBS}{key}/", {"priority": 7, "due_at": timezone.now().isoformat()})
    assert (answer.status_code, answer.json()["priority"]) == (200, 7)
    assert ask(reader, "patch", f"{JOBS}{key}/", {"kind": "verify"}).status_code == 400
    assert runner.run_due() == 1
    assert ask(reader, "patch", f"{JOBS}{key}/", {"priority": 7}).status_code == 409


def test_a_request_sent_again_makes_one_job(reader: Client) -> None:
    document = {"kind": "send", "peer": "WS", "study_instance_uids": ["1"]}
    first, again = (ask(reader, "post", JOBS, document, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json()
    assert Job.objects.count() == 1


def test_a_job_of_a_kind_of_another_version_waits_for_it_and_is_shown(admin_client: Client) -> None:
    job = queue.submit(kind="of_tomorrow", principal=system("test"))
    assert runner.run_due() == 0
    row = admin_client.get(f"{JOBS}{job.pk}/").json()
    assert (row["state"], row["title"]) == ("queued", "Of tomorrow")


def test_the_waiting_job_of_somebody_else_is_not_shown_to_who_asks_for_the_same(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = {"send": Kind(send, check=lambda principal, arguments: Planned({}, key="all"), right=may_find)}
    monkeypatch.setattr(kind, "kinds", lambda: once)
    row = ask(reader, "post", JOBS, {"kind": "send"}).json()
    assert ask(reader, "post", JOBS, {"kind": "send"}).json() == row
    assert ask(signed_in("other"), "post", JOBS, {"kind": "send"}).status_code == 409
