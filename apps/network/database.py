"""Threads that live as long as an association must not keep a database connection of a pool as long."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connection, connections

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


def fetched(sql: str, parameters: Sequence[Any], *, keeps_plan: bool = False) -> list[tuple[Any, ...]]:
    """The rows of a statement written by hand, on a `borrowed` connection. `keeps_plan`: PostgreSQL plans it once for
    all parameters (setting plan_cache_mode), since to plan a join of five tables costs it more than to read a few rows;
    else the values stand in the statement, as Django writes them."""
    driver: Any = connections[DEFAULT_DB_ALIAS]
    if driver.vendor == "sqlite":
        with borrowed(), driver.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
    if driver.connection is not None or driver.pool is None:
        with borrowed():
            driver.ensure_connection()
            with driver.wrap_database_errors:
                return _fetched(driver, driver.connection, sql, parameters, keeps_plan)
    with driver.wrap_database_errors:  # straight from the pool: Django's way to it costs as much as a short statement
        pool = driver.pool
        pool.open()
        lent = pool.getconn()
        try:
            if not lent.autocommit:
                lent.autocommit = True
            return _fetched(driver, lent, sql, parameters, keeps_plan)
        finally:
            pool.putconn(lent)


def _fetched(driver: Any, lent: Any, sql: str, parameters: Sequence[Any], keeps_plan: bool) -> list[tuple[Any, ...]]:
    if not keeps_plan:
        with driver.Database.ClientCursor(lent) as cursor:
            planned: list[tuple[Any, ...]] = cursor.execute(sql, parameters).fetchall()
            return planned
    prepared = getattr(lent, "prepared", None)  # to make a cursor costs as much, too
    if prepared is None:
        lent.prepare_threshold = _PREPARED_AFTER
        prepared = lent.prepared = driver.Database.Cursor(lent)
    found: list[tuple[Any, ...]] = prepared.execute(sql, parameters).fetchall()
    return found


def give_back() -> None:
    """At the end of a thread that has `borrowed`."""
    if not connection.in_atomic_block:
        connection.close()
