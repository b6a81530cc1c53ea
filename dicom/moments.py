"""What a date, a time or a date time of any precision covers: its first and its last moment (PS3.5 6.2: DA, TM, DT)."""

import re
from datetime import date, datetime, time, timedelta, timezone

from dicom.values import parse_date

Moment = date | time | datetime

_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DATETIME = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)


def day(text: str) -> tuple[date, date] | None:
    date_ = parse_date(text)
    return (date_, date_) if date_ else None


def time_of_day(text: str) -> tuple[time, time] | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    try:
        return _first_and_last(match[1], match[2], match[3], match[4])
    except ValueError:
        return None


def _first_and_last(hour: str, minute: str | None, second: str | None, fraction: str | None) -> tuple[time, time]:
    """What a time of reduced precision covers (PS3.5 6.2, TM)."""
    seconds = (0, 59) if second is None else (59 if second == "60" else int(second),) * 2  # a leap second
    minutes = (0, 59) if minute is None else (int(minute),) * 2
    microseconds = ("0", "999999") if fraction is None else (fraction.ljust(6, "0"), fraction.ljust(6, "9"))
    first = time(int(hour), minutes[0], seconds[0], int(microseconds[0]))
    return first, time(int(hour), minutes[1], seconds[1], int(microseconds[1]))


def point(text: str) -> tuple[datetime, datetime] | None:
    """The first and the last moment of a DT of any precision."""
    match = _DATETIME.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        zone = _zone(offset)
        first_day = date(int(year), int(month or 1), int(day or 1))
        last_day = first_day if day else _last_day(first_day, month)
        first, last = _first_and_last(hour, minute, second, fraction) if hour else (time.min, time.max)
        return datetime.combine(first_day, first, zone), datetime.combine(last_day, last, zone)
    except ValueError:
        return None


def _last_day(first_day: date, month: str | None) -> date:
    if month is None or first_day.month == 12:
        return date(first_day.year, 12, 31)
    return date(first_day.year, first_day.month + 1, 1) - timedelta(days=1)


def _zone(offset: str | None) -> timezone | None:
    """PS3.5 6.2, DT: -1200 to +1400. Raises ValueError for what cannot be an offset."""
    if offset is None:
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    minutes = -minutes if offset[0] == "-" else minutes
    if not -720 <= minutes <= 840 or int(offset[3:]) > 59:
        raise ValueError("offset from UTC")
    return timezone(timedelta(minutes=minutes))
