"""`/api/commitments/` and the page of a request."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from apps.commitment import pages
from apps.commitment.models import PAGE, CommitmentRequest, Direction, State
from apps.commitment.pages import Entry

pytestmark = pytest.mark.django_db

CT = "1.2.840.10008.5.1.4.1.1.2"


def request(transaction: str, *, references: int = 3, **columns: Any) -> CommitmentRequest:
    """Of so many instances, of which the second is not kept."""
    row = CommitmentRequest.objects.create(
        **{
            "direction": Direction.RECEIVED,
            "state": State.REPORTED,
            "transaction_uid": transaction,
            "peer": "ct",
            "calling_ae_title": "CT1",
            "called_ae_title": "PACS",
            "references": references,
            "committed": references - 1,
            "failed": 1,
            "created_at": timezone.now(),
            **columns,
        }
    )
    reasons = (0x0112 if number == 1 else 0 for number in range(references))
    pages.write(row, (Entry(CT, f"1.5.{number}", reason) for number, reason in enumerate(reasons)), decided=True)
    return row


@pytest.fixture
def technologist(client: Client) -> Client:
    user = User.objects.create_user("tech", password="x")
    user.groups.add(Group.objects.get(name="Technologists"))
    client.force_login(user)
    return client


def read(client: Client, address: str) -> Any:
    answer = client.get(f"/api/commitments/{address}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_requests_are_listed_the_latest_first_in_pages(technologist: Client) -> None:
    for number in range(3):
        request(f"1.2.{number}")
    first = read(technologist, "?limit=2")
    assert [row["transaction_uid"] for row in first["results"]] == ["1.2.2", "1.2.1"]
    rest = technologist.get(first["next"]).json()
    assert [row["transaction_uid"] for row in rest["results"]] == ["1.2.0"]
    assert rest["next"] is None


def test_requests_are_found_by_what_they_are(technologist: Client) -> None:
    request("1.2.1")
    sent = request("1.2.2", direction=Direction.SENT, state=State.ASKED, peer="lta")
    for asked in ("direction=sent", "state=asked", "peer=lta", "transaction_uid=1.2.2"):
        assert [row["id"] for row in read(technologist, f"?{asked}")["results"]] == [sent.pk], asked
    assert read(technologist, f"{sent.pk}/")["state"] == "asked"


def test_references_come_in_their_order_across_pages_of_both_kinds(technologist: Client) -> None:
    row = request("1.2.1", references=PAGE + 3)
    first = read(technologist, f"{row.pk}/references/?limit={PAGE + 1}")
    rest = technologist.get(first["next"]).json()
    assert rest["next"] is None
    uids = [each["sop_instance_uid"] for each in first["results"] + rest["results"]]
    assert uids == [f"1.5.{number}" for number in range(PAGE + 3)]


def test_what_is_not_kept_is_told_with_its_reason(technologist: Client) -> None:
    row = request("1.2.1")
    assert read(technologist, f"{row.pk}/references/?outcome=failed")["results"] == [
        {
            "position": 1,
            "sop_class_uid": CT,
            "sop_instance_uid": "1.5.1",
            "outcome": "failed",
            "reason": "0112 No such object instance",
        }
    ]
    assert len(read(technologist, f"{row.pk}/references/?outcome=committed")["results"]) == 2


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("?state=nonsense", 400),
        ("?direction=up", 400),
        ("?other=1", 400),
        ("?limit=0", 400),
        ("?after=x", 400),
        ("999/", 404),
        ("999/references/", 404),
        ("9999999999999999999999/", 404),
    ],
)
def test_what_cannot_be_answered_says_why(technologist: Client, address: str, status: int) -> None:
    assert technologist.get(f"/api/commitments/{address}").status_code == status


def test_who_has_no_right_to_commitment_sees_nothing(client: Client) -> None:
    assert client.get("/api/commitments/").status_code == 401
    user = User.objects.create_user("doctor", password="x")
    user.groups.add(Group.objects.get(name="Radiologists"))
    client.force_login(user)
    assert client.get("/api/commitments/").status_code == 403


def test_the_page_of_a_request_shows_what_is_not_kept(admin_client: Client) -> None:
    row = request("1.2.1")
    listed = admin_client.get("/admin/commitment/commitmentrequest/").content.decode()
    assert "CT1" in listed
    shown = admin_client.get(f"/admin/commitment/commitmentrequest/{row.pk}/change/").content.decode()
    assert "1.5.1: 0112 No such object instance" in shown
    assert "1.5.2" not in shown
