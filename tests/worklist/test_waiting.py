"""Whoever decides of studies and orders sees on every page how many wait for him."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.principal import system
from apps.worklist import schedule
from apps.worklist.models import LinkState, StudyLink
from apps.worklist.order import Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def technologist(client: Client) -> Client:
    return signed_in(client, "Technologists")


def signed_in(client: Client, role: str) -> Client:
    user = User.objects.create_user(role.lower())
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


def made(number: int, state: LinkState = LinkState.MISMATCH) -> None:
    order = Order(patient_id=f"P{state}", patient_name="Doe^John")
    procedure = schedule.schedule(principal=system("test"), order=order).requested_procedure
    now = timezone.now()
    StudyLink.objects.bulk_create(
        StudyLink(study_instance_uid=f"1.2.{each}", requested_procedure=procedure, state=state, changed_at=now)
        for each in range(number)
    )


def shown(client: Client, path: str = "/jobs/") -> str:
    """The badge."""
    page = client.get(path).content.decode()
    return page.split('id="waiting"', 1)[1].split("</span></a>", 1)[0] if 'id="waiting"' in page else ""


def test_what_waits_is_counted_on_every_page_and_leads_to_the_list(technologist: Client) -> None:
    made(3)
    made(2, LinkState.LINKED)
    for path in ("/jobs/", "/studies/", "/worklist/", "/worklist/studies/waiting/"):
        badge = shown(technologist, path)
        assert 'href="/worklist/studies/"' in badge
        assert "3 studies wait for a decision" in badge
    assert '<span class="waiting-here">3</span>' in technologist.get("/worklist/").content.decode()


def test_nothing_that_waits_is_no_badge_and_many_are_not_counted_to_the_end(technologist: Client) -> None:
    assert "<a" not in shown(technologist).split("</span>", 1)[0]
    made(120)
    assert "99+" in shown(technologist)


def test_a_page_counts_once(technologist: Client) -> None:
    made(1)
    with CaptureQueriesContext(connection) as asked:
        technologist.get("/worklist/")
    assert sum("worklist_studylink" in query["sql"] for query in asked.captured_queries) == 1


@pytest.mark.parametrize("role", ["Radiologists", "Clinicians"])
def test_who_decides_nothing_is_not_bothered(client: Client, role: str) -> None:
    made(1)
    assert shown(signed_in(client, role)) == ""


def test_who_is_signed_out_meanwhile_keeps_the_page_he_is_on(client: Client) -> None:
    answer = client.get("/worklist/studies/waiting/")
    assert (answer.status_code, answer.content) == (204, b"")
