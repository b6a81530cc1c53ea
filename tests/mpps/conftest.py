"""Performed procedure steps as a listener takes them, in threads of this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.qr.serving import Serving

Serve = Callable[..., Serving]


@pytest.fixture
def serve(transactional_db: None) -> Iterator[Serve]:
    """`serve(strict_mpps=True)` starts a server; the keywords are the caller's switches (fields of PeerRules)."""
    with ExitStack() as stack:
        yield lambda **switches: stack.enter_context(Serving(**switches))
