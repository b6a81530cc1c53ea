"""Several archives asked at once: one list that says who has what, and what went wrong with whom."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from apps.accounts.principal import Kind, Principal, system
from apps.audit.models import AuditEvent
from apps.network.calling import connect
from apps.network.models import Peer
from apps.qr import asking, remote_query
from apps.qr.remote_query import NotAllowed, UnknownPeers
from dicom.errors import InvalidValue
from dicom.part10 import meta_group
from dicom.sop_classes import Service
from tests.node import free_port
from tests.qr import rows
from tests.qr.serving import Serving
from tests.remotes import Remote, dcmqrscp, orthanc
from tests.storage.made import CT, EXPLICIT, data_set

pytestmark = pytest.mark.django_db(transaction=True)

ME = system("test")
QUERY = "/api/remote/query/"


def image(folder: Path, study: str, date: str, name: str) -> Path:
    uid = f"{study}.1.1"
    meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
    path = folder / f"{uid}.dcm"
    path.write_bytes(meta + data_set(study=study, series=f"{study}.1", sop=uid, study_date=date, name=name))
    return path


def known(name: str, remote: Remote) -> Peer:
    return Peer.objects.create(name=name, ae_title=remote.ae_title, host="127.0.0.1", port=remote.port)


@contextmanager
def silent() -> Iterator[Remote]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Remote("SILENT", server.getsockname()[1])


def test_a_study_that_two_archives_have_is_one_line_that_names_both(tmp_path: Path) -> None:
    paths = [image(tmp_path, f"1.2.{n}", f"2024010{n}", f"Doe^{n}") for n in (1, 2, 3)]
    with dcmqrscp(tmp_path) as dcmtk, orthanc(tmp_path) as other:
        dcmtk.store(*paths[:2])
        other.store(*paths[1:])
        known("a", dcmtk)
        known("b", other)
        answers = remote_query.ask(ME, ["a", "b"], asking.asked("study", {"patient_name": "Doe*"}))
        series = remote_query.ask(ME, ["a", "b"], asking.asked("series", {"study_instance_uid": "1.2.2"}))
    assert [(found.values["StudyInstanceUID"], list(found.archives)) for found in answers.found] == [
        ("1.2.3", ["b"]),
        ("1.2.2", ["a", "b"]),
        ("1.2.1", ["a"]),
    ]
    assert [(name, told.answers, told.more, told.error) for name, told in answers.told.items()] == [
        ("a", 2, False, ""),
        ("b", 2, False, ""),
    ]
    assert [(found.values["SeriesInstanceUID"], list(found.archives)) for found in series.found] == [
        ("1.2.2.1", ["a", "b"])
    ]
    (event,) = AuditEvent.objects.filter(action="query", detail__level="STUDY")
    assert (event.object_uid, event.detail["keys"]) == ("a, b", {"PatientName": "Doe*"})


def test_who_is_not_there_or_silent_keeps_nobody_from_the_others_answers(archive: None) -> None:
    with Serving() as serving, silent() as mute:
        known("here", Remote("PACS", serving.port))
        known("mute", mute)
        known("gone", Remote("GONE", free_port()))
        peers = {peer.name: partial(connect, peer) for peer in remote_query.callable_peers()}
        answers = asking.ask(peers, asking.asked("study", {}), seconds=1)
    assert len(answers.found) == 3
    assert answers.told["here"].error == ""
    assert answers.told["gone"].error.startswith("Cannot connect to 127.0.0.1")
    assert answers.told["mute"].error == "No answer within 1 s"


def test_each_archive_answers_up_to_the_limit_and_says_that_there_is_more(archive: None) -> None:
    with Serving() as serving:
        known("here", Remote("PACS", serving.port))
        two = remote_query.ask(ME, ["here"], asking.asked("study", {}, limit=2))
        three = remote_query.ask(ME, ["here"], asking.asked("study", {}, limit=3))
    assert (len(two.found), two.told["here"].more) == (2, True)
    assert (len(three.found), three.told["here"].more) == (3, False)


def test_patients_of_the_same_id_and_another_issuer_are_others(archive: None) -> None:
    rows.study(rows.patient("P1", "Other^One", issuer_of_patient_id="B"), "1.9", series=("CT",))
    with Serving() as serving:
        known("here", Remote("PACS", serving.port))
        answers = remote_query.ask(ME, ["here"], asking.asked("patient", {"PatientID": "P1"}))
    assert sorted(found.values["IssuerOfPatientID"] for found in answers.found) == ["A", "B"]


@pytest.mark.parametrize(
    ("level", "keys"),
    [("galaxy", {}), ("study", {"colour": "red"}), ("series", {}), ("image", {"study_instance_uid": "1.2"})],
)
def test_what_cannot_be_asked_is_refused(level: str, keys: dict[str, str]) -> None:
    with pytest.raises(InvalidValue):
        asking.asked(level, keys)


def test_fields_are_named_as_everywhere() -> None:
    names = ("SOPInstanceUID", "SOPClassesInStudy", "OtherPatientIDs", "PatientName", "ModalitiesInStudy")
    assert [asking.field_of(name) for name in names] == [
        "sop_instance_uid",
        "sop_classes_in_study",
        "other_patient_ids",
        "patient_name",
        "modalities_in_study",
    ]
    assert asking.asked("study", {"other_patient_ids": "7"}).keys == {"OtherPatientIDs": "7"}


def test_a_peer_may_not_search_others_in_our_name() -> None:
    peer = Principal(kind=Kind.PEER, name="ct", services=frozenset(Service))
    with pytest.raises(NotAllowed):
        remote_query.ask(peer, ["a"], asking.asked("study", {}))


def test_unknown_peers_are_named() -> None:
    with pytest.raises(UnknownPeers, match="No peers that can be called: a, b"):
        remote_query.ask(ME, ["a", "b"], asking.asked("study", {}))


def test_over_rest_the_list_says_what_is_here_already(archive: None, admin_client: Client) -> None:
    with Serving() as serving:
        known("here", Remote("PACS", serving.port))
        body = {"peers": ["here"], "keys": {"patient_id": "P2"}}
        answer = admin_client.post(QUERY, body, content_type="application/json")
    assert answer.status_code == 200
    (found,) = answer.json()["results"]
    assert (found["study_instance_uid"], found["patient_name"], found["peers"]) == ("1.3", "Doe^John", ["here"])
    assert found["instances_here"] == int(found["number_of_study_related_instances"])
    (told,) = answer.json()["peers"]
    assert (told["peer"], told["answers"], told["error"]) == ("here", 1, "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "peers"),
        ({"peers": []}, "peers"),
        ({"peers": ["nobody"]}, "peers"),
        ({"peers": [1]}, "peers"),
        ({"peers": ["a"] * 17}, "peers"),
        ({"peers": ["a"], "level": "galaxy"}, "level"),
        ({"peers": ["a"], "keys": {"colour": "red"}}, "keys"),
        ({"peers": ["a"], "keys": {"patient_name": 1}}, "keys"),
        ({"peers": ["a"], "keys": {"patient_name": "a\u0000"}}, "keys"),
        ({"peers": ["a"], "limit": 0}, "limit"),
        ({"peers": ["a"], "limit": True}, "limit"),
        ({"peers": ["a"], "colour": "red"}, "colour"),
    ],
)
def test_over_rest_what_is_wrong_is_named(body: Any, field: str, admin_client: Client) -> None:
    answer = admin_client.post(QUERY, body, content_type="application/json")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_over_rest_who_may_not_search_is_refused() -> None:
    user = User.objects.create_user("ris")
    user.groups.add(Group.objects.get_or_create(name="Schedulers")[0])
    client = Client()
    client.force_login(user)
    assert client.post(QUERY, {"peers": ["a"]}, content_type="application/json").status_code == 403
