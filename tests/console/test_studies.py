"""The list of studies and a study's page, as somebody with a browser sees them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Window
from tests.console import files
from tests.node import Node

pytestmark = pytest.mark.live

HOSTILE = "1.2.3.666"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "files").mkdir()
    for number in range(60):
        files.write(
            folder / "files" / f"{number}.dcm",
            uid=f"1.2.3.{number}",
            PatientName=f"Müller^Anna^{number:02}" if number % 2 else f"Doe^John^{number:02}",
            PatientID=f"P{number:02}",
            AccessionNumber=f"A{number:02}",
            StudyDate=f"2024{number // 28 + 1:02}{number % 28 + 1:02}",
            Modality="MR" if number == 7 else "CT",
            StudyDescription=f"Study {number}",
        )
    files.write(folder / "files" / "second.dcm", uid="1.2.3.7", SeriesInstanceUID="1.2.3.7.2", PatientID="P07")
    files.hostile(folder / "files" / "hostile.dcm", HOSTILE)
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(folder / "files"))
        yield running.start("web")


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    with Window(browser, node) as window:
        window.sign_in().page.goto("/")
        yield window
        assert not window.elsewhere()
        assert not unexpected(window)


def unexpected(window: Window) -> list[object]:
    """What went wrong, but for pictures of what has none."""
    refused = [refusal for refusal in window.refusals if not refusal[1].endswith("/thumbnail")]
    return refused + [text for text in window.complaints if "the server responded with" not in text]


def names(page: Page) -> list[str]:
    return [name.strip() for name in page.locator("td.name").all_inner_texts()]


def test_who_is_not_signed_in_sees_the_sign_in_alone(browser: Browser, node: Node) -> None:
    page = browser.new_page(base_url=f"http://{node.host}:{node.http_port}")
    for address in ("/", "/studies/", "/studies/1.2.3.4/", "/quick-look/1.2.3.4/", "/search/?q=Doe"):
        page.goto(address)
        assert "/sign-in/" in page.url
        assert "Doe" not in page.locator("main").inner_text()
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.close()


def test_signing_out_ends_it(browser: Browser, node: Node) -> None:
    with Window(browser, node) as window:
        page = window.sign_in(anew=True).page
        page.goto("/")
        page.get_by_role("button", name="Sign out").click()
        page.goto("/studies/")
        assert "/sign-in/" in page.url
        assert not unexpected(window)


def test_the_list_answers_as_one_types_and_the_address_says_what_it_shows(page: Page) -> None:
    assert len(names(page)) == 50
    page.get_by_label("Patient name").press_sequentially("doe, john")
    expect(page).to_have_url(re.compile(r"/studies/\?name=doe%2C\+john$"))
    assert set(name[:9] for name in names(page)) == {"Doe, John"}
    page.reload()
    assert page.get_by_label("Patient name").input_value() == "doe, john"
    assert set(name[:9] for name in names(page)) == {"Doe, John"}


@pytest.mark.parametrize(
    ("label", "text", "found"),
    [
        ("Patient ID", "p07", []),
        ("Patient ID", "P07", ["Müller, Anna 07"]),
        ("Accession number", "A11", ["Müller, Anna 11"]),
        ("Patient name", "*anna^03", ["Müller, Anna 03"]),
        ("Study date from", "2024-03-04", ["Müller, Anna 59"]),
        ("Study date to", "2024-01-01", ["Doe, John 00"]),
    ],
)
def test_each_filter_narrows(page: Page, label: str, text: str, found: list[str]) -> None:
    page.get_by_label(label).fill(text)
    expect(page).to_have_url(re.compile(r"\?"))
    expect(page.locator("td.name")).to_have_count(len(found))
    assert names(page) == found
    if not found:
        expect(page.get_by_text("No study matches")).to_be_visible()


def test_the_modality_is_chosen(page: Page) -> None:
    page.get_by_label("Modality").select_option("MR")
    expect(page.locator("td.name")).to_have_text(["Müller, Anna 07"])


def test_columns_with_an_index_sort_both_ways(page: Page) -> None:
    page.get_by_role("link", name="Patient ID").click()
    expect(page.locator("th.id")).to_have_attribute("aria-sort", "ascending")
    ids = [text.strip() for text in page.locator("td.id").all_inner_texts()]
    assert ids == sorted(ids)
    page.get_by_role("link", name="Patient ID").click()
    expect(page.locator("th.id")).to_have_attribute("aria-sort", "descending")
    assert page.locator("td.id").nth(0).inner_text() == "P59"


def test_pages_follow_one_another_and_end(page: Page) -> None:
    first = names(page)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("td.name")).to_have_count(11)
    assert not set(first) & set(names(page))
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("link", name="Previous").click()
    expect(page.locator("td.name")).to_have_count(50)
    assert names(page) == first


def test_what_cannot_be_looked_for_is_said(page: Page) -> None:
    page.goto("/studies/?since=yesterday")
    expect(page.get_by_role("alert")).to_contain_text("not a date")


def test_the_slash_leads_to_the_search_and_the_search_to_the_study(page: Page) -> None:
    for text, address in (("P07", r"\?patient_id=P07$"), ("1.2.3.7", r"/studies/1\.2\.3\.7/$")):
        page.wait_for_load_state()
        page.keyboard.press("/")
        page.keyboard.type(text)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(address))


def test_a_row_opens_its_study_with_series_and_ways_to_look_at_it(page: Page) -> None:
    page.get_by_label("Patient ID").fill("P07")
    expect(page.locator("td.name")).to_have_count(1)
    page.locator("td.when").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Müller, Anna 07")
    expect(page.locator(".series li")).to_have_count(2)
    assert page.get_by_role("link", name="Quick look").get_attribute("href") == "/quick-look/1.2.3.7/"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes()[:2] == b"PK"


def test_light_and_dark_follow_the_system_until_one_is_chosen(browser: Browser, node: Node) -> None:
    with Window(browser, node, color_scheme="dark") as window:
        window.sign_in().page.goto("/")
        root = window.page.locator("html")
        expect(root).to_have_attribute("data-bs-theme", "dark")
        window.page.get_by_role("button", name="Light or dark").click()
        expect(root).to_have_attribute("data-bs-theme", "light")
        window.page.reload()
        expect(root).to_have_attribute("data-bs-theme", "light")
        assert not window.complaints


def test_text_of_patients_is_text(page: Page) -> None:
    """What `window` asserts at the end would tell of a dialog, or of a script the policy had to stop."""
    for address in ("/studies/", "/studies/?name=<img*", f"/studies/{HOSTILE}/"):
        page.goto(address)
        expect(page.locator("#content").get_by_text("<img src=x onerror=alert(1)>").first).to_be_attached()
        assert page.locator("#content img[src=x], #content script, #content b, #content i, #content u").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1440, 1024, 768, 400])
def test_nothing_scrolls_sideways(browser: Browser, node: Node, width: int) -> None:
    with Window(browser, node, viewport={"width": width, "height": 900}) as window:
        window.sign_in()
        for address in ("/studies/", f"/studies/{HOSTILE}/"):
            window.page.goto(address)
            assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert window.page.evaluate(
                "[...document.querySelectorAll('.table-responsive')].every(e => e.scrollWidth <= e.clientWidth)"
            )


def test_the_administration_and_the_description_of_the_interface_work_under_the_policy(page: Page) -> None:
    for address in (
        "/admin/",
        "/admin/network/peer/",
        "/admin/network/peer/add/",
        "/admin/storage/study/",
        "/api/docs/",
    ):
        assert page.goto(address) is not None


def test_an_unknown_study_says_so(page: Page, window: Window) -> None:
    for address in ("/studies/1.2.3.99999/", "/studies/nonsense/", "/quick-look/1.2.3.99999/", "/nowhere"):
        answer = page.goto(address)
        assert answer is not None and answer.status == 404
        expect(page.get_by_role("link", name="To the studies")).to_be_visible()
    window.forget()
