"""Threads that live as long as an association must not keep a database connection of a pool as long."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import Error, connection

_PREPARED_AFTER = 5  # times; only where cursors bind on the server, which those of Django do not


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


def fetched(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement written by hand. PostgreSQL keeps its plan as long as one suits all parameters: to plan
    a join of five tables anew costs it more than to read the few rows."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
    connection.ensure_connection()
    driver: Any = connection
    driver.connection.prepare_threshold = _PREPARED_AFTER
    with driver.wrap_database_errors, driver.Database.Cursor(driver.connection) as prepared:
        prepared.execute(sql, parameters)
        found: list[tuple[Any, ...]] = prepared.fetchall()
        return found


def give_back() -> None:
    """At the end of a thread that has `borrowed`."""
    if not connection.in_atomic_block:
        connection.close()
