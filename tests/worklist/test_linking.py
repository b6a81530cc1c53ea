"""A study meets its order."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from django.contrib.auth.models import Group, User
from django.test import Client
from pydicom.data import get_testdata_file
from pytest_django import Settings

from apps.accounts.principal import Kind, Principal, system
from apps.audit.models import AuditEvent
from apps.jobs import outbox
from apps.jobs.models import Job
from apps.jobs.runner import run_due
from apps.storage import archive, index
from apps.worklist import deciding, linking, schedule
from apps.worklist.models import LinkState, ScheduledProcedureStep, StudyLink
from apps.worklist.order import Order
from dicom.sop_classes import Service
from tests.node import Node, wait_for
from tests.peers import peer
from tests.storage import made as storage

TECHNOLOGIST = Principal(
    kind=Kind.USER, name="tech", services=frozenset({Service.WORKLIST, Service.MPPS, Service.FIND})
)
SYSTEM = system("test")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _archive(settings: Settings, tmp_path: Path) -> None:
    index._told.clear()
    settings.DATA = tmp_path
    settings.SPOOL = tmp_path / "spool" / "main"
    settings.ARCHIVE = tmp_path / "archive"
    settings.MINIMUM_FREE = 1 << 20


def ordered(**attributes: Any) -> ScheduledProcedureStep:
    given = {"patient_id": "P1", "patient_name": "Doe^John", "study_instance_uid": "1.2.3", **attributes}
    return schedule.schedule(principal=TECHNOLOGIST, order=Order(**given))


def changed(step: ScheduledProcedureStep, **attributes: Any) -> None:
    schedule.reschedule(
        principal=TECHNOLOGIST,
        step_id=step.pk,
        changes=Order(**attributes),
        update_patient="patient_id" not in attributes,
    )


def stored(**values: Any) -> None:
    storage.receive(**values)
    storage.index()


def settled() -> list[StudyLink]:
    """The links when all jobs that events have made are done."""
    outbox.dispatch()
    Job.objects.filter(kind__startswith="link_").update(due_at="2020-01-01T00:00:00Z")
    run_due()
    return list(StudyLink.objects.order_by("pk"))


def only() -> StudyLink:
    (link,) = settled()
    return link


def test_a_study_of_the_orders_uid_and_patient_is_linked() -> None:
    step = ordered(patient_birth_date="19800102", patient_sex="M")
    stored(name="DOE^JOHN^^", birth_date="1980.01.02")
    link = only()
    assert (link.state, link.matched_by) == (LinkState.LINKED, "study_instance_uid")
    assert [each.pk for each in linking.of_step(step)] == [link.pk]
    assert AuditEvent.objects.filter(action="match study and order").count() == 1


def test_an_order_that_comes_later_meets_the_study_that_is_there() -> None:
    stored()
    assert settled() == []
    ordered()
    assert only().state == LinkState.LINKED


@pytest.mark.parametrize(
    ("study", "differences"),
    [
        ({"patient_id": "P2"}, ["patient_id"]),
        ({"name": "Roe^John"}, ["patient_name"]),
        ({"birth_date": "19800103"}, ["patient_birth_date"]),
        ({"sex": "F"}, ["patient_sex"]),
        ({"patient_id": "P2", "sex": "F"}, ["patient_id", "patient_sex"]),
    ],
)
def test_who_differs_waits_for_a_person(study: dict[str, Any], differences: list[str]) -> None:
    step = ordered(patient_birth_date="19800102", patient_sex="M")
    stored(**study)
    link = only()
    assert (link.state, link.differences) == (LinkState.MISMATCH, differences)
    assert linking.of_step(step) == []


@pytest.mark.parametrize(
    ("of_study", "of_order", "differ"),
    [
        ("Doe^John", "DOE^JOHN", False),
        ("Müller", "Muller", False),
        ("Yamada^Tarou=山田^太郎", "Yamada^Tarou", False),
        ("Yamada^Tarou=山田^太郎", "山田^太郎", True),
        ("=山田^太郎", "山田^太郎", False),
        ("Yamada^Tarou=山田^太郎", "Yamada^Jirou=山田^太郎", True),
        ("Doe^John", "Doe^John^A", True),
    ],
)
def test_names_are_compared_as_they_are_searched(of_study: str, of_order: str, differ: bool) -> None:
    assert linking._names_differ(of_study, of_order) is differ


def test_without_the_uid_accession_number_and_patient_bring_them_together() -> None:
    ordered(study_instance_uid="9.9", accession_number="A1")
    stored(accession="A1")
    link = only()
    assert (link.state, link.matched_by) == (LinkState.LINKED, "accession_number")


def test_an_accession_number_without_the_patient_id_is_not_enough() -> None:
    ordered(study_instance_uid="9.9", accession_number="A1")
    stored(accession="A1", patient_id="")
    assert only().differences == ["patient_id"]


def test_an_accession_number_with_several_procedures_waits_for_a_person() -> None:
    for number in (1, 2):
        ordered(study_instance_uid=f"9.{number}", accession_number="A1", requested_procedure_id=f"R{number}")
    stored(accession="A1")
    first, second = settled()
    assert first.differences == second.differences == ["requested_procedure_id"]
    deciding.link(principal=TECHNOLOGIST, link_id=second.pk, reason="seen")
    assert [link.state for link in StudyLink.objects.order_by("pk")] == [LinkState.WITHDRAWN, LinkState.LINKED]
    storage.receive(accession="A1", sop="1.2.3.1.1.2")
    storage.index()
    assert [link.state for link in settled()] == [LinkState.WITHDRAWN, LinkState.LINKED]


def test_what_has_nothing_in_common_is_not_listed() -> None:
    ordered(study_instance_uid="9.9", accession_number="A1")
    stored(accession="A2")
    assert settled() == []


def test_a_corrected_order_is_linked_by_itself() -> None:
    step = ordered(patient_name="Doe^Johnny")
    stored()
    assert only().state == LinkState.MISMATCH
    changed(step, patient_name="Doe^John")
    link = only()
    assert link.state == LinkState.LINKED
    assert [event.state for event in link.events.all()] == ["mismatch", "linked"]


def test_a_link_whose_order_changes_waits_for_a_person() -> None:
    step = ordered()
    stored()
    assert only().state == LinkState.LINKED
    changed(step, patient_name="Roe^Richard")
    assert only().state == LinkState.MISMATCH
    changed(step, study_instance_uid="9.9")
    assert only().state == LinkState.WITHDRAWN


def test_a_study_that_is_deleted_is_linked_no_more_until_it_is_back() -> None:
    step = ordered()
    stored()
    assert only().state == LinkState.LINKED
    index._told.clear()  # who told of a study a moment ago tells of it no more for a while
    archive.delete(principal=SYSTEM, study_instance_uid="1.2.3")
    assert only().state == LinkState.WITHDRAWN
    assert linking.of_step(step) == []
    index._told.clear()
    stored()
    assert only().state == LinkState.LINKED


def test_the_same_again_changes_nothing() -> None:
    ordered()
    stored()
    before = only()
    linking.match_study("1.2.3", principal=SYSTEM)
    after = only()
    assert (after.revision, after.changed_at) == (before.revision, before.changed_at)
    assert after.events.count() == 1


def test_what_is_dismissed_stays_so_until_the_values_change() -> None:
    step = ordered(patient_name="Doe^Johnny")
    stored()
    link = deciding.dismiss(principal=TECHNOLOGIST, link_id=only().pk, reason="somebody else")
    linking.match_study("1.2.3", principal=SYSTEM)
    changed(step, modality="MR")
    assert only().state == LinkState.DISMISSED
    changed(step, patient_name="Doe^J")
    link = only()
    assert (link.state, link.decided_by) == (LinkState.MISMATCH, "")
    assert [event.actor for event in link.events.all()] == ["outbox", "tech", "outbox"]


def test_what_a_person_linked_stays_linked_whatever_differs() -> None:
    step = ordered(patient_name="Roe^Richard")
    stored()
    link = deciding.link(principal=TECHNOLOGIST, link_id=only().pk, reason="married")
    assert (link.decided_by, link.reason) == ("tech", "married")
    changed(step, patient_name="Roe^R")
    assert only().state == LinkState.LINKED
    deciding.unlink(principal=TECHNOLOGIST, link_id=link.pk)
    linking.match_study("1.2.3", principal=SYSTEM)
    assert only().state == LinkState.DISMISSED
    assert linking.of_step(step) == []


def test_a_person_links_what_nothing_brought_together() -> None:
    step = ordered(study_instance_uid="9.9", patient_id="P7", patient_name="Roe^Richard")
    stored()
    link = deciding.link_by_hand(principal=TECHNOLOGIST, study_instance_uid="1.2.3", step_id=step.pk, reason="phone")
    assert (link.state, link.matched_by) == (LinkState.LINKED, linking.BY_HAND)
    linking.match_study("1.2.3", principal=SYSTEM)
    assert only().state == LinkState.LINKED
    with pytest.raises(deciding.WrongState):
        deciding.link_by_hand(principal=TECHNOLOGIST, study_instance_uid="1.2.3", step_id=step.pk)
    with pytest.raises(deciding.NoSuchLink):
        deciding.link_by_hand(principal=TECHNOLOGIST, study_instance_uid="1.2.4", step_id=step.pk)


@pytest.mark.parametrize("first", ["images", "question"])
def test_images_of_an_order_in_question_wait_for_a_person(first: str) -> None:
    step = ordered()
    if first == "images":
        stored()
        assert only().state == LinkState.LINKED
    deciding.question(principal=SYSTEM, procedure=step.requested_procedure, why="incorrect worklist entry selected")
    if first == "question":
        stored()
    link = only()
    assert (link.state, link.differences) == (LinkState.MISMATCH, [])
    assert deciding.link(principal=TECHNOLOGIST, link_id=link.pk).question == ""
    linking.match_study("1.2.3", principal=SYSTEM)
    assert only().state == LinkState.LINKED


def test_who_may_not_see_studies_or_change_orders_decides_nothing() -> None:
    ordered(patient_name="Roe^Richard")
    stored()
    link = only()
    ris = Principal(kind=Kind.USER, name="ris", services=frozenset({Service.WORKLIST, Service.MPPS}))
    radiologist = Principal(kind=Kind.USER, name="r", services=frozenset({Service.WORKLIST, Service.FIND}))
    with pytest.raises(deciding.NoSuchLink):
        deciding.link(principal=ris, link_id=link.pk)
    with pytest.raises(schedule.NotAllowed):
        deciding.link(principal=radiologist, link_id=link.pk)
    assert only().state == LinkState.MISMATCH


@pytest.fixture
def technologist() -> Client:
    made = User.objects.create_user("tech")
    made.groups.add(Group.objects.get_or_create(name="Technologists")[0])
    client = Client()
    client.force_login(made)
    return client


def post(client: Client, path: str, document: Any, **headers: str) -> Any:
    return client.post(path, json.dumps(document), content_type="application/json", headers=headers)


def test_mismatches_are_listed_and_decided_over_rest(technologist: Client) -> None:
    step = ordered(patient_name="Roe^Richard")
    stored()
    link = only()
    listed = technologist.get("/api/study-links/?state=mismatch").json()
    assert [row["id"] for row in listed["results"]] == [link.pk]
    row = listed["results"][0]
    assert row["differences"] == {"patient_name": {"study": "Doe^John", "order": "Roe^Richard"}}
    assert row["study"]["number_of_study_related_instances"] == 1
    assert row["order"]["steps"] == [step.pk]
    address = f"/api/study-links/{link.pk}/"
    assert post(technologist, f"{address}unlink/", {}).status_code == 409
    assert post(technologist, f"{address}link/", {}, **{"If-Match": '"7"'}).status_code == 412
    known = technologist.get(address)["ETag"]
    decided = post(technologist, f"{address}link/", {"reason": "married"}, **{"If-Match": known})
    assert (decided.status_code, decided.json()["state"], decided.json()["decided_by"]) == (200, "linked", "tech")
    assert [event["action"] for event in decided.json()["history"]] == ["match", "link"]
    studies = technologist.get(f"/api/worklist/{step.pk}/").json()["linked_studies"]
    assert [(study["study_instance_uid"], study["link"]) for study in studies] == [("1.2.3", link.pk)]
    for query in ("state=mismatch", "study_instance_uid=9", f"step={step.pk + 1}"):
        assert technologist.get(f"/api/study-links/?{query}").json()["results"] == []
    assert technologist.get(f"/api/study-links/?step={step.pk}&state=linked,dismissed").json()["results"]
    assert post(technologist, f"{address}unlink/", {}).json()["state"] == "dismissed"


def test_a_study_is_linked_by_hand_over_rest(technologist: Client) -> None:
    step = ordered(study_instance_uid="9.9")
    stored()
    made = post(technologist, "/api/study-links/", {"study_instance_uid": "1.2.3", "step": step.pk})
    assert made.status_code == 201
    assert technologist.get(made["Location"]).json() == made.json()
    for document, wrong in (({"step": "x"}, "step"), ({"study": "1.2.3"}, "study")):
        answer = post(technologist, "/api/study-links/", document)
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {wrong})
    for query, wrong in (("state=open", "state"), ("after=x", "after"), ("step=x", "step"), ("q=1", "q")):
        answer = technologist.get(f"/api/study-links/?{query}")
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {wrong})


def test_pages_of_links_meet_each_once(technologist: Client) -> None:
    for number in range(3):
        ordered(study_instance_uid=f"1.2.3.{number}", requested_procedure_id=f"R{number}")
        storage.receive(study=f"1.2.3.{number}", series=f"1.2.3.{number}.1", sop=f"1.2.3.{number}.1.1")
    storage.index()
    settled()
    address, met = "/api/study-links/?limit=2", []
    while address:
        page = technologist.get(address).json()
        met += [row["study_instance_uid"] for row in page["results"]]
        address = page["next"]
    assert sorted(met) == ["1.2.3.0", "1.2.3.1", "1.2.3.2"]


@pytest.mark.live
@pytest.mark.timeout(300)
def test_a_stored_study_is_linked_or_listed_by_the_running_archive(node: Node, tmp_path: Path) -> None:
    storescu = peer("storescu")
    node.start()
    session = requests.Session()
    session.auth = ("admin", node.admin_password)
    base = f"http://{node.host}:{node.http_port}/api"
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    order = {"patient_id": str(dataset.PatientID), "patient_name": str(dataset.PatientName)}
    wanted = {"right": order, "wrong": {**order, "patient_id": "other", "patient_name": "Roe^Richard"}}
    steps = {name: session.post(f"{base}/worklist/", json=given).json() for name, given in wanted.items()}
    files: list[str] = []
    for name, step in steps.items():
        dataset.StudyInstanceUID = step["study_instance_uid"]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.{len(files) + 1}"
        dataset.SeriesInstanceUID = f"{dataset.SOPInstanceUID}.1"
        files.append(str(tmp_path / f"{name}.dcm"))
        dataset.save_as(files[-1])
    subprocess.run([storescu, "-aec", node.ae_title, node.host, str(node.dimse_port), *files], check=True, timeout=60)

    def linked(state: str) -> Callable[[], bool]:
        def looked() -> bool:
            rows = session.get(f"{base}/study-links/", params={"state": state}).json()["results"]
            name = "right" if state == "linked" else "wrong"
            return [row["study_instance_uid"] for row in rows] == [steps[name]["study_instance_uid"]]

        return looked

    wait_for(linked("linked"), timeout=120, what="the right study is linked")
    wait_for(linked("mismatch"), timeout=120, what="the wrong study is listed")
    shown = session.get(f"{base}/worklist/{steps['right']['id']}/").json()["linked_studies"]
    assert [study["number_of_study_related_instances"] for study in shown] == [1]
