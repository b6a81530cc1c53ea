"""What a browser sees of the pages."""

from collections.abc import Iterator

import pytest
import requests
from django.http import HttpResponse
from django.test import RequestFactory
from playwright.sync_api import Browser

from pacs.middleware import ContentSecurityPolicy
from tests.browser import Window, spread
from tests.node import Node

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("pages")) as running:
        running.manage("prepare")
        yield running.start("web")


def test_the_administration_asks_nobody_else_and_has_no_error(node: Node, browser: Browser) -> None:
    with Window(browser, node) as window:
        window.sign_in()
        window.page.goto("/admin/")
        window.keep("administration")
        assert "PACS" in window.page.title()
        assert window.requests
        assert window.elsewhere() == []
        assert window.complaints == []
        assert window.refusals == []


def test_what_a_page_does_wrong_is_seen(node: Node, browser: Browser) -> None:
    """The collecting itself: another origin, an error of a script, a missing file, WebGL 2 with something drawn."""
    with Window(browser, node, bypass_csp=True) as window:  # our policy would stop it before it is asked for
        window.page.goto("/health/live")
        window.page.evaluate("fetch('https://example.org/x').catch(() => 0)")
        with window.page.expect_event("pageerror"):
            window.page.evaluate("fetch('/nowhere').then(() => setTimeout(() => { throw new Error('ours') }))")
        assert "https://example.org/x" in window.elsewhere()
        assert any(url.endswith("/nowhere") for _, url in window.refusals)
        assert any("ours" in complaint for complaint in window.complaints)
        assert window.page.evaluate("!!document.createElement('canvas').getContext('webgl2')")
        assert spread(window.page.screenshot()) < 20


def test_the_policy_of_a_page_outlives_its_revalidation(node: Node) -> None:
    """A 304 would replace the policy that the browser has kept for a page with one of its own."""
    script = f"http://{node.host}:{node.http_port}/static/admin/js/theme.js"
    first = requests.get(script)
    assert "default-src 'self'" in first.headers["Content-Security-Policy"]
    again = requests.get(script, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert "Content-Security-Policy" not in again.headers


def test_the_opener_policy_is_sent_where_browsers_heed_it(rf: RequestFactory) -> None:
    answer = ContentSecurityPolicy(lambda _: HttpResponse())
    assert "Cross-Origin-Opener-Policy" not in answer(rf.get("/"))
    assert answer(rf.get("/", secure=True))["Cross-Origin-Opener-Policy"] == "same-origin"
