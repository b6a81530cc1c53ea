"""Rows in and out in bulk, without an object a row: the index writes thousands of them a second.

Names of tables and columns come from the models, never from data.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from django.db import connection, models
from django.db.backends.utils import CursorWrapper

Row = tuple[Any, ...]
_CHUNK = 500


def adapt(value: Any) -> Any:
    """As the database's driver takes it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, date):
        return connection.ops.adapt_datefield_value(value)
    if isinstance(value, time):
        return connection.ops.adapt_timefield_value(value)
    return value


def moment_of(value: Any) -> datetime:
    """From what the database's driver gives: SQLite's gives text."""
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return when if when.tzinfo else when.replace(tzinfo=UTC)


class Table:
    def __init__(self, model: type[models.Model]) -> None:
        self.name = model._meta.db_table
        self._columns = {field.name: f'"{field.column}"' for field in model._meta.concrete_fields}

    def insert(self, cursor: CursorWrapper, fields: Sequence[str], rows: Sequence[Row]) -> int:
        """How many of the rows were not there before: a row whose key exists is left as it is."""
        names = ", ".join(self._columns[field] for field in fields)
        start = f'INSERT INTO "{self.name}" ({names}) VALUES '
        one = f"({', '.join(['%s'] * len(fields))})"
        inserted = 0
        if connection.vendor == "sqlite" and rows:
            cursor.executemany(f"{start}{one} ON CONFLICT DO NOTHING", rows)
            inserted = cursor.rowcount
        elif rows:
            for chunk in _chunks(rows):
                many = ", ".join([one] * len(chunk))
                cursor.execute(f"{start}{many} ON CONFLICT DO NOTHING", [value for row in chunk for value in row])
                inserted += cursor.rowcount
        return inserted

    def update(self, cursor: CursorWrapper, fields: Sequence[str], rows: Sequence[Row]) -> None:
        """Each row is the values of `fields` and, last, the primary key."""
        if rows:
            assignments = ", ".join(f"{self._columns[field]} = %s" for field in fields)
            cursor.executemany(f'UPDATE "{self.name}" SET {assignments} WHERE "id" = %s', rows)

    def update_one(self, cursor: CursorWrapper, values: Mapping[str, Any], key: int) -> None:
        self.update(cursor, list(values), [(*map(adapt, values.values()), key)])

    def select(
        self, cursor: CursorWrapper, fields: Sequence[str], where: Mapping[str, Iterable[Any]], *, lock: bool = False
    ) -> list[Row]:
        """Rows with each field of `where` among its values, sorted by these fields.

        With `lock` nobody else changes them before we commit; sorted, so that two who lock never wait for each other.
        """
        names = ", ".join(self._columns[field] for field in fields)
        order = ", ".join(self._columns[field] for field in where)
        tail = " FOR NO KEY UPDATE" if lock and connection.vendor == "postgresql" else ""
        return self._found(cursor, names, where, f"ORDER BY {order}{tail}")

    def latest(self, cursor: CursorWrapper, field: str, of: str, where: Mapping[str, Iterable[Any]]) -> list[Row]:
        """Each value of `field` in rows with each field of `where` among its values, and the greatest `of` there."""
        name = self._columns[field]
        return self._found(cursor, f"{name}, MAX({self._columns[of]})", where, f"GROUP BY {name}")

    def _found(self, cursor: CursorWrapper, what: str, where: Mapping[str, Iterable[Any]], tail: str) -> list[Row]:
        wanted = {field: sorted(set(values)) for field, values in where.items()}
        if not all(wanted.values()):
            return []
        conditions = " AND ".join(
            f"{self._columns[field]} IN ({', '.join(['%s'] * len(values))})" for field, values in wanted.items()
        )
        cursor.execute(
            f'SELECT {what} FROM "{self.name}" WHERE {conditions} {tail}',
            [value for values in wanted.values() for value in values],
        )
        rows: list[Row] = cursor.fetchall()
        return rows

    def delete(self, cursor: CursorWrapper, field: str, values: Collection[Any]) -> None:
        for chunk in _chunks(list(values)):
            marks = ", ".join(["%s"] * len(chunk))
            cursor.execute(f'DELETE FROM "{self.name}" WHERE {self._columns[field]} IN ({marks})', chunk)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]
