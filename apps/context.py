"""Whom the running thread works for, so that every log line can say so: association, job, request."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[dict[str, str]] = ContextVar("pacs_context", default={})  # noqa: B039 - never changed in place


def current() -> dict[str, str]:
    return _current.get()


def bind(**identity: str) -> None:
    """For the rest of this thread or request: `bind(association="0f3c...")`."""
    _current.set({**_current.get(), **identity})


@contextmanager
def bound(**identity: str) -> Iterator[None]:
    token = _current.set({**_current.get(), **identity})
    try:
        yield
    finally:
        _current.reset(token)
