"""The list of the worklist and the plan of a day, as somebody with a browser sees them."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import APIRequestContext, Browser, Page, expect

from tests.browser import Window
from tests.node import Node
from tests.worklist.pages.page import Order, shown

pytestmark = pytest.mark.live


def test_who_is_not_signed_in_sees_nothing(browser: Browser, node: Node) -> None:
    page = browser.new_page(base_url=f"http://{node.host}:{node.http_port}")
    for address in ("/worklist/", "/worklist/new/", "/worklist/1/", "/worklist/steps.csv", "/worklist/patients/?q=D"):
        page.goto(address)
        assert "/sign-in/" in page.url
    page.close()


def test_the_list_answers_as_one_types_and_the_address_says_what_it_shows(page: Page, order: Order) -> None:
    order("TYPE1", accession_number="ACC-TYPE")
    order("TYPE2", modality="MR", scheduled_station_ae_title="MR7")
    page.goto("/worklist/")
    page.get_by_label("Patient or accession number").press_sequentially("doe, type")
    expect(page).to_have_url(re.compile(r"/worklist/\?text=doe%2C\+type$"))
    expect(page.locator("td.name")).to_have_text(["Doe, TYPE1", "Doe, TYPE2"])
    page.reload()
    expect(page.get_by_label("Patient or accession number")).to_have_value("doe, type")
    page.get_by_label("Modality").select_option("MR")
    expect(page.locator("td.name")).to_have_text(["Doe, TYPE2"])
    page.get_by_label("Modality").select_option("")
    page.get_by_label("Station").select_option("CT1")
    expect(page.locator("td.name")).to_have_text(["Doe, TYPE1"])
    shown(page, "ACC-TYPE")
    expect(page.locator("td.name")).to_have_text(["Doe, TYPE1"])
    page.get_by_label("Status").select_option("COMPLETED")
    expect(page.get_by_text("No step matches")).to_be_visible()


def test_days_are_chosen_in_one_click_or_named(page: Page, order: Order) -> None:
    tomorrow = datetime.now() + timedelta(days=1)
    order("DAY1", scheduled_procedure_step_start_date=f"{tomorrow:%Y%m%d}")
    shown(page, "DAY1")
    expect(page.get_by_text("No step matches")).to_be_visible()
    page.get_by_text("Tomorrow", exact=True).click()
    expect(page.locator("td.name")).to_have_text(["Doe, DAY1"])
    page.get_by_label("To", exact=True).fill(f"{datetime.now():%Y-%m-%d}")
    expect(page.get_by_text("No step matches")).to_be_visible()
    expect(page).to_have_url(re.compile("until="))
    page.get_by_text("All", exact=True).first.click()
    expect(page.locator("td.name")).to_have_text(["Doe, DAY1"])
    expect(page).to_have_url(re.compile(r"\?text=DAY1&when=all$"))


def test_pages_follow_one_another_and_all_of_it_is_a_table(page: Page, other: APIRequestContext) -> None:
    today = f"{datetime.now():%Y%m%d}"
    rows = [
        {
            "patient_id": f"PAGE{number:02}",
            "patient_name": "=1+1",
            "scheduled_procedure_step_start_date": today,
            "scheduled_procedure_step_start_time": f"10{number:02}",
        }
        for number in range(52)
    ]
    assert other.post("/api/worklist/", data=json.dumps(rows), headers={"Content-Type": "application/json"}).ok
    shown(page, "PAGE")
    expect(page.locator("td.id")).to_have_count(50)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert len(lines) == 53
    assert "'=1+1" in lines[1]
    page.get_by_role("link", name="Next").click()
    expect(page.locator("td.id")).to_have_text(["PAGE50", "PAGE51"])
    page.get_by_role("link", name="First page").click()
    expect(page.locator("td.id").first).to_have_text("PAGE00")


def test_what_another_client_changes_is_seen_without_a_reload(
    page: Page, order: Order, other: APIRequestContext
) -> None:
    made = order("LIVE")
    shown(page, "LIVE")
    expect(page.locator("td.state-of")).to_have_text(["Scheduled"])
    page.keyboard.press("ArrowDown")
    other.post(f"/api/worklist/{made['id']}/status/", data={"status": "ARRIVED"})
    expect(page.locator("td.state-of")).to_have_text(["Arrived"])
    expect(page.locator(f"#step-{made['id']}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".glance-status")).to_have_text("Arrived")
    other.post(f"/api/worklist/{made['id']}/status/", data={"status": "STARTED"})
    expect(page.locator(".glance-status")).to_have_text("Started")
    expect(page.locator(".history li")).to_have_count(3)


def test_a_list_that_lost_the_server_says_so_and_finds_it_again(
    window: Window, order: Order, other: APIRequestContext
) -> None:
    made = order("LOST")
    page = window.page
    shown(page, "LOST")
    window.context.set_offline(True)
    expect(page.get_by_text("No connection: trying again")).to_be_visible()
    other.post(f"/api/worklist/{made['id']}/status/", data={"status": "ARRIVED"})
    window.context.set_offline(False)
    expect(page.locator("td.state-of")).to_have_text(["Arrived"])
    expect(page.get_by_text("No connection: trying again")).to_be_hidden()
    window.forget()


def test_who_may_only_read_finds_no_button_and_is_refused(browser: Browser, node: Node, order: Order) -> None:
    made = order("READ")
    with Window(browser, node) as window:
        page = window.sign_in("reader").page
        shown(page, "READ")
        expect(page.locator("td.name")).to_have_text(["Doe, READ"])
        expect(page.get_by_role("link", name="New step")).to_have_count(0)
        page.locator("td.name a").click()
        expect(page.get_by_role("link", name="Edit")).to_have_count(0)
        expect(page.locator(".ways")).to_have_count(0)
        token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
        for address in ("new/", f"{made['id']}/edit/", f"{made['id']}/status/ARRIVED/"):
            answer = page.context.request.post(f"/worklist/{address}", form={"csrfmiddlewaretoken": token})
            assert answer.status == 403
    with Window(browser, node) as window:
        page = window.sign_in("clinician").page
        page.goto("/worklist/?when=all")
        expect(page.get_by_text("may not look at the worklist")).to_be_visible()


def test_a_day_shows_its_steps_by_station_and_at_their_times(
    page: Page, order: Order, other: APIRequestContext
) -> None:
    day = {"scheduled_procedure_step_start_date": "20310505"}
    first = order("PLAN1", **day, scheduled_station_ae_title="CTA", duration_minutes=60)
    order(
        "PLAN2", **day, scheduled_station_ae_title="CTA\\MRB", scheduled_procedure_step_start_time="0930", modality="MR"
    )
    order("PLAN3", **day, scheduled_station_ae_title="", scheduled_procedure_step_start_time="1100")
    page.goto("/worklist/day/?date=2031-05-05")
    expect(page.locator(".column h3 bdi")).to_have_text(["CTA", "MRB", "No station"])
    boxes = [page.locator(".column").first.locator(".block").nth(number).bounding_box() for number in (0, 1)]
    assert boxes[0] and boxes[1]
    assert boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"] - 1  # they overlap in time: beside one another
    assert boxes[0]["height"] == pytest.approx(2 * (boxes[1]["y"] - boxes[0]["y"]), abs=3)
    block = page.locator(f".block[href='/worklist/{first['id']}/']")
    expect(block).to_contain_text("Scheduled")
    other.post(f"/api/worklist/{first['id']}/status/", data={"status": "READY"})
    expect(block).to_contain_text("Ready")
    page.get_by_label("Modality").select_option("MR")
    expect(page.locator(".column h3 bdi")).to_have_text(["CTA", "MRB"])
    page.get_by_role("link", name="Next day").click()
    expect(page).to_have_url(re.compile(r"date=2031-05-06&modality=MR"))
    expect(page.get_by_text("Nothing of this modality")).to_be_visible()
    page.get_by_role("link", name="Today").click()
    expect(page.locator(".day-title time")).to_have_attribute("datetime", f"{datetime.now():%Y-%m-%d}")
