"""DICOM values as people write them; what cannot be read stays as it was sent."""

from dicom.values import name_groups, parse_date, parse_time


def person_name(value: str) -> str:
    """`Doe^John^^Dr` -> `Doe, John, Dr`; an ideographic group follows in brackets."""
    alphabetic, ideographic, phonetic = (_name_group(group) for group in name_groups(value))
    others = [group for group in (ideographic, phonetic) if group]
    if not alphabetic:
        return " / ".join(others)
    return f"{alphabetic} ({' / '.join(others)})" if others else alphabetic


def _name_group(group: str) -> str:
    """PS3.5 6.2.1.1: family name, given name, middle name, prefix, suffix."""
    family, given, middle, prefix, suffix = (*(part.strip() for part in group.split("^")), "", "", "", "", "")[:5]
    return ", ".join(part for part in (family, f"{given} {middle}".strip(), prefix, suffix) if part)


def day(value: str) -> str:
    found = parse_date(value)
    return found.isoformat() if found else value


def time_of_day(value: str) -> str:
    """To the minute."""
    found = parse_time(value)
    return found.strftime("%H:%M") if found else value
