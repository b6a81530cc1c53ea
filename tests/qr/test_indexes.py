"""What PostgreSQL must be told so that a million studies are searched in milliseconds (`benchmarks/growth.py`)."""

import pytest
from django.db import connection

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite walks every index it has"),
]


def _rows(query: str) -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        rows: list[tuple[str, ...]] = cursor.fetchall()
        return rows


def test_columns_searched_by_prefix_are_sampled_closely() -> None:
    sampled = _rows("SELECT attname FROM pg_attribute WHERE attstattarget = 1000")
    assert {name for (name,) in sampled} >= {"patient_id", "patient_name_key", "accession_number"}


def test_no_key_has_a_second_index_for_what_the_first_one_does() -> None:
    like = "SELECT indexname FROM pg_indexes WHERE tablename LIKE 'storage_%' AND indexdef LIKE '%pattern_ops%'"
    assert _rows(like) == []


def test_a_key_is_compared_byte_by_byte() -> None:
    columns = _rows(
        "SELECT collation_name FROM information_schema.columns WHERE column_name = 'patient_name_key'"
        " AND table_name = 'storage_patient'"
    )
    assert columns == [("C",)]


def test_studies_that_are_shown_are_counted_without_reading_them() -> None:
    found = _rows("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'storage_study_shown%'")
    assert len(found) == 3
    assert all("WHERE (number_of_study_related_instances > 0)" in definition for (definition,) in found)
