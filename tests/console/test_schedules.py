"""Schedules as an administrator sees them in the browser."""

import os
import re
from collections.abc import Iterator
from datetime import time, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from playwright.sync_api import Page, expect

from apps.jobs import schedules
from apps.jobs.models import Job, Schedule
from apps.network.models import Peer
from tests.node import Node

SHOTS = os.environ.get("PACS_SCREENSHOTS", "")
NEW = {
    "name": "the worklist",
    "kind": "import_worklist",
    "when": "cron",
    "cron": "*/10 6-20 * * 1-5",
    "enabled": "on",
    "a-peer": "ris",
    "a-days": "1",
    "a-keys": "modality: CT\nscheduled_station_ae_title: CT1",
}


@pytest.fixture
def ris() -> Peer:
    return Peer.objects.create(name="ris", ae_title="RIS", host="127.0.0.1", port=104)


def saved() -> Schedule:
    return Schedule.objects.get(name="the worklist")


def version(client: Client, row: Schedule) -> str:
    found = re.search(r'name="version" value="(\w+)"', client.get(f"/jobs/schedules/{row.pk}/").content.decode())
    assert found
    return found[1]


@pytest.mark.django_db
def test_what_is_typed_becomes_the_arguments_of_the_job_and_is_shown_again(admin_client: Client, ris: Peer) -> None:
    assert admin_client.post("/jobs/schedules/new/", NEW).status_code == 302
    row = saved()
    keys = {"modality": "CT", "scheduled_station_ae_title": "CT1"}
    assert (row.kind, row.arguments) == ("import_worklist", {"peer": "ris", "days": 1, "keys": keys})
    assert (row.cron, row.at, row.every, row.enabled) == ("*/10 6-20 * * 1-5", None, None, True)
    page = admin_client.get(f"/jobs/schedules/{row.pk}/").content.decode()
    assert '<option value="ris" selected>' in page
    assert "modality: CT\nscheduled_station_ae_title: CT1" in page
    changed = {**NEW, "when": "every", "every": "90", "unit": "minutes", "version": version(admin_client, row)}
    del changed["enabled"]
    assert admin_client.post(f"/jobs/schedules/{row.pk}/", changed).status_code == 302
    assert (saved().every, saved().cron, saved().enabled) == (5400, "", False)
    assert "Every 90 minutes" in admin_client.get("/jobs/schedules/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "This field cannot be blank"),
        ({"kind": ""}, "e-kind"),
        ({"kind": "purge_deleted"}, "no kind of job that can be asked for"),
        ({"a-peer": "nobody"}, "There is no peer of this name"),
        ({"a-days": "many"}, "e-a-days"),
        ({"cron": "61 * * * *"}, "e-cron"),
        ({"cron": ""}, "half past two"),
        ({"when": "at", "at": "25:00"}, "A time of day"),
        ({"when": "every", "every": "0"}, "A whole number"),
        ({"when": "every", "every": "999999999", "unit": "days"}, "A whole number"),
        ({"more": "{"}, "JSON, such as"),
        ({"more": '{"nonsense": 1}'}, "nonsense"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(
    admin_client: Client, ris: Peer, change: dict[str, str], said: str
) -> None:
    answer = admin_client.post("/jobs/schedules/new/", {**NEW, **change})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "data-summary" in page
    assert said in page
    if "name" not in change:
        assert 'value="the worklist"' in page
    assert not Schedule.objects.filter(kind="import_worklist").exists()


@pytest.mark.django_db
def test_a_form_that_is_stale_shows_what_was_saved_meanwhile(admin_client: Client, ris: Peer) -> None:
    admin_client.post("/jobs/schedules/new/", NEW)
    row, old = saved(), version(admin_client, saved())
    Schedule.objects.filter(pk=row.pk).update(cron="", at=time(4))
    answer = admin_client.post(f"/jobs/schedules/{row.pk}/", {**NEW, "version": old, "cron": "0 5 * * *"})
    assert answer.status_code == 409
    assert b"Each day at 04:00" in answer.content
    assert saved().at == time(4)
    again = re.search(r'name="version" value="(\w+)"', answer.content.decode())
    assert again
    sent = {**NEW, "version": again[1], "cron": "0 5 * * *"}
    assert admin_client.post(f"/jobs/schedules/{row.pk}/", sent).status_code == 302
    assert saved().cron == "0 5 * * *"


@pytest.mark.django_db
def test_one_of_the_program_is_run_at_another_time_and_keeps_its_name_and_its_job(admin_client: Client) -> None:
    row = schedules.ensure(name="purge", kind="purge_deleted", at=time(2, 10))
    sent = {"name": "mine", "kind": "verify", "when": "at", "at": "03:30", "version": version(admin_client, row)}
    assert admin_client.post(f"/jobs/schedules/{row.pk}/", sent).status_code == 400
    assert admin_client.post(f"/jobs/schedules/{row.pk}/", {**sent, "name": "purge"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.kind, row.at, row.enabled, row.principal) == (
        "purge",
        "purge_deleted",
        time(3, 30),
        False,
        None,
    )
    assert admin_client.post(f"/jobs/schedules/{row.pk}/delete/").status_code == 409
    assert Schedule.objects.filter(pk=row.pk).exists()


@pytest.mark.django_db
def test_it_is_run_at_once_and_the_list_shows_what_came_of_it(admin_client: Client) -> None:
    row = schedules.ensure(name="purge", kind="purge_deleted", every=timedelta(days=1))
    answer = admin_client.post(f"/jobs/schedules/{row.pk}/run/")
    job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.pk}/"
    assert job.submitted_by == "schedule purge"
    assert f'href="/jobs/{job.pk}/"' in admin_client.get("/jobs/schedules/").content.decode()
    Job.objects.update(state="running")
    again = admin_client.post(f"/jobs/schedules/{row.pk}/run/", follow=True)
    assert "Its job still runs" in again.content.decode()
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_what_cannot_be_begun_any_more_is_said_and_begins_nothing(admin_client: Client, ris: Peer) -> None:
    admin_client.post("/jobs/schedules/new/", NEW)
    ris.delete()
    answer = admin_client.post(f"/jobs/schedules/{saved().pk}/run/", follow=True)
    assert "was not begun: peer: There is no peer of this name" in answer.content.decode()
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_schedules_are_for_administrators(client: Client) -> None:
    row = schedules.ensure(name="purge", kind="purge_deleted", every=timedelta(days=1))
    user = User.objects.create_user("reader")
    user.groups.add(Group.objects.get(name="Radiologists"))
    client.force_login(user)
    assert b"/jobs/schedules/" not in client.get("/jobs/").content
    for place in ("", "new/", f"{row.pk}/", f"{row.pk}/delete/", "arguments/", "next/"):
        assert client.get(f"/jobs/schedules/{place}").status_code == 403
    for act in ("switch", "run", "delete"):
        assert client.post(f"/jobs/schedules/{row.pk}/{act}/").status_code == 403
    assert Schedule.objects.get().enabled
    assert not Job.objects.exists()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("schedules")) as running:
        running.manage("prepare")
        running.manage("peer", "RIS@127.0.0.1:104")
        yield running.start("web")


@pytest.mark.live
def test_a_schedule_is_made_switched_off_and_removed_in_the_browser(page: Page) -> None:
    page.goto("/jobs/")
    page.get_by_role("link", name="Schedules").click()
    page.get_by_role("link", name="New schedule").click()
    page.get_by_label("Name").fill("morning")
    page.get_by_label("Job").select_option("import_worklist")
    page.get_by_label("Peer").select_option("RIS")
    page.get_by_label("Days").fill("1")
    page.get_by_label("How").select_option("cron")
    expect(page.get_by_label("Time of day")).to_be_hidden()
    page.get_by_label("Cron").fill("30 6 1 1 *")
    expect(page.locator("#next")).to_contain_text("-01-01 06:30")
    page.get_by_label("Cron").fill("30 6 * *")
    expect(page.locator("#next")).to_contain_text("Five fields")
    page.get_by_label("Cron").fill("30 6 * * 1-5")
    page.get_by_role("button", name="Save").click()
    row = page.locator("#schedules tbody tr", has_text="morning")
    expect(row).to_contain_text("At 06:30 on Monday through Friday")
    row.get_by_role("switch").click()
    expect(row).to_contain_text("Off")
    row.get_by_role("link", name="morning").click()
    expect(page.get_by_label("Peer")).to_have_value("RIS")
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").first).to_contain_text("is removed")
    expect(row).to_have_count(0)


@pytest.mark.live
@pytest.mark.parametrize("width", [1440, 1024, 768, 400])
def test_no_page_of_schedules_scrolls_sideways(page: Page, node: Node, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for name, address in (("list", "/jobs/schedules/"), ("new", "/jobs/schedules/new/?kind=send")):
        page.goto(address)
        expect(page.locator("main h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"schedules-{name}-{width}.png")
