"""The quick look, as somebody with a browser, a mouse and a keyboard sees it."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Window
from tests.console import files
from tests.node import Node, wait_for

pytestmark = pytest.mark.live

STACK, HOSTILE = "1.2.3.1", "1.2.3.666"
SLICES = 12
FILES = {"CT": files.CT, "MR": files.MR}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("quick look")
    (folder / "files").mkdir()
    files.stack(folder / "files", STACK, SLICES)
    files.document(folder / "files" / "document.dcm", STACK)
    files.hostile(folder / "files" / "hostile.dcm", HOSTILE)
    for path in (files.ULTRASOUND, files.REPORT, files.UNDECODABLE, files.CT, files.MR):
        shutil.copy(path, folder / "files")
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(folder / "files"))
        yield running.start("web")


@pytest.fixture
def stack(page: Page) -> Page:
    page.goto(f"/quick-look/{STACK}/")
    return shown(page, 1)


def shown(page: Page, number: int) -> Page:
    """Waits until the slice of this number is what is drawn."""
    expect(page.locator("main")).to_have_attribute("data-shown", re.compile(rf"\.{number}/1$"))
    drawn(page)
    return page


def drawn(page: Page) -> None:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def study_of(path: Any) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def brightness(page: Page, x: float = 0.5, y: float = 0.75) -> int:
    """Of a point of the stage, as shares of its width and height."""
    drawn(page)
    return int(
        page.evaluate(
            """([x, y]) => {
                const canvas = document.querySelector("canvas");
                const place = [Math.floor(canvas.width * x), Math.floor(canvas.height * y), 1, 1];
                return canvas.getContext("2d").getImageData(...place).data[0];
            }""",
            [x, y],
        )
    )


def box(page: Page) -> tuple[float, float]:
    """The middle of the stage."""
    found = page.locator("canvas").bounding_box()
    assert found is not None
    return found["x"] + found["width"] / 2, found["y"] + found["height"] / 2


def test_the_first_image_of_the_first_series_with_images_comes_by_itself(stack: Page) -> None:
    expect(stack).to_have_url(re.compile(rf"/quick-look/{STACK}/{STACK}\.1/#{STACK}\.1\.1$"))
    expect(stack.locator(".strip a")).to_have_count(2)
    expect(stack.get_by_text("Image 1 / 12")).to_be_visible()
    expect(stack.get_by_text("Stack, Anna").first).to_be_visible()
    # As its window says, from -1000 to 1000: the first slice has -980.
    becomes(stack, pytest.approx(3, abs=2))


def test_wheel_keys_and_slider_go_through_the_stack(stack: Page) -> None:
    stack.mouse.move(*box(stack))
    stack.mouse.wheel(0, 100)
    shown(stack, 2)
    for key, number in (("ArrowDown", 3), ("ArrowUp", 2), ("End", 12), ("Home", 1), ("PageDown", 11), ("PageUp", 1)):
        stack.keyboard.press(key)
        shown(stack, number)
    stack.get_by_role("slider", name="Image", exact=True).fill("7")
    shown(stack, 7)
    expect(stack).to_have_url(re.compile(r"\.7$"))
    stack.reload()
    shown(stack, 7)


def test_each_slice_is_drawn_as_its_values_say(stack: Page) -> None:
    for number in range(1, 6):
        shown(stack, number)
        becomes(stack, pytest.approx(255 * 20 * number / 2000, abs=3))
        stack.keyboard.press("ArrowDown")


def test_presets_and_dragging_change_the_window(stack: Page) -> None:
    before = brightness(stack)
    stack.get_by_label("Window", exact=True).select_option("Lung")
    expect(stack.get_by_text("C / W -600 / 1500")).to_be_visible()
    wait_for(lambda: brightness(stack) > before + 40, what="the window of the preset")
    stack.keyboard.press("1")
    becomes(stack, before)
    x, y = box(stack)
    stack.mouse.move(x, y)
    stack.mouse.down()
    stack.mouse.move(x, y - 150, steps=4)
    wait_for(lambda: brightness(stack) > before + 40, what="another window while dragging")
    stack.mouse.up()
    assert brightness(stack) > before + 40
    stack.keyboard.press("0")
    becomes(stack, before)
    stack.keyboard.press("i")
    becomes(stack, 255 - before)


def becomes(page: Page, expected: Any) -> None:
    """A point of the stage, once it is drawn, has this brightness."""
    wait_for(lambda: brightness(page) == expected, what=f"brightness {expected}")


def test_zoom_pan_turn_and_mirror(stack: Page) -> None:
    zoom = stack.locator("[data-overlay=view]")
    fitting = zoom.inner_text().splitlines()[-1]
    stack.keyboard.press("a")
    expect(zoom).to_contain_text("Zoom 100 %")
    stack.keyboard.press("+")
    expect(zoom).to_contain_text("Zoom 125 %")
    stack.mouse.move(*box(stack))
    stack.keyboard.down("Control")
    stack.mouse.wheel(0, -120)
    stack.keyboard.up("Control")
    expect(zoom).not_to_contain_text("Zoom 125 %")
    shown(stack, 1)
    stack.keyboard.press("f")
    expect(zoom).to_contain_text(fitting)
    right, left = stack.locator("[data-overlay=right]"), stack.locator("[data-overlay=left]")
    expect(right).to_have_text("L")
    stack.keyboard.press("m")
    expect(right).to_have_text("R")
    stack.keyboard.press("r")
    expect(right).to_have_text("A")
    expect(left).to_have_text("P")
    stack.keyboard.press("0")
    wait_for(lambda: brightness(stack, 0.65, 0.25) > 200, what="the bone")
    bone = brightness(stack, 0.65, 0.25)
    stack.keyboard.press("p")
    x, y = box(stack)
    stack.mouse.move(x, y)
    stack.mouse.down()
    stack.mouse.move(x, y + 300, steps=3)
    stack.mouse.up()
    wait_for(lambda: brightness(stack, 0.65, 0.25) != bone, what="the image elsewhere")


def test_the_value_below_the_pointer_is_told(stack: Page) -> None:
    stack.mouse.move(*box(stack))
    stack.mouse.move(*[place + 1 for place in box(stack)])
    expect(stack.locator("[data-overlay=pointer]")).to_have_text(re.compile(r"^32, 32: -980 HU$"))


def test_elements_are_searched_by_tag_keyword_and_value(stack: Page) -> None:
    stack.keyboard.press("/")
    search = stack.get_by_label("Search the elements")
    expect(search).to_be_focused()
    rows = stack.locator(".tags tbody tr")
    for text, found in (
        ("00100010", "PatientName"),
        ("rescaleint ds", "RescaleIntercept"),
        ("stack, anna", "PatientName"),
    ):
        search.fill(text)
        expect(rows.first).to_contain_text(found)
        expect(rows).to_have_count(1)
    search.fill("")
    assert rows.count() > 100
    search.press("Escape")
    stack.keyboard.press("t")
    expect(stack.locator(".tags")).to_be_hidden()


def test_a_clip_plays_at_the_rate_of_its_data_and_stops(page: Page) -> None:
    page.goto(f"/quick-look/{study_of(files.ULTRASOUND)}/")
    expect(page.get_by_text("Frame 1 / 30")).to_be_visible()
    expect(page.get_by_text("30 / s")).to_be_visible()
    first = page.locator("main").get_attribute("data-shown")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("main")).not_to_have_attribute("data-shown", first or "")
    expect(page.get_by_text(re.compile(r"Frame 2\d / 30"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"Frame [1-9] / 30"))).to_be_visible()  # from the start again
    page.keyboard.press("Space")
    wait_for(lambda: stands_still(page), what="the end of the movement")
    page.get_by_label("Images a second").fill("5")
    expect(page.get_by_text("5 / s", exact=True)).to_be_visible()


def stands_still(page: Page) -> bool:
    """For as long as a dozen images would take."""
    still = page.locator("main").get_attribute("data-shown")
    page.wait_for_timeout(400)
    return page.locator("main").get_attribute("data-shown") == still


def test_documents_and_reports_are_shown_as_what_they_are(stack: Page) -> None:
    stack.keyboard.press("]")
    frame = stack.locator("iframe")
    expect(frame).to_have_attribute("src", re.compile(r"/rendered\?accept=application/pdf$"))
    stack.goto(f"/quick-look/{study_of(files.REPORT)}/")
    expect(stack.locator(".report")).to_contain_text("Diameter")
    expect(stack.locator(".report")).to_contain_text("3 cm")


def test_what_cannot_be_decoded_says_why(window: Window) -> None:
    page = window.page
    page.goto(f"/quick-look/{study_of(files.UNDECODABLE)}/")
    expect(page.get_by_role("alert")).to_contain_text("This cannot be shown")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert window.refusals
    window.forget()


def test_who_is_signed_out_meanwhile_is_told(window: Window) -> None:
    page = window.page
    page.goto(f"/quick-look/{STACK}/")
    shown(page, 1)
    page.wait_for_load_state("networkidle")
    window.context.clear_cookies()
    page.keyboard.press("]")
    expect(page.get_by_role("alert")).to_contain_text("You are signed out")
    expect(page.get_by_role("link", name="Sign in again")).to_be_visible()
    window.forget()


WINDOWED = """async ([address, window]) => {
    const part = (name) => import(`/static/quick-look/${name}.js`);
    const [{ describe }, { paint, valuesOf }] = [await part("image"), await part("pixels")];
    const headers = (Accept) => ({ headers: { Accept } });
    const [dataset] = await (await fetch(`${address}/metadata`, headers("application/dicom+json"))).json();
    const image = describe(dataset, 1);
    if (!image.values) throw new Error("not windowed here");
    const raw = await (await fetch(`${address}/frames/1`, headers("application/octet-stream"))).arrayBuffer();
    const canvas = document.createElement("canvas");
    paint(canvas, valuesOf(raw, image), window, false);
    const asked = window ? `?window=${window.center},${window.width},${window.function}` : "";
    const answer = await fetch(`${address}/frames/1/rendered${asked}`, headers("image/png"));
    const theirs = document.createElement("canvas");
    [theirs.width, theirs.height] = [canvas.width, canvas.height];
    theirs.getContext("2d").drawImage(await createImageBitmap(await answer.blob()), 0, 0);
    const [one, other] = [canvas, theirs].map((c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data);
    return Math.max(...one.map((grey, index) => Math.abs(grey - other[index])));
}"""


WINDOWS: list[dict[str, Any] | None] = [
    None,
    {"center": 40, "width": 400, "function": "linear"},
    {"center": 500, "width": 1000, "function": "linear-exact"},
    {"center": 300, "width": 700, "function": "sigmoid"},
    {"center": 0, "width": 1, "function": "linear"},
]


@pytest.mark.parametrize("of", [f"{STACK}/series/{STACK}.1/instances/{STACK}.1.3", "CT", "MR"])
def test_a_window_shows_what_the_server_renders(page: Page, of: str) -> None:
    """Pixel by pixel, but for how halves are rounded."""
    if path := FILES.get(of):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        of = f"{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    page.goto("/studies/")
    for asked in WINDOWS:
        assert page.evaluate(WINDOWED, [f"/dicomweb/studies/{of}", asked]) <= 1, asked


def test_frames_of_enhanced_objects_are_described_by_their_groups(page: Page) -> None:
    page.goto("/studies/")
    described = page.evaluate(
        """async () => {
            const { describe, imagesOf } = await import("/static/quick-look/image.js");
            const [DS, US] = [(...Value) => ({ vr: "DS", Value }), (...Value) => ({ vr: "US", Value })];
            const group = (center) => ({ "00289132": { Value: [{ "00281050": DS(center), "00281051": DS(100) }] } });
            const dataset = {
                "00280010": US(4), "00280011": US(4), "00280100": US(16), "00280101": US(12),
                "00280004": { Value: ["MONOCHROME2"] },
                "52009229": { Value: [{ "00289145": { Value: [{ "00281052": DS(-7), "00281053": DS(2) }] } }] },
                "52009230": { Value: [group(10), group(20)] },
            };
            const counts = [-1, 2 ** 31, "abc", null, 0, 2].map((count) => {
                const found = { "00080018": { Value: ["1.2"] }, "00280010": US(4), "00280011": US(4) };
                return imagesOf("1", [{ ...found, "00280008": { Value: [count] } }]).length;
            });
            const second = describe(dataset, 2);
            return [second.windows[0].center, second.intercept, second.slope, second.values, counts];
        }"""
    )
    assert described == [20, -7, 2, True, [1, 100_000, 1, 1, 1, 2]]


def test_the_keys_are_told(stack: Page) -> None:
    stack.keyboard.press("?")
    expect(stack.get_by_role("dialog")).to_contain_text("Next image")
    stack.keyboard.press("Escape")
    expect(stack.get_by_role("dialog")).to_be_hidden()
    stack.keyboard.press("ArrowDown")
    shown(stack, 2)


def test_text_of_patients_is_text(page: Page) -> None:
    """What `window` asserts at the end would tell of a dialog, or of a script the policy had to stop."""
    page.goto(f"/quick-look/{HOSTILE}/")
    expect(page.locator("main")).to_have_attribute("data-shown", re.compile(HOSTILE))
    page.keyboard.press("t")
    expect(page.locator(".tags tbody tr").first).to_be_visible()
    for place in (".patient", ".strip", "[data-overlay=series]", "[data-overlay=study]", ".tags tbody"):
        expect(page.locator(place)).to_contain_text(re.compile("<(img|script)"))
    assert page.locator("body :is(img[src=x], script, b, i, u, s)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_the_right_to_see_a_study_there_is_none(node: Node, browser: Browser) -> None:
    node.shell(
        "from django.contrib.auth.models import User; User.objects.create_user('guest', password='correct-horse-2')"
    )
    with Window(browser, node) as window:
        page = window.page
        page.goto(f"/quick-look/{STACK}/")
        page.get_by_label("User name").fill("guest")
        page.get_by_label("Password").fill("correct-horse-2")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading")).to_have_text("There is no such study")
        page.goto("/studies/")
        expect(page.get_by_text("Your account may not look at studies")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 1024, 768, 390])
def test_nothing_scrolls_and_everything_has_a_name(browser: Browser, node: Node, width: int) -> None:
    with Window(browser, node, viewport={"width": width, "height": 768}) as window:
        page = window.sign_in().page
        page.goto(f"/quick-look/{STACK}/")
        shown(page, 1)
        window.keep(f"quick look {width}")
        assert page.evaluate(
            "['html', '.bar', '.play'].map((each) => document.querySelector(each))"
            ".every((e) => e.scrollWidth <= e.clientWidth)"
        )
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, select, a')]"
            ".filter((e) => !(e.ariaLabel || e.labels?.length || e.textContent.trim())).length"
        )
        assert nameless == 0
