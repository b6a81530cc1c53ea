"""Other archives as somebody with a browser sees them: asked, and what they have brought here."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from apps.jobs.models import Job
from apps.network.models import Peer
from tests.browser import Window
from tests.console import files
from tests.node import Node, free_port
from tests.remotes import Remote, dcmqrscp, orthanc

pytestmark = pytest.mark.live

PEERS = """
from apps.network.models import Peer
for name, title, port in {rows!r}:
    Peer.objects.create(name=name, ae_title=title, host="127.0.0.1", port=port)
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Remote, Remote]]:
    folder = tmp_path_factory.mktemp("archives")
    paths = []
    for number in range(1, 5):
        for image in (1, 2, 3):
            paths.append(folder / f"{number}.{image}.dcm")
            files.write(
                paths[-1],
                uid=f"1.2.3.{number}",
                number=image,
                PatientName=f"Doe^Jane^{number}",
                PatientID=f"P{number}",
                AccessionNumber=f"A{number}",
                StudyDate=f"2024010{number}",
                StudyDescription=f"Chest {number}",
            )
    hostile = folder / "hostile.dcm"
    files.hostile(hostile, "1.2.3.666")
    with orthanc(folder) as one, dcmqrscp(folder) as other:
        one.store(*paths[:9], hostile)
        other.store(*paths[6:])
        yield one, other


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, archives: tuple[Remote, Remote]) -> Iterator[Node]:
    one, other = archives
    rows = [
        ("Main archive", one.ae_title, one.port),
        ("Mirror", other.ae_title, other.port),
        ("Old archive", "GONE", free_port()),
    ]
    with Node(tmp_path_factory.mktemp("remote")) as running:
        running.manage("prepare")
        running.shell(PEERS.format(rows=rows))
        yield running.start()


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    with Window(browser, node) as window:
        window.sign_in().page.goto("/remote/")
        yield window
        assert not window.elsewhere()
        assert not window.complaints
        assert not window.refusals


def search(page: Page, name: str = "Doe", without: str = "") -> None:
    page.get_by_label("Patient name").fill(name)
    if without:
        page.get_by_label(without).uncheck()
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".told")).to_be_visible()


def test_the_list_says_of_each_study_who_has_it_and_who_did_not_answer(page: Page, window: Window) -> None:
    expect(page.get_by_text("Whom are you looking for?")).to_be_visible()
    search(page)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("Doe, Jane 4")
    holders = [" ".join(row.inner_text().split()) for row in page.locator("td.holders").all()]
    assert holders == ["Mirror", "Main archive Mirror", "Main archive", "Main archive"]
    expect(page.locator(".told")).to_contain_text("Old archive: 0 studies · Cannot connect to 127.0.0.1")
    window.keep("remote")
    page.reload()
    expect(rows).to_have_count(4)
    assert page.get_by_label("Patient name").input_value() == "Doe"


def test_only_who_is_chosen_is_asked(page: Page) -> None:
    search(page, without="Old archive")
    expect(page.locator(".told li")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"peer=Main\+archive&peer=Mirror$"))
    page.reload()
    expect(page.get_by_label("Old archive")).not_to_be_checked()


def test_a_study_is_retrieved_with_a_click_and_opened_when_it_is_here(page: Page, window: Window) -> None:
    search(page, "Doe^Jane^1", without="Old archive")
    expect(page.locator("td.here")).to_have_text("No")
    page.get_by_role("button", name="Retrieve: Doe, Jane 1").click()
    expect(page.get_by_role("link", name="Retrieved")).to_be_visible()
    window.keep("remote-retrieved")
    page.get_by_role("link", name="Open").click()
    expect(page.get_by_role("heading", name="Doe, Jane 1")).to_be_visible()
    expect(page.get_by_text("3 images")).to_be_visible()
    page.go_back()
    page.goto("/remote/?name=Doe%5EJane%5E1&peer=Main+archive")
    expect(page.locator("td.here")).to_have_text("All")


def test_of_several_who_have_it_one_is_chosen(page: Page, node: Node) -> None:
    search(page, "Doe^Jane^3", without="Old archive")
    page.get_by_label("From", exact=True).select_option("Mirror")
    page.get_by_role("button", name="Retrieve: Doe, Jane 3").click()
    expect(page.get_by_role("link", name="Retrieved")).to_be_visible()
    assert node.sql("SELECT peer FROM jobs_job WHERE kind = 'retrieve' ORDER BY id DESC")[0] == ("Mirror",)


def test_hostile_text_of_others_is_text(page: Page) -> None:
    search(page, "*", without="Mirror")
    expect(page.locator("tbody tr")).not_to_have_count(0)
    assert page.locator("tbody img").count() == 0


@pytest.mark.parametrize("width", [1440, 1024, 768, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_never_scrolls_sideways(width: int, theme: str, browser: Browser, node: Node) -> None:
    with Window(browser, node, viewport={"width": width, "height": 900}, color_scheme=theme) as window:
        page = window.sign_in().page
        page.goto("/remote/?name=Doe&peer=Main+archive&peer=Mirror&peer=Old+archive")
        expect(page.locator("tbody tr")).to_have_count(4)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        window.keep(f"remote-{width}-{theme}")


@pytest.mark.django_db
def test_without_peers_the_page_says_what_to_do(admin_client: Client) -> None:
    assert b"No other archive is known" in admin_client.get("/remote/").content


@pytest.mark.django_db
def test_who_may_not_search_or_retrieve_sees_no_button(client: Client) -> None:
    Peer.objects.create(name="other", ae_title="OTHER", host="127.0.0.1", port=free_port())
    client.force_login(User.objects.create_user("nobody"))
    assert b"may not search other archives" in client.get("/remote/").content
    assert client.post("/remote/retrieve/", {"peer": "other", "study": "1.2"}).status_code == 403
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_what_cannot_be_asked_is_said_in_the_page(admin_client: Client) -> None:
    Peer.objects.create(name="other", ae_title="OTHER", host="127.0.0.1", port=free_port())
    assert b"That cannot be asked" in admin_client.get("/remote/?peer=other&since=yesterday").content
    assert b"No peers that can be called: nobody" in admin_client.get("/remote/?peer=nobody").content
    assert admin_client.post("/remote/retrieve/", {"peer": "other", "study": "x"}).status_code == 400
    made = admin_client.post("/remote/retrieve/", {"peer": "other", "study": "1.2"})
    assert made.status_code == 302
    assert made["Location"] == f"/jobs/{Job.objects.get().pk}/"
