"""Threads that live as long as an association must not keep a database connection of a pool as long."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connection


@contextmanager
def borrowed() -> Iterator[None]:
    """What the block used goes back to the pool at its end, and is closed after an error of the database.

    SQLite has no pool and nothing to run out of; to open it costs more than a query (1 ms of CPU), to close its last
    connection folds the write-ahead log back into the file. So it stays with the thread, which ends with `give_back`.
    Inside a transaction the outer block keeps the connection.
    """
    outer = connection.in_atomic_block
    keep = outer or connection.vendor == "sqlite"
    try:
        yield
    except Error:
        keep = outer
        raise
    finally:
        if not keep:
            connection.close()


def give_back() -> None:
    """At the end of a thread that has `borrowed`."""
    if not connection.in_atomic_block:
        connection.close()
