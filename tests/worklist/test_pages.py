"""The worklist as somebody with a browser sees it."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser, Page, expect

from tests.browser import Window
from tests.node import Node, wait_for

pytestmark = pytest.mark.live

USERS = """
from django.contrib.auth.models import Group, User
for name, role in (("reader", "Radiologists"), ("technologist", "Technologists"), ("clinician", "Clinicians")):
    User.objects.create_user(name, password="{password}").groups.add(Group.objects.get(name=role))
"""
ALERT = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(1)</script>"
RIGHT_TO_LEFT = "\u202eדוד"
COMBINING = "Z" + "\u0310\u035c" * 8


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("pages")) as running:
        running.manage("prepare")
        running.shell(USERS.format(password=running.admin_password))
        yield running.start("web")


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    with Window(browser, node) as window:
        window.sign_in("technologist")
        yield window
        assert not window.elsewhere()
        assert not window.complaints
        assert not window.refusals


@pytest.fixture
def page(window: Window) -> Page:
    return window.page


@pytest.fixture
def other(window: Window) -> Iterator[APIRequestContext]:
    """Another client, which asks over REST."""
    with window.rest() as client:
        yield client


Order = Callable[..., dict[str, Any]]


@pytest.fixture
def order(other: APIRequestContext) -> Order:
    """`order("ID1")` schedules a step for a patient of the test's own."""

    def make(patient_id: str, **said: Any) -> dict[str, Any]:
        now = datetime.now()
        given = {
            "patient_id": patient_id,
            "patient_name": f"Doe^{patient_id}",
            "modality": "CT",
            "scheduled_station_ae_title": "CT1",
            "scheduled_procedure_step_start_date": f"{now:%Y%m%d}",
            "scheduled_procedure_step_start_time": "0900",
            "requested_procedure_description": "CT chest",
        }
        answer = other.post(
            "/api/worklist/", data=json.dumps({**given, **said}), headers={"Content-Type": "application/json"}
        )
        assert answer.status == 201, answer.text()
        made: dict[str, Any] = answer.json()
        return made

    return make


def shown(page: Page, text: str, **more: str) -> None:
    """The list, of what begins with a text."""
    page.goto(f"/worklist/?text={text}" + "".join(f"&{name}={value}" for name, value in more.items()))


def schedule(page: Page, patient_id: str, name: str, template: str = "CT chest") -> None:
    page.goto("/worklist/new/")
    page.get_by_label("Patient ID", exact=True).fill(patient_id)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Template").select_option(label=template)


def test_who_is_not_signed_in_sees_nothing(browser: Browser, node: Node) -> None:
    page = browser.new_page(base_url=f"http://{node.host}:{node.http_port}")
    for address in ("/worklist/", "/worklist/new/", "/worklist/1/", "/worklist/steps.csv", "/worklist/patients/?q=D"):
        page.goto(address)
        assert "/sign-in/" in page.url
    page.close()


def test_a_step_is_scheduled_from_a_template_edited_and_cancelled_with_a_reason(page: Page) -> None:
    schedule(page, "LIFE", "Doe, Jane")
    expect(page.get_by_label("Modality")).to_have_value("CT")
    expect(page.get_by_label("Minutes")).to_have_value("15")
    page.get_by_label("Station", exact=True).fill("CT9")
    page.get_by_role("button", name="Schedule").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Doe, Jane")
    expect(page.get_by_text("The step is scheduled")).to_be_visible()
    expect(page.get_by_text("CT chest (CTCHEST, 99PACS)").first).to_be_visible()

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Minutes").fill("25")
    page.get_by_label("Why it is changed").fill("Longer than usual")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".history li").first).to_contain_text("Longer than usual")
    expect(page.locator(".history li .changes").first).to_contain_text(re.compile(r"Minutes:\s*15\s*→\s*becomes\s*25"))

    page.get_by_role("link", name="Cancel step").click()
    expect(page.locator("form.second-step")).to_contain_text("Doe, Jane")
    expect(page.locator("form.second-step")).to_contain_text("CT chest")
    page.get_by_label("Reason").fill("The patient is ill")
    page.get_by_role("button", name="Cancel step").click()
    expect(page.locator(".glance-status")).to_have_text("Cancelled")
    expect(page.locator(".history li").first).to_contain_text("The patient is ill")


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


def test_the_keys_are_enough(page: Page) -> None:
    page.goto("/worklist/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.get_by_label("Known patient")).to_be_focused()
    page.wait_for_load_state()  # keys are heard from then on
    page.get_by_label("Patient ID", exact=True).focus()
    page.keyboard.type("KEYS")
    page.keyboard.press("Tab")
    page.keyboard.type("Keys, Carla")
    page.get_by_label("Modality").select_option("US")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys, Carla")
    for key, address in (("e", "/edit/$"), ("Escape", r"/worklist/\d+/$"), ("Escape", "/worklist/$")):
        page.wait_for_load_state()
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(address))


def test_what_is_wrong_is_said_beside_the_field_and_in_a_summary_with_the_focus(page: Page) -> None:
    schedule(page, "WRONG" * 20, "")
    page.get_by_label("Station", exact=True).fill("Größe")
    page.get_by_role("button", name="Schedule").click()
    summary = page.locator("[data-summary]")
    expect(summary).to_be_focused()
    expect(summary.locator("li")).to_have_text(
        ["Patient ID: longer than 64 characters", "Name: is needed", "Station: only ASCII characters"]
    )
    summary.get_by_role("link", name="Name").click()
    name = page.get_by_label("Name", exact=True)
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_accessible_description(re.compile("is needed"))


def test_a_known_patient_is_found_and_his_second_step_asked_about(page: Page, order: Order) -> None:
    order("TWICE", patient_birth_date="19800214", patient_sex="F")
    page.goto("/worklist/new/")
    page.get_by_label("Known patient").press_sequentially("doe, twi")
    expect(page.locator("#patient-options [role=option]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Patient ID", exact=True)).to_have_value("TWICE")
    expect(page.get_by_label("Born")).to_have_value("1980-02-14")
    page.get_by_label("Modality").select_option("CT")
    expect(page.locator("#notes")).to_contain_text("Perhaps it is scheduled already")
    page.get_by_role("button", name="Schedule").click()
    expect(page.get_by_role("alert")).to_contain_text("such a step on that day already")
    page.keyboard.press("Control+Enter")  # the same once more is no answer
    expect(page.get_by_role("alert")).to_contain_text("such a step on that day already")
    page.get_by_role("button", name="Schedule one more").click()
    expect(page.get_by_text("The step is scheduled")).to_be_visible()


def test_another_person_under_a_known_id_is_asked_about_with_both_values(page: Page, order: Order) -> None:
    order("SAME", patient_sex="F", scheduled_procedure_step_start_date="20200101")
    schedule(page, "SAME", "Roe, Richard")
    page.get_by_role("button", name="Schedule").click()
    for value in ("Doe, SAME", "Roe, Richard"):
        expect(page.locator(".values td").get_by_text(value, exact=True)).to_be_visible()
    page.get_by_role("button", name="Take the known data").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Doe, SAME")
    page.get_by_label("Name", exact=True).fill("Doe-Roe, Same")
    page.get_by_role("button", name="Schedule").click()
    page.get_by_role("button", name="Change the patient's data").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Doe-Roe, Same")


def test_a_form_that_somebody_overtook_shows_both_versions(page: Page, order: Order, other: APIRequestContext) -> None:
    made = order("STALE")
    page.goto(f"/worklist/{made['id']}/edit/")
    page.get_by_label("Description", exact=True).fill("Mine")
    theirs = {"requested_procedure_description": "Theirs", "duration_minutes": 40}
    assert other.patch(f"/api/worklist/{made['id']}/", data=theirs).ok
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("changed meanwhile")
    expect(page.locator(".values")).to_contain_text("Theirs")
    expect(page.get_by_label("Minutes")).to_have_value("40")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The step is changed")).to_be_visible()
    now = other.get(f"/api/worklist/{made['id']}/").json()
    assert (now["requested_procedure_description"], now["duration_minutes"]) == ("Mine", 40)


def test_what_is_not_saved_survives_a_reload_until_it_is_saved_or_somebody_signs_out(window: Window) -> None:
    page = window.sign_in("technologist", anew=True).page

    def drafts() -> int:
        found: int = page.evaluate("Object.keys(sessionStorage).filter(name => name.startsWith('draft:')).length")
        return found

    schedule(page, "DRAFT", "Draft, Dora")
    page.reload()
    expect(page.get_by_text("What you had typed here is back")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Draft, Dora")
    page.get_by_role("button", name="Schedule").click()
    expect(page.get_by_text("The step is scheduled")).to_be_visible()
    wait_for(lambda: drafts() == 0, what="no draft")
    page.goto("/worklist/new/")
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    page.get_by_label("Name", exact=True).fill("Somebody")
    wait_for(lambda: drafts() == 1, what="a draft")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in/"))
    wait_for(lambda: drafts() == 0, what="no draft")


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


@pytest.mark.parametrize("text", [f"{ALERT}{SCRIPT}", RIGHT_TO_LEFT, COMBINING], ids=["script", "direction", "marks"])
def test_text_of_patients_is_text(page: Page, order: Order, text: str) -> None:
    name = f"TEXT{len(text)}"
    made = order(
        name,
        patient_name=f"{text[:60]}^{name}",
        requested_procedure_description=text[:64],
        scheduled_procedure_step_description=text[:64],
        reason_for_the_requested_procedure=text[:64],
        patient_comments=text * 100,
        requested_procedure_comments="long" * 2500,
    )
    for address in ("?text=" + name, f"{made['id']}/", f"{made['id']}/edit/", f"{made['id']}/status/CANCELLED/"):
        page.goto(f"/worklist/{address}")
        assert page.locator("#content img, #content table script, #content dl script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto("/worklist/new/")
    page.get_by_label("Known patient").fill(name)
    expect(page.locator("#patient-options [role=option]")).to_have_count(1)
    assert page.locator("#content img").count() == 0


def test_ten_thousand_characters_in_every_field_are_refused_or_shown(page: Page) -> None:
    page.goto("/worklist/new/")
    page.evaluate(
        """for (const each of document.querySelectorAll(".fields :is(input, textarea)"))
             { each.type = "text"; each.value = "W".repeat(10000); }"""
    )
    page.get_by_role("button", name="Schedule").click()
    expect(page.locator("[data-summary] li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.get_by_label("Name", exact=True)).to_have_value("W" * 10000)


@pytest.mark.parametrize("width", [1440, 1024, 768])
def test_nothing_scrolls_sideways(page: Page, order: Order, width: int) -> None:
    made = order(f"WIDE{width}", patient_name="W" * 60)
    page.set_viewport_size({"width": width, "height": 900})
    for address in ("", "new/", f"{made['id']}/", f"{made['id']}/edit/", f"{made['id']}/status/CANCELLED/"):
        page.goto(f"/worklist/{address}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(
            "[...document.querySelectorAll('.table-responsive')].every(e => e.scrollWidth <= e.clientWidth)"
        )


def test_templates_are_edited_in_the_administration(browser: Browser, node: Node) -> None:
    with Window(browser, node) as window:
        page = window.sign_in("admin").page
        page.goto("/admin/worklist/proceduretemplate/add/")
        page.get_by_label("Name").fill("CT of my own")
        page.get_by_label("Modality").select_option("CT")
        for number, text in enumerate(("OWN1", "99OWN", "My own")):
            page.locator(f"#id_requested_procedure_code_sequence_{number}").fill(text)
        page.locator("[name=_save]").click()
        expect(page.locator(".success")).to_be_visible()
        page.goto("/worklist/new/")
        page.get_by_label("Template").select_option(label="CT of my own")
        expect(page.get_by_label("Procedure code: Code")).to_have_value("OWN1")
        assert not window.complaints


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
