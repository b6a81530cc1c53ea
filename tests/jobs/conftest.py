from collections.abc import Callable, Iterator, Mapping

import pytest
from pytest_django import Settings

from apps.jobs.kind import Kind
from apps.jobs.outbox import Reaction
from apps.jobs.run import JobRun

Verb = Callable[[JobRun], None]
KINDS: dict[str, Verb] = {}


class Table(Mapping[str, Kind]):
    """Kinds that everybody may ask for, with nothing to check."""

    def __getitem__(self, name: str) -> Kind:
        return Kind(KINDS[name], right=lambda principal: True)

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


TABLE = Table()
EVENTS: dict[str, list[Reaction]] = {}


@pytest.fixture(autouse=True)
def tables(settings: Settings) -> Iterator[None]:
    """The roof's tables, filled by each test."""
    settings.JOB_KINDS = "tests.jobs.conftest.TABLE"
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
