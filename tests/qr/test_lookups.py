"""Every key must find in SQL exactly the rows that `dicom.evaluate.matches` finds in memory, on either database."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model, Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.lookups import Kind, as_sql, condition, moments, prefix_range
from apps.storage.models import Patient, Series, Study
from dicom.evaluate import matches
from dicom.matching import AnyOf, Empty, Exact, Key, Range, Wildcard, combined, parse
from dicom.values import name_groups, name_key, parse_date, parse_number, parse_time

pytestmark = pytest.mark.django_db

# What SQL, GLOB, LIKE, JSON and regular expressions could take for something else.
AWKWARD = "aAbB%_[]^-{}().+$|#'\":;,/ éÉßñ山"
TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "a%",
    "a_",
    "[a]",
    "a]",
    "a*",
    "ab%c",
    "a'b",
    'a"b',
    "é",
    "É",
    "e",
    "山田",
    "a b",
    "ab ba",
    "{a}",
]
NAMES = [
    "",
    "SMITH^JOHN",
    "Smith^John",
    "Smith^Jöhn^^",
    "SMITH",
    "smith^^^dr",
    "Smithson^Al",
    "O'Neil^Ann",
    "Müller^Jürgen",
    "Mu%ller^J_",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "=山田^花子",
    "==やまだ",
    "*^*",
    "[Smith",
]
DATES = ["", "20200101", "20200102", "20191231", "2020.01.01", "20200230", "garbage", "19000101", "99991231"]
TIMES = ["", "10", "1000", "100000", "100000.5", "105959.999999", "110000", "235959", "000000", "25", "10:00:00"]
LISTS = [
    "",
    "CT",
    "CT\\SR",
    "MR\\PT\\SR",
    "PT",
    "SR",
    "CTX\\XSR",
    'a"b\\c',
    "a\\\\b",
    "[CT]",
    "ct",
    "a\nb\\t\tt",
    "é\\È",
]
NUMBERS = ["", "1", "01", "-5", " 7 ", "2147483647", "99999999999", "x", "1.5"]

patterns = st.lists(st.sampled_from([*AWKWARD, "*", "?", "*", "?"]), max_size=6).map("".join)
EXAMPLES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)

Find = Callable[[Q], list[Any]]


def found(model: type[Model], column: str, where: Q) -> list[str]:
    """By the ORM; a statement written by hand must find the same."""
    by_orm = sorted(model._default_manager.filter(where).values_list(column, flat=True))
    columns = {field.name: f"m.{field.column}" for field in model._meta.concrete_fields}
    text, parameters = as_sql(where, columns, sqlite=connection.vendor == "sqlite")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT m.{column} FROM {model._meta.db_table} m WHERE {text}", parameters)
        assert sorted(row[0] for row in cursor.fetchall()) == by_orm
    return by_orm


def expected(values: Iterable[str], key: Key) -> list[str]:
    return sorted(value for value in values if matches(key, value))


@pytest.fixture
def names() -> list[str]:
    Patient.objects.bulk_create(
        Patient(
            patient_id=str(number),
            patient_name=name,
            **dict(
                zip(
                    ("patient_name_key", "patient_name_ideographic_key", "patient_name_phonetic_key"),
                    map(name_key, name_groups(name)),
                    strict=True,
                )
            ),
        )
        for number, name in enumerate(NAMES)
    )
    return NAMES


@pytest.fixture
def texts() -> list[str]:
    values = [*TEXTS, *("".join(pair) for pair in product("aA%_[é", repeat=2))]
    Patient.objects.bulk_create(
        Patient(patient_id=str(number), patient_sex=text, ethnic_group=text) for number, text in enumerate(values)
    )
    return values


@pytest.fixture
def studies() -> list[tuple[str, str]]:
    patient = Patient.objects.create(patient_id="1")
    now = datetime.now(UTC)
    pairs = list(product(DATES, TIMES))
    Study.objects.bulk_create(
        Study(
            study_instance_uid=f"1.{number}",
            patient=patient,
            study_date=day,
            study_date_value=parse_date(day),
            study_time=time,
            study_time_value=parse_time(time),
            modalities_in_study=LISTS[number % len(LISTS)],
            received_at=now,
            changed_at=now,
        )
        for number, (day, time) in enumerate(pairs)
    )
    return pairs


@pytest.mark.parametrize(("kind", "column"), [(Kind.KEY, "patient_sex"), (Kind.TEXT, "ethnic_group")])
@given(pattern=patterns)
@EXAMPLES
def test_a_text_key_finds_the_same_in_sql_as_in_memory(texts: list[str], kind: Kind, column: str, pattern: str) -> None:
    key = parse("LO", pattern.replace("\\", ""))
    assert found(Patient, column, condition(key, kind=kind, column=column)) == expected(texts, key)


@pytest.mark.parametrize(("kind", "column"), [(Kind.KEY, "patient_sex"), (Kind.TEXT, "ethnic_group")])
@pytest.mark.parametrize("literal", ["%", "_", "[", "a%*", "a_*", "[a*", "?%", "a[?", "*]", "'", '"*'])
def test_what_sql_takes_for_a_wild_card_is_literal_in_a_key(
    texts: list[str], kind: Kind, column: str, literal: str
) -> None:
    key = parse("LO", literal)
    assert found(Patient, column, condition(key, kind=kind, column=column)) == expected(texts, key)


@given(
    name=st.one_of(
        st.sampled_from(NAMES), st.lists(st.sampled_from([*"smithJÖoöhn^=*?山や%_[' "]), max_size=8).map("".join)
    )
)
@EXAMPLES
def test_a_name_key_finds_the_same_in_sql_as_in_memory(names: list[str], name: str) -> None:
    key = parse("PN", name)
    assert found(Patient, "patient_name", condition(key, kind=Kind.NAME, column="patient_name")) == expected(names, key)


def test_names_are_found_without_case_accents_and_trailing_separators(names: list[str]) -> None:
    def named(text: str) -> list[str]:
        return found(Patient, "patient_name", condition(parse("PN", text), kind=Kind.NAME, column="patient_name"))

    assert named("smith^john") == ["SMITH^JOHN", "Smith^John", "Smith^Jöhn^^"]
    assert named("MULLER*") == ["Müller^Jürgen"]
    assert named("山田*") == ["=山田^花子", "Yamada^Tarou=山田^太郎=やまだ^たろう"]


def test_what_is_not_a_name_is_found_by_its_own_case_only(texts: list[str]) -> None:
    assert found(Patient, "patient_sex", condition(parse("CS", "A"), kind=Kind.KEY, column="patient_sex")) == ["A"]
    assert found(Patient, "ethnic_group", condition(parse("LO", "aB*"), kind=Kind.TEXT, column="ethnic_group")) == [
        "aB"
    ]


@given(low=st.sampled_from(DATES), high=st.sampled_from(DATES), single=st.booleans())
@EXAMPLES
def test_a_date_key_finds_the_same_in_sql_as_in_memory(
    studies: list[tuple[str, str]], low: str, high: str, single: bool
) -> None:
    if any(text and parse_date(text) is None for text in (low, high)):
        return
    key = parse("DA", low if single else f"{low}-{high}" if low or high else "")
    where = condition(key, kind=Kind.DATE, column="study_date")
    assert found(Study, "study_date", where) == expected((day for day, _ in studies), key)


@given(low=st.sampled_from(TIMES), high=st.sampled_from(TIMES), single=st.booleans())
@EXAMPLES
def test_a_time_key_finds_the_same_in_sql_as_in_memory(
    studies: list[tuple[str, str]], low: str, high: str, single: bool
) -> None:
    if any(text and parse_time(text) is None for text in (low, high)):
        return
    key = parse("TM", low if single else f"{low}-{high}" if low or high else "")
    where = condition(key, kind=Kind.TIME, column="study_time")
    assert found(Study, "study_time", where) == expected((time for _, time in studies), key)


@given(
    dates=st.sampled_from(["20200101-20200102", "20200101-", "-20200102", "20200101", "20191231-20200101"]),
    times=st.sampled_from(["10-11", "1030-", "-1000", "100000.5-", "000000-235959", "11-10"]),
)
@EXAMPLES
def test_a_date_and_its_time_as_one_range_find_the_same_in_sql_as_in_memory(
    studies: list[tuple[str, str]], dates: str, times: str
) -> None:
    day_range, time_range = parse("DA", dates), parse("TM", times)
    assert isinstance(day_range, Range) and isinstance(time_range, Range)
    key = combined(day_range, time_range)
    wanted = []
    for day, time in studies:
        date, of_day = parse_date(day), parse_time(time)
        if date is not None and of_day is not None and matches(key, datetime.combine(date, of_day)):
            wanted.append((day, time))
    rows = Study.objects.filter(moments(key, date_column="study_date", time_column="study_time"))
    assert sorted(rows.exclude(study_time_value=None).values_list("study_date", "study_time")) == sorted(wanted)


def test_a_study_without_a_time_is_found_where_its_whole_day_is_asked_for(studies: list[tuple[str, str]]) -> None:
    key = combined(Range(parse_date("20191231"), parse_date("20200102")), Range(parse_time("10"), parse_time("11")))
    rows = Study.objects.filter(moments(key, date_column="study_date", time_column="study_time"), study_time="")
    assert set(rows.values_list("study_date", flat=True)) == {"20200101", "2020.01.01"}


@given(
    pattern=st.one_of(
        st.sampled_from([value for text in LISTS for value in text.split("\\")]),
        st.lists(st.sampled_from('CTSR*?"[]cté\n'), max_size=4).map("".join),
    )
)
@EXAMPLES
def test_one_of_several_values_is_found_as_in_memory(studies: list[tuple[str, str]], pattern: str) -> None:
    held = list(Study.objects.values_list("modalities_in_study", flat=True))
    key = parse("LO", pattern)
    where = condition(key, kind=Kind.VALUES, column="modalities_in_study")
    assert found(Study, "modalities_in_study", where) == sorted(
        text for text in held if matches(key, [value.strip() for value in text.split("\\")])
    )


def test_any_of_several_values_is_found(studies: list[tuple[str, str]]) -> None:
    where = condition(AnyOf(("PT", "nothing")), kind=Kind.VALUES, column="modalities_in_study")
    assert set(found(Study, "modalities_in_study", where)) == {"MR\\PT\\SR", "PT"}


@pytest.mark.parametrize("wanted", ["1", "-5", "7", "2147483647"])
def test_a_number_is_found_however_it_is_written(wanted: str) -> None:
    patient = Patient.objects.create(patient_id="1")
    now = datetime.now(UTC)
    study = Study.objects.create(study_instance_uid="1", patient=patient, received_at=now, changed_at=now)
    for number, text in enumerate(NUMBERS):
        Series.objects.create(
            series_instance_uid=f"1.{number}",
            study=study,
            series_number=text,
            series_number_value=parse_number(text),
            changed_at=now,
        )
    key = parse("IS", wanted)
    where = condition(key, kind=Kind.NUMBER, column="series_number")
    assert found(Series, "series_number", where) == expected(NUMBERS, key)


def test_thousands_of_uids_are_one_query(studies: list[tuple[str, str]]) -> None:
    key = parse("UI", "\\".join(f"1.{number}" for number in range(50, 100_000)))
    where = condition(key, kind=Kind.UID, column="study_instance_uid")
    assert Study.objects.filter(where).count() == len(studies) - 50


def test_a_pattern_full_of_wild_cards_takes_no_time_to_refuse(texts: list[str]) -> None:
    Patient.objects.create(patient_id="long", patient_sex="a" * 250, ethnic_group="a" * 250)
    key = Wildcard("*a" * 60 + "b")
    for kind, column in ((Kind.KEY, "patient_sex"), (Kind.TEXT, "ethnic_group")):
        assert found(Patient, column, condition(key, kind=kind, column=column)) == []


def test_empty_value_matching_finds_what_has_no_value(texts: list[str]) -> None:
    assert found(Patient, "patient_sex", condition(Empty(), kind=Kind.KEY, column="patient_sex")) == [""]


@pytest.mark.parametrize("prefix", ["a", "z\ud7ff", "a\U0010ffff", "\U0010ffff"])
def test_a_prefix_ends_where_the_next_character_begins(prefix: str) -> None:
    Patient.objects.create(patient_id=f"{prefix}x")
    Patient.objects.create(patient_id="other")
    assert found(Patient, "patient_id", prefix_range("patient_id", prefix)) == [f"{prefix}x"]


def test_one_value_is_looked_up_by_equality() -> None:
    assert condition(Exact("x"), kind=Kind.KEY, column="patient_id") == Q(patient_id="x")
