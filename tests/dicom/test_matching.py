from datetime import date, datetime, time, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom.errors import InvalidValue
from dicom.evaluate import matches
from dicom.matching import (
    UNIVERSAL,
    AnyOf,
    Either,
    Empty,
    Exact,
    Name,
    Range,
    Sequence,
    Wildcard,
    combined,
    parse,
)

STEADY = settings(deadline=None, derandomize=True, max_examples=300, suppress_health_check=[HealthCheck.too_slow])

MODALITY, CODE_VALUE = 0x00080060, 0x00080100


@pytest.mark.parametrize("vr", ["LO", "UI", "PN", "DA", "TM", "IS", "US"])
@pytest.mark.parametrize("value", ["", "  ", "\0", "*", "**", "\\"])
def test_a_key_that_asks_for_nothing_matches_everything_and_the_absent_too(vr: str, value: str) -> None:
    key = parse(vr, value)
    assert key == UNIVERSAL
    assert matches(key, None)
    assert matches(key, "anything")


def test_a_text_is_matched_exactly_and_with_its_case() -> None:
    key = parse("LO", " Thorax ")
    assert key == Exact("Thorax")
    assert matches(key, "Thorax ")
    assert not matches(key, "THORAX")
    assert not matches(key, "Thorax a.p.")
    assert not matches(key, None)


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("A*", ["A", "AB", "A*"], ["BA", "a"]),
        ("*A", ["A", "BA"], ["AB"]),
        ("A?C", ["ABC", "A?C"], ["AC", "ABBC"]),
        ("*A*B*", ["AB", "xAyBz"], ["BA", "A"]),
        ("A*A", ["AA", "ABA"], ["A"]),
        ("?*", ["A", "AB"], []),
        ("100%*", ["100%", "100% O2"], ["1000"]),
        ("A_C*", ["A_C"], ["ABC"]),
        ("[AB]*", ["[AB]x"], ["A", "Bx"]),
        ("A**B", ["AB", "A--B"], ["A"]),
        ("a.c*", ["a.cd"], ["abcd"]),
        ("l1*l2", ["l1\nl2"], []),
    ],
)
def test_wild_cards_are_star_and_question_mark_and_nothing_else(
    pattern: str, fitting: list[str], other: list[str]
) -> None:
    key = parse("LO", pattern)
    assert isinstance(key, Wildcard)
    assert [text for text in fitting if not matches(key, text)] == []
    assert [text for text in other if matches(key, text)] == []


def test_a_pattern_says_what_an_index_can_narrow_by() -> None:
    prefix, inner = parse("LO", "HEAD*"), parse("LO", "HEAD*CT?")
    assert isinstance(prefix, Wildcard)
    assert isinstance(inner, Wildcard)
    assert (prefix.prefix, prefix.is_prefix) == ("HEAD", True)
    assert (inner.prefix, inner.is_prefix) == ("HEAD", False)


def test_a_pattern_made_to_explode_takes_no_time() -> None:
    key = parse("LO", "a*" * 500 + "b")
    assert not matches(key, "a" * 2000)


def test_a_pattern_no_database_would_take_is_refused() -> None:
    with pytest.raises(InvalidValue):
        parse("UT", "?" * 1025)


@STEADY
@given(
    st.text("ab*?", max_size=8),
    st.text("ab", max_size=8),
)
def test_wild_cards_agree_with_their_definition(pattern: str, text: str) -> None:
    def fits(p: str, t: str) -> bool:
        if not p:
            return not t
        if p[0] == "*":
            return fits(p[1:], t) or (bool(t) and fits(p, t[1:]))
        return bool(t) and p[0] in ("?", t[0]) and fits(p[1:], t[1:])

    key = parse("LO", pattern)
    if key != UNIVERSAL and text:
        assert matches(key, text) == fits(pattern, text)


def test_a_backslash_belongs_to_long_texts() -> None:
    assert parse("LT", "a\\b") == Exact("a\\b")
    assert parse("LT", "  indented") == Exact("  indented")


def test_a_list_of_uids_matches_any_of_them() -> None:
    key = parse("UI", "1.2.3\\1.2.4\0\\1.2.3")
    assert key == AnyOf(("1.2.3", "1.2.4"))
    assert matches(key, "1.2.4")
    assert not matches(key, "1.2.40")


def test_several_values_of_other_kinds_match_any_of_them() -> None:
    assert parse("CS", "CT\\MR") == AnyOf(("CT", "MR"))
    key = parse("CS", "CT\\P*")
    assert key == Either((Exact("CT"), Wildcard("P*")))
    assert matches(key, ["SR", "PT"])
    assert not matches(key, "MR")
    assert parse("CS", "CT\\*") == UNIVERSAL


def test_long_lists_are_read_in_linear_time() -> None:
    key = parse("UI", "\\".join(f"1.2.{n}" for n in range(50_000)))
    assert isinstance(key, AnyOf)
    assert len(key.values) == 50_000


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("20240229", date(2024, 2, 29), date(2024, 2, 29)),
        ("20240101-20240131", date(2024, 1, 1), date(2024, 1, 31)),
        ("20240101 - 20240131", date(2024, 1, 1), date(2024, 1, 31)),
        ("-20240131", None, date(2024, 1, 31)),
        ("20240101-", date(2024, 1, 1), None),
        ("2024.01.01-2024.01.31", date(2024, 1, 1), date(2024, 1, 31)),
    ],
)
def test_dates_are_ranges(value: str, low: date | None, high: date | None) -> None:
    assert parse("DA", value) == Range(low, high)


def test_a_date_range_includes_its_ends() -> None:
    key = parse("DA", "20240101-20240131")
    assert [d for d in ("20231231", "20240101", "20240131", "20240201", "", "garbage") if matches(key, d)] == [
        "20240101",
        "20240131",
    ]
    assert matches(key, date(2024, 1, 15))
    assert not matches(parse("DA", "20240131-20240101"), "20240115")


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("10", time(10), time(10, 59, 59, 999999)),
        ("1030", time(10, 30), time(10, 30, 59, 999999)),
        ("10:30:05", time(10, 30, 5), time(10, 30, 5, 999999)),
        ("103005.5", time(10, 30, 5, 500000), time(10, 30, 5, 599999)),
        ("103005.123456", time(10, 30, 5, 123456), time(10, 30, 5, 123456)),
        ("235960", time(23, 59, 59), time(23, 59, 59, 999999)),
        ("10-1159", time(10), time(11, 59, 59, 999999)),
        ("-1159", None, time(11, 59, 59, 999999)),
        ("0800-", time(8), None),
    ],
)
def test_times_cover_what_their_precision_says(value: str, low: time | None, high: time | None) -> None:
    assert parse("TM", value) == Range(low, high)


WEST = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("2024", datetime(2024, 1, 1), datetime(2024, 12, 31, 23, 59, 59, 999999)),
        ("202402", datetime(2024, 2, 1), datetime(2024, 2, 29, 23, 59, 59, 999999)),
        ("20240201103000.25", datetime(2024, 2, 1, 10, 30, 0, 250000), datetime(2024, 2, 1, 10, 30, 0, 259999)),
        ("2024020110-0500", datetime(2024, 2, 1, 10, tzinfo=WEST), datetime(2024, 2, 1, 10, 59, 59, 999999, WEST)),
        ("20240201-20240301", datetime(2024, 2, 1), datetime(2024, 3, 1, 23, 59, 59, 999999)),
        ("2023-2024", datetime(2023, 1, 1), datetime(2024, 12, 31, 23, 59, 59, 999999)),
        ("20240201-0500-", datetime(2024, 2, 1, tzinfo=WEST), None),
        ("-20240201-0500", None, datetime(2024, 2, 1, 23, 59, 59, 999999, WEST)),
        (
            "20240201-0500-20240202-0500",
            datetime(2024, 2, 1, tzinfo=WEST),
            datetime(2024, 2, 2, 23, 59, 59, 999999, WEST),
        ),
    ],
)
def test_a_date_time_west_of_greenwich_is_not_a_range(value: str, low: datetime | None, high: datetime | None) -> None:
    assert parse("DT", value) == Range(low, high)


def test_date_times_with_offsets_are_compared_as_moments() -> None:
    key = parse("DT", "20240201100000-0500")
    assert matches(key, "20240201150000+0000")
    assert not matches(key, "20240201100000+0000")
    assert matches(key, "20240201100000")


def test_a_date_range_and_a_time_range_combine_to_one_range_of_moments() -> None:
    dates, times = parse("DA", "20060705-20060707"), parse("TM", "1000-1800")
    assert isinstance(dates, Range)
    assert isinstance(times, Range)
    assert combined(dates, times) == Range(datetime(2006, 7, 5, 10), datetime(2006, 7, 7, 18, 0, 59, 999999))
    assert combined(Range(date(2006, 7, 5), None), Range(time(10), None)) == Range(datetime(2006, 7, 5, 10), None)


@pytest.mark.parametrize(
    ("vr", "value", "number"),
    [("IS", "+7", 7), ("IS", "007", 7), ("US", "512", 512), ("DS", "1.50", 1.5), ("DS", "-2e1", -20.0)],
)
def test_numbers_are_numbers_however_they_are_written(vr: str, value: str, number: float) -> None:
    key = parse(vr, value)
    assert key == Exact(number)
    assert matches(key, str(number))
    assert matches(key, number)
    assert not matches(key, "8")
    assert not matches(key, "eight")


def test_a_tag_is_a_number_too() -> None:
    assert parse("AT", "0010,0020") == parse("AT", "00100020") == Exact(0x00100020)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DA", "yesterday"),
        ("DA", "20240230"),
        ("DA", "2024*"),
        ("DA", "20240101-2024x"),
        ("TM", "2500"),
        ("TM", "103099"),
        ("DT", "20240101-20240199"),
        ("IS", "1.5"),
        ("IS", "99999999999"),
        ("IS", "1_000"),
        ("US", "65536"),
        ("UL", "-1"),
        ("DS", "nan"),
        ("DS", "1e9999"),
        ("UI", "1.2.*"),
        ("UI", "../../x"),
        ("UI", "1." * 33),
        ("AT", "name"),
        ("LO", "a\0b"),
        ("OB", "x"),
    ],
)
def test_a_wrong_value_names_its_element_and_keeps_what_was_sent_to_itself(vr: str, value: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse(vr, value, tag=0x00080020)
    assert caught.value.tag == 0x00080020
    assert value not in str(caught.value)
    assert len(str(caught.value)) <= 64


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("SMITH^JOHN", "Smith^John", True),
        ("smith^john^^^", "SMITH^JOHN", True),
        ("SMITH ", "Smith^^^^", True),
        ("SMITH", "Smith^John", False),
        ("SMITH*", "Smith^John", True),
        ("SMITH^*", "Smith", True),
        ("SMITH^*", "Smith^John", True),
        ("SMITH^*^*", "Smith^John", True),
        ("SMITH^J*^*", "Smith^John", True),
        ("SMITH^*", "Smithers^John", False),
        ("SMITH^J?HN", "Smith^John", True),
        ("MULLER*", "Müller^Jörg", True),
        ("MÜLLER*", "Muller", True),
        ("*^JORG", "Müller^Jörg", True),
        ("*^*", "Smith", True),
        ("Yamada*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("=山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("==やまだ*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("Yamada*=山本*", "Yamada^Tarou=山田^太郎=やまだ^たろう", False),
        ("山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("やまだ^たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("太郎*", "Yamada^Tarou=山田^太郎=やまだ^たろう", False),
        ("山田*", "山田^太郎", True),
        ("=山田*", "Yamada^Tarou", False),
    ],
)
def test_names_match_without_case_accents_and_trailing_carets_group_by_group(
    pattern: str, name: str, expected: bool
) -> None:
    assert matches(parse("PN", pattern), name) is expected


def test_a_name_key_holds_a_key_for_each_group() -> None:
    assert parse("PN", "Smith^J*=") == Name((Wildcard("smith^j*"), UNIVERSAL, UNIVERSAL))
    assert parse("PN", "=*=") == UNIVERSAL


def test_sequence_keys_match_within_one_item() -> None:
    key = parse("SQ", [[(MODALITY, parse("CS", "CT")), (CODE_VALUE, parse("SH", "T-*"))]])
    assert isinstance(key, Sequence)
    assert matches(key, [{MODALITY: "MR"}, {MODALITY: "CT", CODE_VALUE: "T-04000"}])
    assert not matches(key, [{MODALITY: "CT", CODE_VALUE: "X"}, {MODALITY: "MR", CODE_VALUE: "T-04000"}])
    assert not matches(key, [])
    assert not matches(key, None)


def test_an_empty_sequence_and_an_item_that_only_asks_are_universal() -> None:
    assert parse("SQ", []) == UNIVERSAL
    assert parse("SQ", [[]]) == UNIVERSAL
    assert parse("SQ", [[(MODALITY, UNIVERSAL)]]) == UNIVERSAL


def test_two_quotation_marks_ask_for_the_empty_only_when_negotiated() -> None:
    assert parse("LO", '""') == Exact('""')
    key = parse("LO", '""', empty_value=True)
    assert key == Empty()
    assert matches(key, None)
    assert matches(key, " ")
    assert not matches(key, "x")


@STEADY
@given(st.sampled_from(["LO", "PN", "DA", "TM", "DT", "IS", "DS", "UI", "AT", "US", "ST"]), st.text(max_size=40))
def test_any_text_is_a_key_or_an_invalid_value(vr: str, value: str) -> None:
    try:
        key = parse(vr, value, tag=1)
    except InvalidValue as error:
        assert error.tag == 1
    else:
        matches(key, value)
