"""What all tests share."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, Page

from apps.storage.spool import _spools
from tests import flush
from tests.browser import Window, chromium
from tests.node import Node, drop_databases

# pynetdicom installs programs called like DCMTK's (findscu, storescp, ...); the tests mean DCMTK's.
_OURS = Path(sys.prefix, "bin")
os.environ["PATH"] = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != _OURS)

# In the background of a shell Ctrl-C is ignored, by what is started from here, too; some tests end programs by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--histories", type=int, default=30, help="How many random histories of an archive are reindexed.")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests around one server of their package follow one another, in whatever order: it is started once."""
    places: list[list[pytest.Item]] = []
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        package = _package_of(item)
        if package not in groups:
            places.append([])
            if package:
                groups[package] = places[-1]
        (groups[package] if package else places[-1]).append(item)
    items[:] = [item for place in places for item in place]


def _package_of(item: pytest.Item) -> str:
    """Whose server it uses; a test with a database of its own has its place in the order of databases."""
    if not isinstance(item, pytest.Function) or item.get_closest_marker("django_db"):
        return ""
    if {"db", "transactional_db"} & set(item.fixturenames):
        return ""
    found = (each for several in item._fixtureinfo.name2fixturedefs.values() for each in several)
    return next((each.baseid for each in found if each.scope == "package"), "")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    flush.replace_djangos()


@pytest.fixture(scope="session", autouse=True)
def _databases_dropped() -> Iterator[None]:
    yield
    drop_databases()


@pytest.fixture(autouse=True)
def _spools_closed() -> Iterator[None]:
    """A test's own spool keeps files open; pynetdicom's `select` knows the first 1,024 descriptors of a process."""
    yield
    for spool in _spools.values():
        del spool._handover  # the two hold each other
    _spools.clear()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """An installation, not yet started: `node.start()`."""
    with Node(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module: while it runs, this thread has an event loop, in which Django refuses its database."""
    with chromium() as made:
        yield made


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    """The administrator's: nothing is asked of anybody else, nothing fails, and the console has no error."""
    with Window(browser, node) as made:
        yield made.sign_in()
        assert not made.elsewhere()
        assert not made.complaints
        assert not made.refusals


@pytest.fixture
def page(window: Window) -> Page:
    return window.page
