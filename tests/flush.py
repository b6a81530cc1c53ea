"""The end of a test that commits: what Django's own flush leaves, without making it anew after each test."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, transaction
from django.test import TransactionTestCase

Rows = list[tuple[Any, ...]]
_left: dict[str, dict[str, Rows]] = {}  # by database and table, after a flush of Django's: types and permissions


def replace_djangos() -> None:
    """In this process."""
    TransactionTestCase._fixture_teardown = _teardown  # type: ignore[attr-defined]


def _teardown(case: Any) -> None:
    for alias in case._databases_names(include_mirrors=False):
        flush(alias)


def flush(alias: str) -> None:
    """All rows are deleted, but for the content types and permissions, which are as they were the first time."""
    if alias not in _left:
        call_command("flush", verbosity=0, interactive=False, database=alias, reset_sequences=False)
        names = connections[alias].introspection.django_table_names(only_existing=True, include_views=False)
        _left[alias] = {name: rows(alias, name) for name in names}
    left, quote = _left[alias], connections[alias].ops.quote_name
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"EXISTS(SELECT 1 FROM {quote(name)})" for name in left))
        filled = dict(zip(left, cursor.fetchone(), strict=True))
    changed = [name for name, kept in left.items() if (rows(alias, name) != kept if kept else filled[name])]
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:  # constraints hold at its end
        for name in changed:
            cursor.execute(f"DELETE FROM {quote(name)}")
        for name in changed:
            if kept := left[name]:
                cursor.executemany(f"INSERT INTO {quote(name)} VALUES ({', '.join(['%s'] * len(kept[0]))})", kept)
    ContentType.objects.clear_cache()


def rows(alias: str, table: str) -> Rows:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connections[alias].ops.quote_name(table)} ORDER BY 1")
        return list(cursor.fetchall())
