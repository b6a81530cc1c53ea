"""What an administrator sees of the archive, and decides."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.storage.models import Conflict, DeletedInstance, FailedFile, Instance, QuarantinedInstance, Study
from apps.storage.spool import spool
from tests.node import wait_for
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", password="secret"))
    return client


def url(page: str, *args: object) -> str:
    return reverse(f"admin:storage_{page}", args=args)


@pytest.mark.parametrize(
    "model", ["patient", "study", "series", "quarantinedinstance", "conflict", "failedfile", "deletedinstance"]
)
def test_every_list_opens_and_is_searched(browser: Client, model: str) -> None:
    made.receive(name="Doe^<script>")
    made.index()
    page = browser.get(url(f"{model}_changelist"), {"q": "doe"})
    assert page.status_code == 200
    assert b"<script>Doe" not in page.content
    assert b"Doe^<script>" not in page.content


def test_deleting_studies_asks_first_and_can_be_undone(browser: Client) -> None:
    made.receive()
    made.index()
    chosen = {"action": "delete_studies", "_selected_action": [str(Study.objects.get().pk)]}
    asked = browser.post(url("study_changelist"), chosen)
    assert b'Delete 1 instance"' in asked.content
    assert Instance.objects.count() == 1
    browser.post(url("study_changelist"), {**chosen, "confirmed": "yes"})
    assert Instance.objects.count() == 0
    browser.post(url("deletedinstance_restore", DeletedInstance.objects.get().pk))
    assert Instance.objects.count() == 1
    assert {"delete", "restore"} <= set(AuditEvent.objects.values_list("action", flat=True))


def test_a_version_in_quarantine_is_made_current_or_discarded(browser: Client) -> None:
    made.receive(name="First^One")
    made.index()
    made.receive(name="Other^One")
    made.index()
    row = QuarantinedInstance.objects.get()
    browser.post(url("quarantinedinstance_accept", row.pk))
    assert Instance.objects.get().name == row.name
    again = browser.post(url("quarantinedinstance_accept", row.pk), follow=True)  # two people, or a second press
    assert again.status_code == 200 and "not in this list any more" in again.text
    browser.post(url("quarantinedinstance_discard", QuarantinedInstance.objects.get().pk))
    assert QuarantinedInstance.objects.get().state == "discarded"


def test_quarantine_shows_whose_file_it_is_and_where_it_differs(browser: Client, archive: Path) -> None:
    made.receive(name="First^One", study_description="x" * 300, rows=2, pixels=bytes(10))
    made.index()
    made.receive(
        name="Other^One<b>", patient_id="B1", study_description="x" * 299 + "y", rows=3, pixels=bytes(9) + b"1"
    )
    made.index()
    row = QuarantinedInstance.objects.get()
    listed = browser.get(url("quarantinedinstance_changelist")).content.decode()
    assert "Other^One&lt;b&gt;" in listed
    assert "First^One" not in listed
    page = browser.get(url("quarantinedinstance_change", row.pk)).content.decode()
    assert "PatientName" in page and "First^One" in page and "Other^One&lt;b&gt;" in page
    differing = re.findall(r"<th>(\w+)</th>", page.partition("<tbody>")[2])
    assert differing == ["StudyDescription", "PatientName", "PatientID", "Rows", "PixelData"]
    (archive / row.path).unlink()
    assert "cannot be compared" in browser.get(url("quarantinedinstance_change", row.pk)).content.decode()
    assert browser.get(url("quarantinedinstance_changelist")).status_code == 200


def test_values_in_conflict_stand_apart_with_their_time(browser: Client) -> None:
    made.receive(sop="1.2.3.1.1.1", sex="M")
    made.index()
    made.receive(sop="1.2.3.1.1.2", sex="F")
    made.index()
    page = browser.get(url("conflict_changelist")).content.decode()
    assert page.count('<span class="quiet">since 20') == 2


def test_a_conflict_is_dismissed_by_a_name(browser: Client) -> None:
    made.receive(sop="1.2.3.1.1.1", sex="M")
    made.index()
    made.receive(sop="1.2.3.1.1.2", sex="F")
    made.index()
    browser.post(url("conflict_dismiss", Conflict.objects.get(attribute="patient_sex").pk))
    assert Conflict.objects.get(attribute="patient_sex").dismissed_by == "admin"
    shown = {
        state: list(browser.get(url("conflict_changelist"), {"open": state}).context["cl"].queryset)
        for state in ("yes", "no")
    }
    assert shown == {"yes": [], "no": [Conflict.objects.get()]}


def test_a_failed_file_is_given_back_to_the_indexer(browser: Client, archive: Path) -> None:
    name = made.receive().name
    wait_for(lambda: spool().is_waiting(name))  # another thread may be handing it over
    spool().put_aside(name)
    row = FailedFile.objects.create(node="main", name=name, reason="of a test", failed_at="2026-01-01T00:00Z")
    browser.post(url("failedfile_retry", row.pk))
    assert spool().is_waiting(name)


def test_who_may_only_look_decides_nothing(client: Client) -> None:
    made.receive(name="First^One")
    made.index()
    made.receive(name="Other^One")
    made.index()
    client.force_login(User.objects.create_user("guest", is_staff=True))
    row = QuarantinedInstance.objects.get()
    assert client.post(url("quarantinedinstance_accept", row.pk)).status_code == 403
    assert client.post(url("study_changelist"), {"action": "delete_studies"}).status_code == 403
    assert Instance.objects.get().name != row.name
