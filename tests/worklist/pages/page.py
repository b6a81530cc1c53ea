"""Ways that the tests of the worklist's pages take."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

Order = Callable[..., dict[str, Any]]


def shown(page: Page, text: str, **more: str) -> None:
    """The list, of what begins with a text."""
    page.goto(f"/worklist/?text={text}" + "".join(f"&{name}={value}" for name, value in more.items()))


def schedule(page: Page, patient_id: str, name: str, template: str = "CT chest") -> None:
    page.goto("/worklist/new/")
    page.get_by_label("Patient ID", exact=True).fill(patient_id)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Template").select_option(label=template)
