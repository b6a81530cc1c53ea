"""OHIF as Chromium shows it, from our own server alone."""

import re
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Locator, expect

from tests.browser import NAMED, Window, chromium, coloured, spread
from tests.node import Node, wait_for
from tests.viewer import studies
from tests.viewer.installed import viewers

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


CANVAS = "canvas.cornerstone-canvas"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(webgl=True) as made:
        yield made


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("ohif")
    with Node(folder, PACS_VIEWER=str(viewers())) as running:
        running.manage("prepare")
        running.manage("import", str(studies.write(folder / "files")))
        yield running.start("indexer", "web")


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


def place(study: str) -> str:
    return f"/viewer/viewer?StudyInstanceUIDs={study}"


def overlay(window: Window, side: str = "right", number: int = 0) -> Locator:
    """Text in a lower corner of a viewport."""
    return window.page.locator(f"[data-cy=viewport-overlay-bottom-{side}]").nth(number)


def drawn(window: Window, number: int = 0) -> bytes:
    """A viewport as it is seen, once it shows something."""
    canvas = window.page.locator(CANVAS).nth(number)
    expect(canvas).to_be_visible()

    def picture() -> bytes:
        shot = canvas.screenshot()
        return shot if spread(shot) > 12 else b""

    return bytes(wait_for(picture, timeout=60, every=0.3, what=f"viewport {number} shows something"))


def shown(window: Window, series: str) -> None:
    """Opens a series by its description, from the list at the left."""
    drawn(window)
    window.page.get_by_text(series).first.dblclick()
    expect(window.page.locator("[data-cy=viewport-overlay-top-left]").first).to_contain_text(series)


def test_the_list_has_the_studies_and_searches_them(window: Window) -> None:
    window.page.goto("/viewer/")
    expect(window.page.get_by_text("Müller, Jörg")).to_have_count(2)
    expect(window.page.get_by_text("1-5 of 5")).to_be_visible()
    window.keep("list")
    window.page.locator("input").first.fill("patient")
    expect(window.page.get_by_text("Müller, Jörg")).to_have_count(0)
    expect(window.page.get_by_text("1-3 of 3")).to_be_visible()


def test_a_stack_is_scrolled_and_windowed(window: Window) -> None:
    window.page.goto(place(studies.STACK))
    expect(overlay(window)).to_contain_text("(1/48)")
    first = drawn(window)
    window.page.locator(CANVAS).hover()
    for _ in range(studies.SLICES // 2 - 1):
        window.page.mouse.wheel(0, 100)
    expect(overlay(window)).to_contain_text("(24/48)")
    wait_for(lambda: spread(drawn(window)) > spread(first) + 5, timeout=60, every=0.3, what="the ball is seen")
    window.keep("stack")
    expect(overlay(window, "left")).to_contain_text("W:400")
    window.page.mouse.down()
    window.page.mouse.move(900, 300, steps=5)
    window.page.mouse.up()
    expect(overlay(window, "left")).not_to_contain_text("W:400")
    window.keep("windowed")


@pytest.mark.parametrize(
    ("page", "link"), [("/admin/storage/study/", "View"), (f"/studies/{studies.STACK}/", "OHIF viewer")]
)
def test_the_pages_of_the_archive_lead_to_it_and_back(window: Window, page: str, link: str) -> None:
    window.page.goto(page)
    window.page.get_by_role("link", name=link, exact=True).first.click()
    expect(window.page).to_have_url(re.compile(r"/viewer/viewer\?StudyInstanceUIDs=[0-9.]+$"))
    assert drawn(window)
    window.page.get_by_role("link", name="PACS").click()
    expect(window.page).to_have_url(re.compile(r"/studies/$"))


def test_what_is_measured_is_stored_as_a_report(window: Window) -> None:
    window.page.goto(place(studies.STACK))
    drawn(window)
    window.page.locator("[data-cy=MeasurementTools-split-button-primary]").click()
    box = window.page.locator(CANVAS).bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x + 100, y + 50, steps=5)
    window.page.mouse.up()
    window.page.get_by_text("Yes", exact=True).click()  # it shall be tracked
    window.page.locator("[data-cy=trackedMeasurements-btn]").click()
    window.page.get_by_text("Create SR").first.click()
    with window.page.expect_response(lambda answer: answer.request.method == "POST") as stored:
        window.page.get_by_role("button", name="Save").click()
    assert stored.value.status == 200
    (report,) = stored.value.json()["00081199"]["Value"]
    assert report["00081150"]["Value"] == ["1.2.840.10008.5.1.4.1.1.88.22"]  # Enhanced SR
    expect(window.page.get_by_text("Measurements saved successfully")).to_be_visible()
    # The others find the study as it was.
    auth = ("admin", window.node.admin_password)
    assert requests.delete(window.origin + report["00081190"]["Value"][0], auth=auth).status_code == 204


def test_a_stack_is_cut_in_three_planes(window: Window) -> None:
    window.page.goto(place(studies.STACK))
    drawn(window)
    window.page.locator("[data-cy=Layout]").click()
    window.page.get_by_text("MPR", exact=True).click()
    expect(window.page.locator(CANVAS)).to_have_count(3)
    for plane, shown in enumerate(("(25/48)", "65/128", "65/128")):
        expect(overlay(window, number=plane)).to_contain_text(shown)
    planes = [drawn(window, number) for number in range(3)]
    assert len(set(planes)) == 3
    window.keep("planes")


def test_a_segmentation_lies_over_its_images(window: Window) -> None:
    window.page.goto(place(studies.STACK))
    before = coloured(drawn(window))
    window.page.get_by_text("Ball", exact=True).dblclick()
    wait_for(lambda: coloured(drawn(window)) > before + 1, timeout=60, every=0.3, what="the segment is red")
    window.keep("segmentation")


def test_an_ultrasound_moves(window: Window) -> None:
    window.page.goto(place(studies.ULTRASOUND))
    expect(overlay(window)).to_contain_text("(1/30)")
    first = drawn(window)
    window.keep("ultrasound")
    window.page.locator("[data-cy=cine-player-play-pause]").click()
    expect(overlay(window)).not_to_contain_text("(1/30)")
    wait_for(lambda: drawn(window) != first, timeout=60, every=0.3, what="another frame")


@pytest.mark.parametrize(
    ("name", "least"), [("examples_rgb_color.dcm", 3), ("examples_palette.dcm", 0.3), ("SC_rgb_jpeg_dcmtk.dcm", 30)]
)
def test_colours_are_seen(window: Window, name: str, least: float) -> None:
    window.page.goto(place(studies.COLOUR))
    shown(window, name)
    wait_for(lambda: coloured(drawn(window)) > least, timeout=60, every=0.3, what="colours")
    window.keep(name)


@pytest.mark.parametrize(
    "name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm", "JPGExtended.dcm"]
)
def test_what_is_compressed_is_decoded_in_the_browser(window: Window, name: str) -> None:
    window.page.goto(place(studies.COMPRESSED))
    shown(window, name)
    drawn(window)
    window.keep(name)


def test_a_document_is_read(window: Window) -> None:
    window.page.goto(place(studies.DOCUMENT))
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
        window.page.wait_for_url("**/sign-in/**")
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
        assert window.complaints == []
