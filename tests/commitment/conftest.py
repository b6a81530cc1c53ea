"""Storage commitment as a listener serves it, in threads of this process; its jobs run when a test says so."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.commitment import live
from tests.node import wait_for
from tests.qr.serving import Serving

Serve = Callable[..., Serving]


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> None:
    """Of this test alone; nothing is waited for."""
    settings.DATA = tmp_path
    settings.MINIMUM_FREE = 1 << 20
    settings.SPOOL = tmp_path / "spool" / "main"
    settings.ARCHIVE = tmp_path / "archive"
    settings.COMMITMENT_WAIT = 0
    settings.COMMITMENT_PATIENCE = 0


@pytest.fixture
def serve(transactional_db: None, archive: None) -> Iterator[Serve]:
    """`serve(name="ct")` starts a server; the keywords are the caller's (fields of PeerRules)."""
    with ExitStack() as stack:
        yield lambda **switches: stack.enter_context(Serving(**switches))
    wait_for(lambda: live.watch.idle, what="no association waits for a report")
