"""Tables of the statement about DICOMweb and REST, from what describes the interface to programs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from apps.qr.search import MOST
from dicom.multipart import MOST_PARTS
from pacs.conformance.markdown import code, table
from pacs.description import KEYS, WADO_URI, Operation, operations
from pacs.kinds import KINDS
from pacs.rest import COLLECTIONS


def _services() -> str:
    """As user agent we do what there is a kind of job for."""
    rows = (
        ("Search (QIDO-RS)", "no", "yes"),
        ("Retrieve (WADO-RS)", "yes, studies to instances" if "wado" in KINDS else "no", "yes"),
        ("Rendered, thumbnails, bulk data, frames", "no", "yes"),
        ("Store (STOW-RS)", "yes" if "stow" in KINDS else "no", "yes"),
        ("URI Service (WADO-URI)", "no", "yes"),
    )
    return table(("service of DICOMweb (PS3.18)", "user agent", "origin server"), rows)


def _resources() -> str:
    rows = [_row(address, method, operation) for address, method, operation in operations()]
    return table(("resource", "method", "what", "media types", "statuses"), rows)


def _row(address: str, method: str, operation: Operation) -> tuple[str, ...]:
    types = _types(operation.gives)
    if operation.takes:
        types = f"takes {_types(operation.takes)}; gives {types}"
    numbers = ", ".join(map(str, (*(operation.success or {200: ""}), *operation.statuses)))
    return code(address), method.upper(), operation.summary, types or "-", numbers


def _types(media_types: Iterable[str]) -> str:
    return ", ".join(map(code, media_types))


def _parameters() -> str:
    """Of all resources, each once, without the keys of searches: those are the attributes of queries."""
    found: dict[str, list[str]] = {}
    for _, _, operation in operations():
        for parameter in operation.parameters:
            if parameter["name"] not in KEYS:
                found.setdefault(parameter["name"], [parameter["description"]])
    rows = [(code(name), text[0]) for name, text in found.items()]
    return table(("parameter", "meaning"), rows)


def _wado_uri() -> str:
    rows = [(code(one["name"]), one["description"]) for one in WADO_URI.parameters]
    return table(("parameter", "meaning"), rows)


def _collections() -> str:
    return ", ".join(code(f"/api/{name}/") for name in COLLECTIONS)


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "web_services": _services,
    "resources": _resources,
    "web_parameters": _parameters,
    "wado_uri_parameters": _wado_uri,
    "collections": _collections,
    "most_answers": lambda: f"{MOST:,}",
    "most_parts": lambda: f"{MOST_PARTS:,}",
}
