"""The conformance statement of the repository, read as somebody reads it who connects something."""

import re
from collections.abc import Sequence
from functools import cache

from pacs.conformance.statement import PLACE

_UID = re.compile(r"[0-9][0-9.]+")


@cache
def _sections() -> dict[str, list[list[str]]]:
    """Rows of the tables under each heading, without their heads."""
    found: dict[str, list[list[str]]] = {}
    rows: list[list[str]] = []
    previous = ""
    for line in PLACE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            rows = found.setdefault(line.strip("# "), [])
        elif line.startswith("| ---"):
            rows.pop()  # its heads
        elif line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip("| "))
            rows.append([cell.strip(" `") for cell in cells])
        previous = line
    assert previous
    return found


def rows(heading: str, columns: int) -> list[list[str]]:
    """Of the tables below a heading that have so many columns."""
    found = [row for row in _sections()[heading] if len(row) == columns]
    assert found, heading
    return found


def uids(heading: str) -> list[str]:
    return [row[1] for row in rows(heading, 2) if _UID.fullmatch(row[1])]


def services() -> Sequence[str]:
    return [heading for heading in _sections() if "(PS3.4 annex" in heading]


STORAGE = "Storage SOP classes"
PLAIN = "Transfer syntaxes of all other contexts"


def sop_classes() -> dict[str, list[str]]:
    """All that the statement says we provide, with the transfer syntaxes it says we take of each."""
    plain = uids(PLAIN)
    found = {uid: plain for heading in services() if heading != "Storage (PS3.4 annex B)" for uid in uids(heading)}
    return found | dict.fromkeys(uids(STORAGE), transfer_syntaxes())


def transfer_syntaxes() -> list[str]:
    return [row[1] for row in rows("Transfer syntaxes of storage contexts", 4)]
