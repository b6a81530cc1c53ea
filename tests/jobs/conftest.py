from collections.abc import Callable, Iterator

import pytest
from pytest_django import Settings

from apps.jobs.outbox import Reaction
from apps.jobs.run import JobRun

Verb = Callable[[JobRun], None]
KINDS: dict[str, Verb] = {}
EVENTS: dict[str, list[Reaction]] = {}


@pytest.fixture(autouse=True)
def tables(settings: Settings) -> Iterator[None]:
    """The roof's tables, filled by each test."""
    settings.JOB_KINDS = "tests.jobs.conftest.KINDS"
    settings.EVENT_KINDS = "tests.jobs.conftest.EVENTS"
    yield
    KINDS.clear()
    EVENTS.clear()


@pytest.fixture
def kinds() -> dict[str, Verb]:
    return KINDS


@pytest.fixture
def events() -> dict[str, list[Reaction]]:
    return EVENTS
