"""The viewer over HTTP: who gets it, how, and what is there without it."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from apps.viewer.package import DIRECTORY
from tests.node import Node
from tests.viewer.installed import viewers

pytestmark = pytest.mark.live

PAGE = b'<!doctype html><div id="root">'
SCRIPT = b'_.p = "/viewer/"' + b" " * 1000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """With a made-up viewer, so that nothing but the serving is seen."""
    folder = tmp_path_factory.mktemp("viewer")
    made = folder / "viewers" / DIRECTORY
    (made / "assets").mkdir(parents=True)
    (made / "index.html").write_bytes(PAGE)
    (made / "app.bundle.0123456789abcdef.js").write_bytes(SCRIPT)
    (made / "app.bundle.0123456789abcdef.js.gz").write_bytes(gzip.compress(SCRIPT))
    (made / "0123456789abcdef.wasm").write_bytes(b"\0asm")
    (made / "manifest.json").write_bytes(b"{}")
    (made / "assets" / "mark.svg").write_bytes(b"<svg/>")
    (folder / "viewers" / "secret.txt").write_bytes(b"secret")
    with Node(folder, PACS_VIEWER=str(folder / "viewers")) as running:
        running.manage("prepare")
        yield running.start("web")


def url(node: Node, path: str) -> str:
    return f"http://{node.host}:{node.http_port}{path}"


@pytest.fixture(scope="module")
def session(node: Node) -> Iterator[requests.Session]:
    with requests.Session() as made:
        assert signed_in(made, node).content == PAGE
        yield made


def signed_in(session: requests.Session, node: Node) -> requests.Response:
    """As a browser is: sent to the sign-in and back again."""
    page = session.get(url(node, "/viewer/"))
    token = session.cookies["csrftoken"]
    form = {"username": "admin", "password": node.admin_password, "csrfmiddlewaretoken": token}
    return session.post(page.url, data=form)


@pytest.mark.parametrize("path", ["/viewer/", "/viewer/viewer?StudyInstanceUIDs=1.2", "/viewer/manifest.json"])
def test_who_is_not_signed_in_is_asked_to(node: Node, path: str) -> None:
    answer = requests.get(url(node, path), allow_redirects=False)
    assert answer.status_code == 302
    assert "next=/viewer/" in answer.headers["Location"]


def test_a_place_within_the_viewer_is_its_page(node: Node, session: requests.Session) -> None:
    for path in (
        "/viewer",
        "/viewer/",
        "/viewer/index.html",
        "/viewer/viewer?StudyInstanceUIDs=1.2.3",
        "/viewer/a/b.c",
    ):
        answer = session.get(url(node, f"/viewer{path}"))
        assert (answer.status_code, answer.content) == (200, PAGE)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("name", "media_type", "kept"),
    [
        ("app.bundle.0123456789abcdef.js", "text/javascript; charset=utf-8", True),
        ("0123456789abcdef.wasm", "application/wasm", True),
        ("manifest.json", "application/json", False),
        ("assets/mark.svg", "image/svg+xml", False),
        ("app-config.js", "text/javascript; charset=utf-8", False),
    ],
)
def test_a_file_has_its_type_and_is_kept_by_the_browser(
    node: Node, session: requests.Session, name: str, media_type: str, kept: bool
) -> None:
    answer = session.get(url(node, f"/viewer/{name}"))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == media_type
    assert ("immutable" in answer.headers["Cache-Control"]) is kept
    again = session.get(url(node, f"/viewer/{name}"), headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = session.head(url(node, f"/viewer/{name}"))
    assert (head.status_code, head.content) == (200, b"")


def test_what_was_compressed_beforehand_travels_so(node: Node, session: requests.Session) -> None:
    script = url(node, "/viewer/app.bundle.0123456789abcdef.js")
    packed = session.get(script, headers={"Accept-Encoding": "gzip, br"})
    plain = session.get(script, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content == SCRIPT


def test_the_policy_lets_nothing_in_from_elsewhere(node: Node, session: requests.Session) -> None:
    answer = session.get(url(node, "/viewer/"))
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert all("http" not in sources and "*" not in sources for sources in policy.values())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kept = session.get(url(node, "/viewer/"), headers={"If-None-Match": answer.headers["ETag"]})
    assert kept.status_code == 304
    assert kept.headers["Content-Security-Policy"] == answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("way", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "assets/../../secret.txt"])
def test_no_way_leads_out_of_its_folder(node: Node, session: requests.Session, way: str) -> None:
    request = requests.Request("GET", url(node, "/viewer/")).prepare()
    request.url = url(node, f"/viewer/{way}")  # as it stands, not made shorter
    request.headers["Cookie"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)
    answer = session.send(request, allow_redirects=False)
    assert b"secret" not in answer.content


def test_other_methods_are_refused(node: Node, session: requests.Session) -> None:
    token = str(session.cookies["csrftoken"])
    assert session.post(url(node, "/viewer/"), headers={"X-CSRFToken": token}).status_code == 405


def test_without_the_viewer_the_page_says_how_to_add_it_and_then_it_is_there(tmp_path: Path) -> None:
    with Node(tmp_path, PACS_VIEWER=str(tmp_path / "viewers")) as node, requests.Session() as session:
        node.manage("prepare")
        node.start("web")
        missing = signed_in(session, node)
        assert missing.status_code == 503
        assert "script/viewer" in missing.text
        assert "apt-get install npm" in missing.text
        (tmp_path / "viewers").symlink_to(viewers())
        assert session.get(url(node, "/viewer/")).status_code == 200
        config = session.get(url(node, "/viewer/app-config.js")).text
        assert "/dicomweb" in config
        assert "https://" not in config
