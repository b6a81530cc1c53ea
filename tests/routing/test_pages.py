"""Routing rules as an administrator with a browser makes, orders, tries and removes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Window
from tests.console import files
from tests.node import Node

pytestmark = pytest.mark.live

ALERT = "<img src=x onerror=alert(1)>"
PEERS = """
from apps.accounts.principal import system
from apps.network import config
from apps.network.models import Peer
for number, name in enumerate(("READING", "NEURO", "<img src=x onerror=alert(1)>")):
    config.save(Peer(name=name, ae_title=f"WS{number}", host="127.0.0.1", port=104), principal=system("test"))
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder: Path = tmp_path_factory.mktemp("routing")
    (folder / "files").mkdir()
    for number in (1, 2, 3):
        modality = "SR" if number == 3 else "CT"
        path = folder / "files" / f"{number}.dcm"
        series = {"SeriesInstanceUID": f"1.2.826.1.{modality == 'SR':d}9", "Modality": modality}
        files.write(path, uid="1.2.826.1", number=number, PatientName=f"{ALERT}^X", **series)
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(folder / "files"))
        running.shell(PEERS)
        yield running.start("web")


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    with Window(browser, node) as window:
        window.sign_in()
        yield window
        assert not window.elsewhere()
        assert not [each for each in window.complaints if "400 (Bad Request)" not in each]
        assert not [each for each in window.refusals if each[0] != 400]


def test_a_rule_is_made_tried_and_put_first(page: Page, window: Window) -> None:
    page.goto("/routing/")
    expect(page.get_by_text("Nothing is sent on by itself")).to_be_visible()
    page.get_by_role("link", name="New rule").first.click()
    page.get_by_label("Name", exact=True).fill("CT to neuro")
    page.get_by_label("Seconds of quiet").fill("soon")
    row = page.locator(".condition-row").first
    row.get_by_label("Element").select_option("modality")
    row.get_by_label("Value").fill("CT")
    page.get_by_role("button", name="Condition", exact=True).click()
    second = page.locator(".condition-row").nth(1)
    second.get_by_label("Element").select_option("study_date")
    second.get_by_label("Is how").select_option("contains")
    second.get_by_label("Value").fill("2026")
    page.get_by_role("button", name="Save").click()
    # What is wrong stands beside its field, and nothing that was typed is lost.
    expect(page.locator("[data-summary]")).to_be_focused()
    expect(page.locator("#e-quiet_seconds")).to_be_visible()
    expect(page.locator("#e-destinations")).to_be_visible()
    expect(page.locator("#e-1")).to_contain_text("it cannot be asked so")
    window.keep("routing-errors")
    page.locator(".condition-row").nth(1).get_by_role("button", name="Remove").click()
    page.get_by_label("Seconds of quiet").fill("90")
    page.get_by_role("checkbox", name="NEURO").check()
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#tried")).to_contain_text("NEURO: 2 images")
    expect(page.locator("#tried .stays")).to_contain_text("1 image: Modality is CT, but it is SR")
    assert page.locator("#content img").count() == 0
    window.keep("routing-dry-run")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("is saved, and in force")).to_be_visible()
    expect(page.locator("td.what")).to_have_text("Modality is CT")
    expect(page.locator("td.rule")).to_contain_text("Study quiet for 90 s")

    page.get_by_role("link", name="New rule").click()
    page.get_by_label("Name", exact=True).fill("At once")
    page.get_by_label("When").select_option("image")
    expect(page.get_by_label("Seconds of quiet")).to_be_hidden()
    page.get_by_role("checkbox", name=ALERT).check()
    page.get_by_role("button", name="Save").click()
    names = page.locator("td.rule a")
    expect(names).to_have_text(["CT to neuro", "At once"])
    page.get_by_role("button", name="Move At once up").click()
    expect(names).to_have_text(["At once", "CT to neuro"])
    page.get_by_role("switch", name="At once").click()
    expect(page.get_by_role("switch", name="At once")).to_have_attribute("aria-checked", "false")
    assert page.locator("#content img").count() == 0
    window.keep("routing-list")


def test_a_rule_is_applied_and_removed_after_a_second_look(page: Page, node: Node, window: Window) -> None:
    with window.rest() as client:
        said = {"name": "Apply me", "destinations": ["READING"], "enabled": False}
        made = client.post("/api/routing-rules/", data=said).json()
    page.goto(f"/routing/{made['id']}/")
    page.get_by_role("link", name="Apply to stored studies").click()
    page.get_by_label("Modality in study").fill("CT")
    page.get_by_role("button", name="Count").click()
    expect(page.locator(".facts")).to_contain_text("Studies it will look at1")
    window.keep("routing-apply")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.get_by_text("applies the rule")).to_be_visible()
    ((arguments,),) = node.sql("SELECT arguments FROM jobs_job WHERE kind = 'apply_routing_rule'")
    assert "ModalitiesInStudy" in str(arguments)
    page.get_by_role("link", name="Apply me").click()
    page.get_by_role("link", name="Remove").click()
    expect(page.locator(".facts")).to_contain_text("READING")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("Jobs it has made go on")).to_be_visible()
    expect(page.get_by_role("link", name="Apply me")).to_have_count(0)


def test_a_form_that_somebody_else_was_quicker_with_shows_both(page: Page, window: Window) -> None:
    with window.rest() as client:
        made = client.post("/api/routing-rules/", data={"name": "Twice", "destinations": ["READING"]}).json()
        page.goto(f"/routing/{made['id']}/")
        client.patch(f"/api/routing-rules/{made['id']}/", data={"destinations": ["NEURO"]})
        page.get_by_label("Priority").fill("5")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("The rule was changed meanwhile")).to_be_visible()
        expect(page.locator(".alert-warning")).to_contain_text("NEURO")
        expect(page.get_by_label("Priority")).to_have_value("5")
        assert client.get(f"/api/routing-rules/{made['id']}/").json()["priority"] == 0
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("is saved, and in force")).to_be_visible()
        client.delete(f"/api/routing-rules/{made['id']}/")
    window.refusals.clear()
    window.complaints.clear()


@pytest.mark.parametrize("width", [1440, 1024, 768, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_their_window(page: Page, window: Window, width: int, theme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    for name, address in (("list", "/routing/"), ("form", "/routing/new/")):
        page.goto(address)
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        window.keep(f"routing-{name}-{width}-{theme}")
