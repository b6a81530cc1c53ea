"""The board of performed steps, and a study beside its order, as somebody with a browser sees them."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Page, expect

from tests.browser import Window
from tests.console import files
from tests.node import Node

pytestmark = pytest.mark.live

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.826.1"
ALERT = "<img src=x onerror=alert(1)>"
MATCH = f"""
from apps.accounts.principal import system
from apps.worklist import linking
linking.match_study("{STUDY}", principal=system("test"))
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder: Path = tmp_path_factory.mktemp("board")
    (folder / "files").mkdir()
    for number in (1, 2):
        files.write(
            folder / "files" / f"{number}.dcm",
            uid=STUDY,
            number=number,
            PatientID="LINK",
            PatientName="Roe^Richard",
            AccessionNumber="",
        )
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(folder / "files"))
        yield running.start("web")


@pytest.fixture
def modality(window: Window) -> Iterator[APIRequestContext]:
    """Another client, which reports over REST."""
    with window.rest() as client:
        yield client


def send(client: APIRequestContext, address: str, document: dict[str, Any], method: str = "POST") -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    answer = client.fetch(f"/api/{address}", method=method, data=json.dumps(document), headers=headers)
    assert answer.ok, answer.text()
    made: dict[str, Any] = answer.json()
    return made


def begun(client: APIRequestContext, patient_id: str, **said: Any) -> dict[str, Any]:
    given = {
        "patient_id": patient_id,
        "patient_name": f"Doe^{patient_id}",
        "modality": "CT",
        "performed_station_ae_title": "CT1",
    }
    return send(client, "procedure-steps/", {**given, **said})


def test_the_board_follows_a_procedure_with_its_images_and_tells_the_unscheduled(
    page: Page, modality: APIRequestContext
) -> None:
    page.goto("/procedures/?text=BOARD")
    expect(page.get_by_text("No procedure matches")).to_be_visible()
    made = begun(modality, "BOARD")
    row = page.locator("tbody tr")
    expect(row).to_contain_text("In progress")
    expect(row).to_contain_text("Unscheduled")
    instances = [{"sop_class_uid": CT, "sop_instance_uid": f"{STUDY}.1.{number}"} for number in (1, 2, 3)]
    series = {"series_instance_uid": f"{STUDY}.1", "protocol_name": "Head", "instances": instances}
    send(modality, f"procedure-steps/{made['id']}/", {"series": [series]}, "PATCH")
    expect(row).to_contain_text("2 of 3 received")
    send(modality, f"procedure-steps/{made['id']}/complete/", {})
    expect(row).to_contain_text("Completed")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Doe, BOARD")
    page.get_by_text("Images that have not arrived").click()
    expect(page.get_by_text(f"{STUDY}.1.3")).to_be_visible()
    expect(page.locator(".history li")).to_have_count(3)


def test_what_runs_comes_first_and_is_ended_by_hand_with_a_reason(page: Page, modality: APIRequestContext) -> None:
    first = begun(modality, "HAND1")
    ended = begun(modality, "HAND2")
    send(modality, f"procedure-steps/{ended['id']}/close/", {"status": "COMPLETED", "reason": "test"})
    page.goto("/procedures/?text=doe, hand")
    expect(page.locator("td.name a")).to_have_text(["Doe, HAND1", "Doe, HAND2"])
    page.locator("td.name a").first.click()
    page.get_by_role("link", name="Discontinue").click()
    expect(page.locator("form.second-step")).to_contain_text("Doe, HAND1")
    page.get_by_label("Reason").fill("The scanner was switched off")
    page.get_by_role("button", name="Discontinue").click()
    expect(page.locator(".glance-status")).to_have_text("Discontinued")
    expect(page.locator(".history li").first).to_contain_text("switched off")
    assert modality.get(f"/api/procedure-steps/{first['id']}/").json()["status"] == "DISCONTINUED"


def test_the_scheduled_step_and_its_performed_one_know_each_other(page: Page, modality: APIRequestContext) -> None:
    order = {"patient_id": "ORDER", "patient_name": "Doe^Order", "modality": "CT", "scheduled_station_ae_title": "CT1"}
    step = send(modality, "worklist/", {**order, "scheduled_procedure_step_start_date": f"{datetime.now():%Y%m%d}"})
    page.goto(f"/worklist/{step['id']}/")
    expect(page.locator(".glance-status")).to_have_text("Scheduled")
    begun(modality, "ORDER", scheduled_steps=[step["id"]])
    expect(page.locator(".glance-status")).to_have_text("Started")
    page.goto("/procedures/?text=ORDER")
    page.get_by_role("link", name=step["accession_number"]).click()
    expect(page).to_have_url(f"{page.url.split('/worklist')[0]}/worklist/{step['id']}/")


def test_text_of_modalities_is_text(page: Page, modality: APIRequestContext) -> None:
    text = f"{ALERT}\u202eדוד"
    made = begun(modality, "TEXT", patient_name=f"{text}^TEXT", performed_procedure_step_description=text)
    for address in ("?text=TEXT", f"{made['id']}/", f"{made['id']}/end/DISCONTINUED/"):
        page.goto(f"/procedures/{address}")
        expect(page.get_by_text(ALERT).first).to_be_attached()
        assert page.locator("#content img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_study_of_another_patient_waits_beside_its_order_for_a_person(
    page: Page, node: Node, modality: APIRequestContext
) -> None:
    order = {"patient_id": "LINK", "patient_name": "Doe^Jane", "study_instance_uid": STUDY, "modality": "CT"}
    step = send(modality, "worklist/", order)
    node.shell(MATCH)
    page.goto(f"/worklist/{step['id']}/")
    page.get_by_role("link", name="does it belong to this order?").click()
    values = page.locator("tr.differing", has_text="Name").locator("td")
    expect(values).to_have_text(["Roe, Richard", "Doe, Jane"])
    wide = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert values.first.evaluate("e => e.clientWidth") >= 80  # a telephone shows words, not letters
    assert wide is not None
    page.set_viewport_size(wide)
    page.get_by_label("Reason").fill("Wrong entry chosen")
    page.get_by_role("button", name="They do not").click()
    expect(page.get_by_text("The decision is kept", exact=True)).to_be_visible()
    expect(page.locator(".history li").first).to_contain_text("Wrong entry chosen")
    page.goto("/worklist/studies/")
    expect(page.get_by_text("Nothing waits for a decision")).to_be_visible()
    page.get_by_role("link", name="Dismissed").click()
    page.locator("td a").first.click()
    page.get_by_role("button", name="They belong together").click()
    expect(page.get_by_text("The decision is kept", exact=True)).to_be_visible()
    page.goto(f"/worklist/{step['id']}/")
    expect(page.get_by_text("2 images in 1 series")).to_be_visible()
    page.goto("/worklist/studies/?state=linked")
    page.locator("td a").first.click()
    page.get_by_role("button", name="They do not belong together").click()
    expect(page.locator(".order-line")).to_contain_text("Dismissed")
