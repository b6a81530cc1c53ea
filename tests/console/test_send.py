"""Sending from the list of studies and from a study's page, to a receiver that is there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from tests.browser import Window
from tests.console import files
from tests.node import Node
from tests.storage.storescp import StoreScp

pytestmark = pytest.mark.live

SHOTS = os.environ.get("PACS_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreScp]:
    receiver = StoreScp(tmp_path_factory.mktemp("receiver") / "received", "--accept-all")
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, receiver: StoreScp) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("send")
    files.two_series_each(folder / "files", studies=4)
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(folder / "files"))
        running.manage("peer", f"STORESCP@127.0.0.1:{receiver.port}")
        yield running.start("web", "worker")


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    with Window(browser, node) as window:
        window.sign_in()
        yield window
        assert not window.elsewhere()
        assert not [text for text in window.complaints if "the server responded with" not in text]


def received(receiver: StoreScp) -> set[str]:
    return {path.name.split(".", 1)[1] for path in receiver.files()}


def test_a_study_or_one_series_of_it_is_sent_from_its_page(page: Page, receiver: StoreScp) -> None:
    page.goto("/studies/1.2.3.1/")
    page.get_by_role("link", name="Send to").click()
    expect(page.locator("h1")).to_contain_text("Doe, John")
    page.get_by_label("Series 2").uncheck()
    page.get_by_role("button", name="Send").last.click()
    expect(page.locator("#job")).to_contain_text("Done", timeout=60_000)
    assert {uid for uid in received(receiver) if uid.startswith("1.2.3.1.")} == {"1.2.3.1.1.1"}
    page.goto("/studies/1.2.3.1/")
    page.get_by_role("link", name="Send to").click()
    page.get_by_role("button", name="Send").last.click()
    expect(page.locator("#job")).to_contain_text("Done", timeout=60_000)
    assert {uid for uid in received(receiver) if uid.startswith("1.2.3.1.")} == {"1.2.3.1.1.1", "1.2.3.1.2.1"}


def test_studies_chosen_in_the_list_are_sent_together(page: Page, receiver: StoreScp) -> None:
    page.goto("/studies/?order=patient_id")
    expect(page.get_by_role("button", name="Send those chosen")).to_be_hidden()
    page.get_by_label("Choose: Doe, John 3").check()
    page.get_by_label("Choose: Doe, John 4").check()
    page.get_by_role("button", name="Send those chosen").click()
    expect(page.locator("h1")).to_have_text("Send 2 studies")
    page.get_by_role("button", name="Send").last.click()
    expect(page.locator("#job")).to_contain_text("Done", timeout=60_000)
    assert {"1.2.3.3.1.1", "1.2.3.3.2.1", "1.2.3.4.1.1", "1.2.3.4.2.1"} <= received(receiver)
    assert not {"1.2.3.2.1.1", "1.2.3.2.2.1"} & received(receiver)


def test_what_is_missing_is_said_and_what_was_chosen_stays(window: Window, page: Page) -> None:
    page.goto("/send/?study=1.2.3.1")
    page.get_by_label("Series 1").uncheck()
    page.get_by_label("Series 2").uncheck()
    page.get_by_role("button", name="Send").last.click()
    expect(page.get_by_role("alert")).to_have_text("Choose at least one series.")
    expect(page.get_by_label("To", exact=True)).to_have_value("STORESCP")
    expect(page.get_by_label("Series 1")).not_to_be_checked()
    page.goto("/send/")
    expect(page.locator("body")).to_contain_text("No study was chosen")
    page.goto("/send/?study=1.9.9")
    expect(page.locator("body")).to_contain_text("There is no such study")
    window.forget()


@pytest.mark.parametrize("said", ["tonight", "2026-02-30T01:00", "9999-12-31T23:59+99:00"])
def test_a_time_that_is_none_is_refused_beside_its_field(page: Page, node: Node, said: str) -> None:
    page.goto("/send/?study=1.2.3.1")
    page.locator("#due-at").evaluate("(field, said) => { field.type = 'text'; field.value = said; }", said)
    page.get_by_role("button", name="Send").last.click()
    expect(page.locator("#e-due-at")).to_have_text("Date and time, or nothing.")
    expect(page.locator("#due-at")).to_have_attribute("aria-invalid", "true")


@pytest.mark.django_db
def test_who_may_not_is_not_offered_it(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody"))
    assert b"choose" not in client.get("/studies/").content
    answer = client.get("/send/?study=1.2.3")
    assert answer.status_code == 403
    assert b"may not have images sent" in answer.content


@pytest.mark.parametrize("width", [1440, 1024, 768])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_fits(page: Page, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    for name, address in (
        ("one", "/send/?study=1.2.3.1"),
        ("several", "/send/?study=1.2.3.1&study=1.2.3.2"),
        ("list", "/studies/"),
    ):
        page.goto(address)
        if name == "list":
            page.get_by_label("Choose: Doe, John 3").check()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"send-{name}-{width}-{scheme}.png")
