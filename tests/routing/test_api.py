"""REST of routing rules."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from apps.audit.models import AuditEvent
from apps.jobs.models import Job
from apps.routing.models import RoutingRule
from tests.routing.made import come, condition, pass_time, peer, run_routing, sent
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)

RULES = "/api/routing-rules/"
CT = condition("modality", "is", "CT")


@pytest.fixture(autouse=True)
def peers() -> None:
    peer("WS")
    peer("NEURO")


def send(client: Client, address: str, document: Any, method: str = "POST", **headers: str) -> tuple[int, Any]:
    call = getattr(client, method.lower())
    answer = call(address, json.dumps(document), content_type="application/json", headers=headers)
    return answer.status_code, json.loads(answer.content) if answer.content else None


def add(client: Client, **said: Any) -> dict[str, Any]:
    status, row = send(client, RULES, {"name": "one", "destinations": ["WS"], **said})
    assert status == 201, row
    made_row: dict[str, Any] = row
    return made_row


def test_a_rule_is_made_read_changed_and_deleted(admin_client: Client) -> None:
    row = add(admin_client, conditions=[CT], quiet_seconds=30)
    assert (row["position"], row["fired"], row["reads"], row["missing"]) == (1, 0, ["Modality is CT"], [])
    address = f"{RULES}{row['id']}/"
    assert admin_client.get(address).json() == row
    status, changed = send(admin_client, address, {"enabled": False, "destinations": ["WS", "NEURO"]}, "PATCH")
    assert (status, changed["destinations"], changed["conditions"]) == (200, ["WS", "NEURO"], [CT])
    assert send(admin_client, address, {"stops": True}, "PATCH", **{"If-Match": '"1"'})[0] == 412
    assert send(admin_client, address, {"stops": True}, "PATCH", **{"If-Match": '"2"'})[0] == 200
    assert admin_client.delete(address).status_code == 204
    assert admin_client.get(address).status_code == 404
    trail = AuditEvent.objects.filter(object_kind="routing_rule").order_by("id")
    assert [event.action for event in trail] == ["add", "change", "change", "delete"]
    assert trail[1].detail["enabled"] == [True, False]


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"when": "soon"}, "when"),
        ({"when": []}, "when"),
        ({"quiet_seconds": 0}, "quiet_seconds"),
        ({"quiet_seconds": True}, "quiet_seconds"),
        ({"enabled": "yes"}, "enabled"),
        ({"match": "none"}, "match"),
        ({"priority": 100_000}, "priority"),
        ({"destinations": []}, "destinations"),
        ({"destinations": ["NOBODY"]}, "destinations"),
        ({"destinations": "WS"}, "destinations"),
        ({"conditions": {}}, "conditions"),
        ({"conditions": [CT, {"attribute": "modality"}]}, "conditions[1].operator"),
        ({"conditions": [7]}, "conditions[0]"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_stand_is_named(admin_client: Client, said: dict[str, Any], where: str) -> None:
    status, problem = send(admin_client, RULES, {"name": "one", "destinations": ["WS"], **said})
    assert status == 400
    assert list(problem["errors"]) == [where]
    assert not RoutingRule.objects.exists()


def test_a_name_is_given_once(admin_client: Client) -> None:
    add(admin_client)
    status, problem = send(admin_client, RULES, {"name": "one", "destinations": ["WS"]})
    assert (status, list(problem["errors"])) == (400, ["name"])


def test_rules_change_places(admin_client: Client) -> None:
    keys = [add(admin_client, name=name)["id"] for name in ("a", "b", "c")]
    status, row = send(admin_client, f"{RULES}{keys[2]}/move/", {"position": 1})
    assert (status, row["position"]) == (200, 1)
    send(admin_client, f"{RULES}{keys[0]}/move/", {"position": 99})
    assert [row["name"] for row in admin_client.get(RULES).json()["results"]] == ["c", "b", "a"]
    assert send(admin_client, f"{RULES}{keys[0]}/move/", {"position": 0})[0] == 400
    assert send(admin_client, f"{RULES}{keys[0]}/move/", {})[0] == 400
    assert admin_client.post(f"/routing/{keys[2]}/move/{10**30}/").status_code == 302
    assert [row["name"] for row in admin_client.get(RULES).json()["results"]] == ["b", "a", "c"]


def test_a_dry_run_says_what_would_go_where_and_why_not(admin_client: Client) -> None:
    come(1, 2)
    come(3, source=made.provenance(peer="WS"))
    come(1, series="1.2.3.2", modality="SR")
    draft = {"name": "try", "destinations": ["WS", "NEURO"], "conditions": [CT]}
    status, found = send(admin_client, f"{RULES}dry-run/", {"rule": draft, "filter": {"PatientID": "P1"}})
    assert status == 200
    assert (found["number_of_studies"], found["number_of_images"], found["more"]) == (1, 4, False)
    assert found["to"] == {"WS": 2, "NEURO": 3}
    (study,) = found["studies"]
    assert study["patient_name"] == "Doe^John"
    assert study["keeps"] == [
        {"reason": "Modality is CT, but it is SR", "destination": None, "images": 1},
        {"reason": "They came from there", "destination": "WS", "images": 1},
    ]
    assert not Job.objects.filter(kind="send").exists()
    assert not RoutingRule.objects.exists()


def test_a_dry_run_knows_what_was_sent_and_what_an_earlier_rule_keeps(admin_client: Client) -> None:
    first = add(admin_client, name="first", conditions=[CT], stops=True)
    second = add(admin_client, name="second", destinations=["NEURO"])
    come(1)
    pass_time(70)
    _, found = send(admin_client, f"{RULES}{first['id']}/dry-run/", {})
    assert found["studies"][0]["keeps"] == [{"reason": "Sent already", "destination": "WS", "images": 1}]
    _, found = send(admin_client, f"{RULES}{second['id']}/dry-run/", {"limit": 1})
    assert found["studies"][0]["keeps"][0]["reason"] == "An earlier rule stops: first"
    _, found = send(admin_client, f"{RULES}{first['id']}/dry-run/", {"rule": {"destinations": ["NEURO"]}})
    assert found["to"] == {"NEURO": 1}


def test_a_dry_run_of_an_impossible_filter_is_refused(admin_client: Client) -> None:
    draft = {"name": "try", "destinations": ["WS"]}
    wrong: list[Any] = [{"Colour": "red"}, {"StudyDate": "tomorrow"}, {"limit": "1"}, ["PatientID"], {"PatientID": []}]
    for asked in wrong:
        status, problem = send(admin_client, f"{RULES}dry-run/", {"rule": draft, "filter": asked})
        assert (status, list(problem["errors"])) == (400, ["filter"])


def test_a_rule_is_applied_to_stored_studies_as_a_job(admin_client: Client) -> None:
    come(1)
    come(1, study="1.2.4", patient_id="P2")
    row = add(admin_client)
    status, asked = send(admin_client, f"{RULES}{row['id']}/apply/", {"filter": {"PatientID": "P2"}})
    assert status == 201
    assert admin_client.get(f"/api/jobs/{asked['job']}/").json()["kind"] == "apply_routing_rule"
    run_routing()
    assert sent() == [("WS", ["1.2.4.1.1"])]
    assert send(admin_client, f"{RULES}{row['id']}/apply/", {"filter": {"Colour": "red"}})[0] == 400


def test_what_conditions_may_name_is_told(admin_client: Client) -> None:
    table = {row["attribute"]: row for row in admin_client.get(f"{RULES}attributes/").json()["results"]}
    assert {"calling_ae_title", "called_ae_title", "peer", "modality", "body_part_examined"} <= set(table)
    assert "in_range" in [each["operator"] for each in table["study_date"]["operators"]]
    assert "contains" not in [each["operator"] for each in table["study_date"]["operators"]]


def test_rules_are_for_administrators(client: Client, admin_client: Client) -> None:
    row = add(admin_client)
    user = User.objects.create_user("reader")
    user.groups.add(Group.objects.get_or_create(name="Radiologists")[0])
    client.force_login(user)
    assert client.get(RULES).status_code == 403
    assert send(client, RULES, {"name": "two", "destinations": ["WS"]})[0] == 403
    assert send(client, f"{RULES}{row['id']}/dry-run/", {})[0] == 403
