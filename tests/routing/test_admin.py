"""Routing rules in the admin."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.routing.models import RoutingRule
from apps.routing.rules import Draft
from tests.routing.made import condition, peer, rule

pytestmark = pytest.mark.django_db

GIVEN = {
    "name": "one",
    "enabled": "on",
    "when": "quiet",
    "quiet_seconds": "30",
    "match": "all",
    "conditions": '[{"attribute": "modality", "operator": "is", "values": ["CT"]}]',
    "names": ["WS"],
    "priority": "0",
}


def test_a_rule_is_added_changed_and_deleted_through_the_verbs(admin_client: Client) -> None:
    peer("WS")
    add = reverse("admin:routing_routingrule_add")
    assert admin_client.post(add, GIVEN).status_code == 302
    row = RoutingRule.objects.get()
    assert (row.revision, [each.name for each in Draft.of(row).destinations]) == (1, ["WS"])
    change = reverse("admin:routing_routingrule_change", args=[row.pk])
    assert admin_client.post(change, {**GIVEN, "quiet_seconds": "60"}).status_code == 302
    row.refresh_from_db()
    assert (row.revision, row.quiet_seconds) == (2, 60)
    admin_client.post(reverse("admin:routing_routingrule_delete", args=[row.pk]), {"post": "yes"})
    assert not RoutingRule.objects.exists()
    trail = AuditEvent.objects.filter(object_kind="routing_rule").order_by("id")
    assert [event.action for event in trail] == ["add", "change", "delete"]


def test_errors_stand_beside_their_field(admin_client: Client) -> None:
    peer("WS")
    add = reverse("admin:routing_routingrule_add")
    wrong = '[{"attribute": "modality", "operator": "in_range", "values": ["1", "2"]}]'
    page = admin_client.post(add, {**GIVEN, "conditions": wrong}).content.decode()
    assert "it cannot be asked so" in page
    assert not RoutingRule.objects.exists()


def test_the_list_says_what_goes_where(admin_client: Client) -> None:
    peer("WS")
    rule(conditions=[condition("modality", "is", "CT")])
    page = admin_client.get(reverse("admin:routing_routingrule_changelist")).content.decode()
    assert "Modality is CT" in page
