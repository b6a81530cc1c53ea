"""Jobs as somebody with a browser sees them."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Window
from tests.node import Node

pytestmark = pytest.mark.live

ALERT = "<img src=x onerror=alert(1)>"
# A finished one, one that failed in part, one that waits for its next attempt, one that is half done.
ROWS = f"""
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from apps.accounts.principal import system
from apps.accounts.users import principal_of
from apps.jobs import queue
from apps.jobs.models import ItemState, Job, JobState
admin = principal_of(User.objects.get(username="admin"))
now = timezone.now()
def made(kind, principal, items=(), peer="", done=0, failed=0, arguments=None, **values):
    job = queue.submit(kind=kind, principal=principal, items=items, peer=peer, arguments=arguments or {{}})
    pks = list(job.items.values_list("pk", flat=True))
    job.items.filter(pk__in=pks[:done]).update(state=ItemState.SUCCEEDED)
    job.items.filter(pk__in=pks[done:done + failed]).update(state=ItemState.FAILED, error="A700: out of resources")
    Job.objects.filter(pk=job.pk).update(done=done, failures=failed, **values)
    return job
ended = {{"started_at": now, "ended_at": now, "attempts": 1}}
made("prune_jobs", system("schedule prune_jobs"), state=JobState.SUCCEEDED, **ended)
uids = [f"1.2.826.0.1.{{number}}" for number in range(120)]
made("send", admin, uids, "Long-term archive", done=120, state=JobState.SUCCEEDED, **ended,
     arguments={{"peer": "Long-term archive", "study_instance_uids": ["1.2.826.0.1"]}})
Job.objects.update(result={{"sent": 120, "bytes": 62914560}})
failed = made("send", admin, uids[:40], "WS", done=37, failed=3, state=JobState.FAILED, error="3 of 40 failed", **ended,
              arguments={{"peer": "WS", "study_instance_uids": uids[:30], "note": "{ALERT}"}})
queue.say(failed, "WS took 37 of 40: the others with A700: out of resources {ALERT}")
made("send", admin, uids[:10], "WS", attempts=2, due_at=now + timedelta(minutes=40), error="WS: connection refused")
running = made("retrieve", admin, uids, "Long-term archive", done=48, failed=1, state=JobState.RUNNING, started_at=now,
               lease_until=now + timedelta(hours=1), attempts=1, worker="main:pacs:17:7f")
queue.say(running, "begun")
print(failed.pk, running.pk)
"""
WAITS = """
from apps.accounts.principal import system
from apps.jobs import queue
print(queue.submit(kind="send", principal=system("test"), items=["1.2", "1.3"], peer="Main task").pk)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("jobs")) as running:
        running.manage("prepare")
        yield running.start("web")


@pytest.fixture(scope="module")
def rows(node: Node) -> tuple[str, str]:
    failed, running = node.shell(ROWS).split()
    return failed, running


def test_a_job_is_found_paused_let_go_on_cancelled_and_tried_again(page: Page, node: Node) -> None:
    key = node.shell(WAITS)
    page.goto("/studies/")
    page.click("nav >> text=Jobs")
    page.fill("#filter-peer", "Main task")
    expect(page).to_have_url(re.compile(r"peer=Main(\+|%20)task"))
    found = page.locator("#jobs tbody tr")
    expect(found).to_have_count(1)
    expect(found).to_contain_text("0 of 2")
    page.click(f"#pause-{key}")
    expect(found).to_contain_text("Paused")
    expect(page).to_have_url(re.compile("peer=Main"))  # where one was
    page.click(f"#resume-{key}")
    expect(found).to_contain_text("Waiting")
    page.click(f"#job-{key}")
    page.click(f"#up-{key}")
    expect(page.locator("dl.facts")).to_contain_text("Priority")
    page.click(f"#cancel-{key}")
    expect(page.locator("#job")).to_contain_text("Cancelled")
    page.click(f"#retry-{key}")
    expect(page.locator("#job")).to_contain_text("Waiting")
    assert node.sql("SELECT state, priority FROM jobs_job WHERE id = %s", [int(key)]) == [("queued", 10)]
    page.go_back()
    page.reload()
    expect(page.locator("#job")).to_contain_text("Waiting")


def test_a_row_that_is_drawn_anew_while_its_button_is_pressed_takes_the_click(page: Page, node: Node) -> None:
    """Who leaves a filter for a button asks for the rows again by that."""
    key = node.shell(WAITS.replace("Main task", "Pressed"))
    page.goto("/jobs/")
    page.fill("#filter-peer", "Pressed")
    found = page.locator("#jobs tbody tr")
    expect(found).to_have_count(1)
    page.hover(f"#pause-{key}")
    with page.expect_response(lambda answer: "peer=Pressed" in answer.url) as drawn:
        page.mouse.down()
        page.evaluate("htmx.trigger('#filters', 'change')")
    drawn.value.finished()
    page.wait_for_timeout(300)
    page.mouse.up()
    expect(found).to_contain_text("Paused")


def test_a_job_that_waits_for_its_next_attempt_is_tried_at_once(page: Page, node: Node) -> None:
    key = node.shell(WAITS.replace("Main task", "Another"))
    node.sql("UPDATE jobs_job SET attempts = 3, due_at = %s WHERE id = %s", ["2099-01-01 00:00:00+00:00", int(key)])
    page.goto(f"/jobs/{key}/")
    expect(page.locator("#job")).to_contain_text("again at")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#job")).not_to_contain_text("again at")
    expect(page.locator(f"#now-{key}")).to_have_count(0)


def test_the_page_follows_a_job_while_it_runs(page: Page, node: Node, rows: tuple[str, str]) -> None:
    page.goto(f"/jobs/{rows[1]}/")
    expect(page.locator(".job-far")).to_contain_text("49 of 120")
    node.sql("UPDATE jobs_job SET done = 77 WHERE id = %s", [int(rows[1])])
    expect(page.locator(".job-far")).to_contain_text("78 of 120")


def test_what_failed_stands_first_with_its_reason_and_the_rest_is_readable(
    page: Page, node: Node, rows: tuple[str, str]
) -> None:
    page.goto("/jobs/?state=failed")
    page.click(f"#job-{rows[0]}")
    items = page.locator(".job-items tbody tr")
    expect(items.first).to_contain_text("A700: out of resources")
    expect(items).to_have_count(40)
    page.click("text=Failed 3")
    expect(items).to_have_count(3)
    expect(page.locator("#job")).to_contain_text(ALERT)  # as text
    expect(page.locator("dl.facts").first).to_contain_text("and 20 more")
    expect(page.locator("dl.facts a").first).to_have_attribute("href", "/studies/1.2.826.0.1.0/")


def test_a_job_that_is_not_there_is_a_page_that_says_so(window: Window) -> None:
    window.page.goto("/jobs/999999/")
    expect(window.page.locator("h1")).to_have_text("There is no such job")
    assert [status for status, _ in window.refusals] == [404]
    window.forget()


@pytest.mark.parametrize("width", [1440, 1024, 768, 400])
def test_no_page_of_jobs_scrolls_sideways(browser: Browser, node: Node, rows: tuple[str, str], width: int) -> None:
    for scheme in ("light", "dark"):
        size = {"width": width, "height": 900}
        with Window(browser, node, viewport=size, color_scheme=scheme) as window:
            window.sign_in()
            for name, address in (
                ("list", "/jobs/"),
                ("failed", f"/jobs/{rows[0]}/"),
                ("running", f"/jobs/{rows[1]}/"),
            ):
                window.page.goto(address)
                expect(window.page.locator("[data-live]")).to_be_visible()
                window.keep(f"jobs-{name}-{width}-{scheme}")
                assert window.page.evaluate("document.documentElement.scrollWidth") <= width
            assert not window.complaints
