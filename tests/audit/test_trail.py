import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from apps.accounts.principal import Kind, Principal
from apps.audit.models import AppendOnly, AuditEvent
from apps.audit.trail import Actor, record

pytestmark = pytest.mark.django_db

ACTOR = Actor.of(Principal(kind=Kind.PEER, name="ct", address="10.0.0.1", ae_title="CT1"))


def test_an_event_says_who_did_what_to_what() -> None:
    record(actor=ACTOR, action="delete", object="study 1.2.3", outcome="refused", detail={"instances": 7})
    event = AuditEvent.objects.get()
    assert (event.actor_kind, event.actor_name, event.actor_ae_title, event.address) == (
        "peer",
        "ct",
        "CT1",
        "10.0.0.1",
    )
    assert (event.action, event.object_kind, event.object_uid, event.outcome) == ("delete", "study", "1.2.3", "refused")
    assert event.detail == {"instances": 7}
    assert (event.digest, event.previous) == (None, None)


def test_an_act_that_is_rolled_back_leaves_no_trace() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record(actor=ACTOR, action="delete")
        raise ZeroDivisionError
    assert not AuditEvent.objects.exists()


def test_no_text_is_too_long_or_too_strange_to_be_recorded() -> None:
    record(actor=Actor(name="x" * 999, address="\0" + "1" * 99), action="look", object="study " + "9\0" * 600)
    event = AuditEvent.objects.get()
    assert len(event.actor_name) == 150
    assert "\0" not in event.object_uid + event.address


def test_the_trail_is_not_rewritten_but_for_its_seal() -> None:
    event = record(actor=ACTOR, action="delete")
    for attempt in (
        event.save,
        event.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(action="nothing"),
    ):
        with pytest.raises(AppendOnly):
            attempt()
    assert AuditEvent.objects.update(digest="d", previous="p") == 1


def test_the_admin_shows_the_trail_and_nothing_else(admin_client: Client) -> None:
    event = record(actor=ACTOR, action="delete", object="study 1.2.3")
    page = admin_client.get(reverse("admin:audit_auditevent_changelist"), {"q": "1.2.3"}).content.decode()
    assert "peer ct" in page and "study 1.2.3" in page
    address = reverse("admin:audit_auditevent_change", args=[event.pk])
    assert admin_client.get(address).status_code == 200
    assert admin_client.post(address, {"action": "nothing"}).status_code == 403
    assert admin_client.get(reverse("admin:audit_auditevent_delete", args=[event.pk])).status_code == 403
    assert admin_client.get(reverse("admin:audit_auditevent_add")).status_code == 403
