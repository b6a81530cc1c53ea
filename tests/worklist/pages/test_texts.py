"""Long and hostile texts on the pages of the worklist."""

import pytest
from playwright.sync_api import Page, expect

from tests.worklist.pages.page import Order

pytestmark = pytest.mark.live

ALERT = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(1)</script>"
RIGHT_TO_LEFT = "\u202eדוד"
COMBINING = "Z" + "\u0310\u035c" * 8


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


def test_a_day_fits_on_a_telephone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/worklist/day/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.get_by_label("Modality")).to_be_in_viewport(ratio=1)
