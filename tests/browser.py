"""Chromium looking at our pages, and what it asked for and complained of meanwhile."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy
from PIL import Image, ImageStat
from playwright.sync_api import (
    APIRequestContext,
    Browser,
    ConsoleMessage,
    Cookie,
    Dialog,
    HttpCredentials,
    Request,
    Response,
    WebError,
    expect,
    sync_playwright,
)

from tests.node import Node
from tests.peers import peer

# The server by a name: without HTTPS no secure context, other than by its loopback address.
NAMED = "pacs.test"
_PATIENCE = 60_000  # milliseconds that a busy machine may take for what a page shows
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What wants to go elsewhere fails at once, and is seen.
    f"--host-resolver-rules=MAP {NAMED} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# WebGL 2 without a graphics card takes a third more processor time for any page.
WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WITHOUT_WEBGL = ["--disable-gpu"]


_signed_in: dict[tuple[str, str], list[Cookie]] = {}  # by origin


@contextlib.contextmanager
def chromium(*, webgl: bool = False) -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=peer("chromium"), args=ARGUMENTS + (WEBGL if webgl else WITHOUT_WEBGL)
        )
        try:
            yield made
        finally:
            made.close()


class Window:
    """One window with cookies of its own. `requests`: every address asked for; `complaints`: errors of the console and
    of scripts; `refusals`: answers from 400 up."""

    def __init__(self, browser: Browser, node: Node, host: str = "", **options: Any) -> None:
        self.node = node
        self._browser = browser
        self.origin = f"http://{host or node.host}:{node.http_port}"
        self.context = browser.new_context(
            base_url=self.origin, **{"viewport": {"width": 1440, "height": 900}} | options
        )
        self.context.set_default_timeout(_PATIENCE)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.refusals: list[tuple[int, str]] = []
        self.context.on("request", self._asked)
        self.context.on("requestfailed", self._failed)
        self.context.on("response", self._answered)
        self.context.on("console", self._said)
        self.context.on("weberror", self._raised)
        self.context.on("dialog", self._asked_aloud)
        self.page = self.context.new_page()

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400:
            self.refusals.append((answer.status, answer.url))

    def _failed(self, request: Request) -> None:
        # A page that is left, or a picture that is scrolled past, takes back what it asked for.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.failure}: {request.url}")

    def _said(self, line: ConsoleMessage) -> None:
        if line.type == "error":
            self.complaints.append(line.text)

    def _raised(self, error: WebError) -> None:
        self.complaints.append(str(error.error))

    def _asked_aloud(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def sign_in(self, user: str = "admin", *, anew: bool = False) -> "Window":
        """In the session that all windows of this user at this node share, or in one of its own. All users have the
        administrator's password."""
        known = _signed_in.get((self.origin, user))
        if known and not anew:
            self.context.add_cookies(known)  # type: ignore[arg-type] # what `cookies` gives
            return self
        self.context.clear_cookies()  # who signs in again ends the session that he had
        self.page.goto("/sign-in/?next=/health/live")
        self.page.fill("input[name=username]", user)
        self.page.fill("input[name=password]", self.node.admin_password)
        self.page.click("[type=submit]")
        self.page.wait_for_url("**/health/live")
        self.forget()
        if not anew:
            _signed_in[self.origin, user] = self.context.cookies()
        return self

    @contextlib.contextmanager
    def rest(self) -> Iterator[APIRequestContext]:
        """Another client of the same server: the administrator, over REST."""
        credentials: HttpCredentials = {"username": "admin", "password": self.node.admin_password, "send": "always"}
        context = self._browser.new_context(base_url=self.origin, http_credentials=credentials)
        try:
            yield context.request
        finally:
            context.close()

    def forget(self) -> None:
        """What was seen until now."""
        self.requests.clear()
        self.complaints.clear()
        self.refusals.clear()

    def elsewhere(self) -> list[str]:
        """Addresses outside of our origin that were asked for."""
        ours = ("data", "blob", "about", "chrome", "chrome-extension")  # the last two: Chromium's own viewer of PDF
        return [
            url for url in self.requests if urlsplit(url).scheme not in ours and not url.startswith(f"{self.origin}/")
        ]

    def keep(self, name: str) -> None:
        """A picture of the page for whoever wants to look: in the folder PACS_SCREENSHOTS names, if it does."""
        if folder := os.environ.get("PACS_SCREENSHOTS"):
            self.page.screenshot(path=f"{folder}/{name}.png")


def spread(png: bytes) -> float:
    """Standard deviation of a picture's grey values, 0 to 127: near 0 is a blank one."""
    with Image.open(io.BytesIO(png)) as picture:
        return float(ImageStat.Stat(picture.convert("L")).stddev[0])


def coloured(png: bytes) -> float:
    """Which part of a picture, in per cent, is of a colour that nobody takes for grey."""
    with Image.open(io.BytesIO(png)) as picture:
        pixels = numpy.asarray(picture.convert("RGB"), dtype=int)
    return float(100 * (numpy.ptp(pixels, axis=2) > 60).mean())
