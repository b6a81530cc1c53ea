"""Times as cron has them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from apps.jobs import cron

BERLIN = ZoneInfo("Europe/Berlin")
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def times(expression: str, after: str, number: int) -> list[str]:
    moment, found = at(after), []
    for _ in range(number):
        moment = cron.following(expression, moment, BERLIN)
        found.append(moment.astimezone(BERLIN).strftime("%d %H:%M %Z"))
    return found


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("30 2 * * *", "2026-06-01 02:30", ["02 02:30 CEST"]),
        ("30 2 * * 1-5", "2026-06-05 03:00", ["08 02:30 CEST", "09 02:30 CEST"]),
        ("0 0 1 * MON", "2026-06-02 00:00", ["08 00:00 CEST", "15 00:00 CEST"]),  # the first, or a Monday
        ("0 8-18/5 * JUN,dec *", "2026-06-01 07:00", ["01 08:00 CEST", "01 13:00 CEST", "01 18:00 CEST"]),
        ("0 0 * * 7", "2026-06-01 00:00", ["07 00:00 CEST"]),  # Sunday, like 0
        ("*/20 * * * *", "2026-06-01 00:50", ["01 01:00 CEST", "01 01:20 CEST", "01 01:40 CEST"]),
        ("0 0 29 2 *", "2026-06-01 00:00", ["29 00:00 CET"]),
        # Clocks go forward.
        ("30 2 * * *", "2026-03-28 03:00", ["29 03:30 CEST", "30 02:30 CEST"]),
        ("30 2 * * *", "2026-03-29 03:10", ["29 03:30 CEST", "30 02:30 CEST"]),
        ("*/30 * * * *", "2026-03-29 01:10", ["29 01:30 CET", "29 03:00 CEST", "29 03:30 CEST", "29 04:00 CEST"]),
        ("0,30 2,3 * * *", "2026-03-29 00:00", ["29 03:00 CEST", "29 03:30 CEST", "30 02:00 CEST"]),
        # Clocks go back.
        ("30 2 * * *", "2026-10-25 01:00", ["25 02:30 CEST", "26 02:30 CET"]),
        ("*/15 2 * * *", "2026-10-25 02:20", ["25 02:30 CEST", "25 02:45 CEST", "26 02:00 CET"]),
        ("30 * * * *", "2026-10-25 01:40", ["25 02:30 CEST", "25 02:30 CET", "25 03:30 CET"]),
    ],
)
def test_a_time_is_the_clock_on_the_wall(expression: str, after: str, expected: list[str]) -> None:
    assert times(expression, after, len(expected)) == expected


@pytest.mark.parametrize(
    "expression",
    [
        *("", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *"),
        *("* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "1, * * * *", "@daily", "0 0 30 2 *", "0 0 31 4,6 *"),
        *("-1 * * * *", "1-/2 * * * *", "１ * * * *", "* * * * mon#6"),
    ],
)
def test_what_is_no_time_is_refused(expression: str) -> None:
    with pytest.raises(ValidationError):
        cron.validate(expression)


@given(st.text(alphabet="0123456789*/,-#L MONJA", max_size=30))
def test_whatever_is_said_is_refused_or_has_a_next_time(expression: str) -> None:
    try:
        cron.validate(expression)
    except ValidationError:
        return
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert cron.following(expression, now, BERLIN) > now


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int]]:
    """A field, and the values that it means."""
    match draw(st.sampled_from(["*", "*/", "value", "range", "range/", "list"])):
        case "*":
            return "*", set(range(low, high + 1))
        case "*/":
            step = draw(st.integers(1, high))
            return f"*/{step}", set(range(low, high + 1, step))
        case "value":
            value = draw(st.integers(low, high))
            return str(value), {value}
        case "list":
            values = draw(st.lists(st.integers(low, high), min_size=1, max_size=4))
            return ",".join(map(str, values)), set(values)
        case kind:
            first = draw(st.integers(low, high))
            last = draw(st.integers(first, high))
            assume(last > first)
            step = draw(st.integers(1, 9)) if kind == "range/" else 1
            return f"{first}-{last}{f'/{step}' if kind == 'range/' else ''}", set(range(first, last + 1, step))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow, too
@given(
    st.tuples(*(fields(low, high) for low, high in FIELDS)),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC)),
)
@example(
    (("0", {0}), ("*", set(range(24))), ("1", {1}), ("*", set(range(1, 13))), ("1", {1})),
    datetime(2026, 6, 1, tzinfo=UTC),
)
def test_the_next_time_is_the_first_minute_that_the_fields_name(
    drawn: tuple[tuple[str, set[int]], ...], now: datetime
) -> None:
    """Against a search minute by minute, within three days, where no clocks are shifted."""
    expression = " ".join(text for text, _ in drawn)
    minutes, hours, days, months, weekdays = (values for _, values in drawn)
    texts = expression.split()
    either = not (texts[2].startswith("*") or texts[4].startswith("*"))

    def named(moment: datetime) -> bool:
        by_day, by_weekday = moment.day in days, bool({moment.isoweekday(), moment.isoweekday() % 7} & weekdays)
        day = by_day or by_weekday if either else by_day and by_weekday
        return moment.minute in minutes and moment.hour in hours and moment.month in months and day

    candidate = now.replace(second=0, microsecond=0)
    searched = (candidate + timedelta(minutes=step) for step in range(1, 3 * 24 * 60))
    first = next((moment for moment in searched if named(moment)), None)
    try:
        cron.validate(expression)
        found = cron.following(expression, now, UTC)
    except ValidationError:
        assert first is None
    else:
        assert found == first or (first is None and found > candidate + timedelta(days=2))
