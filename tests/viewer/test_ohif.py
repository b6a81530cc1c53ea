"""OHIF as Chromium shows it, from our own server alone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import NAMED, Window, spread
from tests.node import Node, wait_for
from tests.viewer import studies
from tests.viewer.installed import viewers

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("ohif")
    with Node(folder, PACS_VIEWER=str(viewers())) as running:
        running.manage("prepare")
        running.manage("import", str(studies.write(folder / "files")))
        yield running.start("web")


@pytest.fixture(scope="module")
def signed_in(node: Node, browser: Browser) -> Iterator[Window]:
    with Window(browser, node) as made:
        yield made.sign_in()


@pytest.fixture
def window(signed_in: Window) -> Iterator[Window]:
    """Nothing left the origin, nothing failed, and the console has no error."""
    signed_in.forget()
    yield signed_in
    assert signed_in.elsewhere() == []
    assert signed_in.refusals == []
    assert signed_in.complaints == []


def test_the_list_has_the_studies_and_searches_them(window: Window) -> None:
    window.page.goto("/viewer/")
    expect(window.page.get_by_text("Müller, Jörg")).to_have_count(2)
    expect(window.page.get_by_text("1-5 of 5")).to_be_visible()
    window.keep("list")
    window.page.locator("input").first.fill("patient")
    expect(window.page.get_by_text("Müller, Jörg")).to_have_count(0)
    expect(window.page.get_by_text("1-3 of 3")).to_be_visible()


def test_a_document_is_read(window: Window) -> None:
    window.page.goto(f"/viewer/viewer?StudyInstanceUIDs={studies.DOCUMENT}")
    document = window.page.locator("object[type='application/pdf']")
    expect(document).to_be_visible()
    # A white page with black letters in the dark viewer, drawn by another process of the browser.
    wait_for(lambda: spread(document.screenshot()) > 60, every=0.5, what="the document is drawn")
    window.keep("document")


def test_who_was_signed_out_meanwhile_signs_in_and_comes_back(node: Node, browser: Browser) -> None:
    with Window(browser, node) as window:
        window.sign_in().page.goto("/viewer/")
        expect(window.page.get_by_text("1-5 of 5")).to_be_visible()
        window.context.clear_cookies()
        window.page.locator("input").first.fill("patient")
        window.page.wait_for_url("**/login/**")
        window.page.fill("input[name=username]", "admin")
        window.page.fill("input[name=password]", node.admin_password)
        window.page.click("[type=submit]")
        window.page.wait_for_url("**/viewer/**")
        expect(window.page.get_by_text("1-3 of 3")).to_be_visible()


def test_it_works_without_https_under_a_name(node: Node, browser: Browser) -> None:
    """A browser then has no service workers, no `crypto.subtle`, no shared memory."""
    with Window(browser, node, host=NAMED) as window:
        window.sign_in().page.goto("/viewer/")
        expect(window.page.get_by_text("1-5 of 5")).to_be_visible()
        assert window.page.evaluate("window.isSecureContext") is False
        # Chromium says on every plain page that this header of Django's counts over HTTPS only.
        assert [text for text in window.complaints if "Cross-Origin-Opener-Policy" not in text] == []
