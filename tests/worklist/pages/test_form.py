"""The form of a step, as somebody with a browser fills it in."""

import re

import pytest
from playwright.sync_api import APIRequestContext, Browser, Page, expect

from tests.browser import Window
from tests.node import Node, wait_for
from tests.worklist.pages.page import Order, schedule

pytestmark = pytest.mark.live


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
