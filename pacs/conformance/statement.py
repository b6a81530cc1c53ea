"""The conformance statement (PS3.2): words from `text/`, tables from what the program itself goes by."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from django.conf import settings

from dicom.sop_classes import Service, sop_classes_of
from pacs.conformance import tables, web
from pacs.conformance.markdown import code, table
from pacs.conformance.services import DESCRIPTIONS, Description
from pacs.services import SERVICES

PLACE: Final = settings.BASE_DIR / "CONFORMANCE.md"
_TEXT: Final = Path(__file__).parent / "text"
_MARK: Final = re.compile(r"<!-- (\w+) -->")


class Undescribed(Exception):
    """The program offers something of which the statement says nothing."""


def statement() -> str:
    """Raises Undescribed."""
    return re.sub(r"\n{3,}", "\n\n", _filled("statement.md")).strip() + "\n"


def _filled(name: str) -> str:
    path = _TEXT / name
    if not path.is_file():
        raise Undescribed(f"pacs/conformance/text/{name} is missing: it tells what the tables cannot")
    return _MARK.sub(lambda mark: _PARTS[mark[1]](), path.read_text(encoding="utf-8").strip())


def _services() -> str:
    return "\n\n".join(_service(service, _description(service)) for service in SERVICES)


def _description(service: Service) -> Description:
    described = DESCRIPTIONS.get(service)
    if described is None:
        raise Undescribed(
            f"TABLE 1 offers the service {service.value!r}, which pacs/conformance/services.py does not describe: "
            f"add it to DESCRIPTIONS, and pacs/conformance/text/{service.value}.md"
        )
    return described


def _service(service: Service, described: Description) -> str:
    parts = [f"### {described.title} (PS3.4 annex {described.annex})"]
    if service is not Service.STORE:
        classes = [(tables.name_of(uid), code(uid)) for uid in sop_classes_of(service)]
        parts.append(table(("SOP class", "UID"), classes))
    operations = ", ".join(sorted(field.name.replace("_", "-") for field in _fields(service)))
    parts.append(f"SCP: {operations}. SCU: {described.user or 'no'}.")
    parts.append(_filled(f"{service.value}.md"))
    parts.append(tables.statuses(described.statuses))
    return "\n\n".join(parts)


def _fields(service: Service) -> list[tables.CommandField]:
    return [tables.CommandField(field) for field in SERVICES[service].handlers]


def _overview() -> str:
    rows = []
    for service in SERVICES:
        described = _description(service)
        rows += [
            (described.title, name, "yes" if described.user else "no", "yes") for name in tables.class_names(service)
        ]
    return table(("service", "SOP classes", "SCU", "SCP"), rows)


def _not_offered() -> str:
    missing = [DESCRIPTIONS[service].title for service in Service if service not in SERVICES]
    return "".join(f"\n- {title} as SCP" for title in missing)


_PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "services": _services,
    "overview": _overview,
    "not_offered": _not_offered,
    **tables.PARTS,
    **web.PARTS,
}
