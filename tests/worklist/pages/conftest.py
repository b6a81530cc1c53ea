"""One server for all tests of the worklist's pages; each test has patients of its own."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser

from tests.browser import Window
from tests.node import Node
from tests.worklist.pages.page import Order

USERS = """
from django.contrib.auth.models import Group, User
for name, role in (("reader", "Radiologists"), ("technologist", "Technologists"), ("clinician", "Clinicians")):
    User.objects.create_user(name, password="{password}").groups.add(Group.objects.get(name=role))
"""


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("pages")) as running:
        running.manage("prepare")
        running.shell(USERS.format(password=running.admin_password))
        yield running.start("web")


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    with Window(browser, node) as window:
        window.sign_in("technologist")
        yield window
        assert not window.elsewhere()
        assert not window.complaints
        assert not window.refusals


@pytest.fixture
def other(window: Window) -> Iterator[APIRequestContext]:
    """Another client, which asks over REST."""
    with window.rest() as client:
        yield client


@pytest.fixture
def order(other: APIRequestContext) -> Order:
    """`order("ID1")` schedules a step for a patient of the test's own."""

    def make(patient_id: str, **said: Any) -> dict[str, Any]:
        now = datetime.now()
        given = {
            "patient_id": patient_id,
            "patient_name": f"Doe^{patient_id}",
            "modality": "CT",
            "scheduled_station_ae_title": "CT1",
            "scheduled_procedure_step_start_date": f"{now:%Y%m%d}",
            "scheduled_procedure_step_start_time": "0900",
            "requested_procedure_description": "CT chest",
        }
        answer = other.post(
            "/api/worklist/", data=json.dumps({**given, **said}), headers={"Content-Type": "application/json"}
        )
        assert answer.status == 201, answer.text()
        made: dict[str, Any] = answer.json()
        return made

    return make
