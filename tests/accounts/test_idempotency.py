"""A request that is sent again because nobody heard its answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts import idempotency
from apps.accounts.models import AnsweredRequest
from apps.jobs import outbox
from apps.worklist.models import ScheduledProcedureStep

ORDER = {"patient_id": "17", "patient_name": "Doe^Jane"}


def signed_in(name: str = "ris") -> Client:
    made, new = User.objects.get_or_create(username=name)
    if new:
        made.groups.add(Group.objects.get_or_create(name="Schedulers")[0])
    client = Client()
    client.force_login(made)
    return client


def post(client: Client, document: Any = ORDER, key: str = "k1", path: str = "/api/worklist/") -> Any:
    return client.post(path, json.dumps(document), content_type="application/json", headers={"Idempotency-Key": key})


def steps() -> int:
    return ScheduledProcedureStep.objects.count()


@pytest.mark.django_db
def test_the_same_request_again_is_given_the_first_answer() -> None:
    ris = signed_in()
    first, again = post(ris), post(ris, key='"k1"')
    assert steps() == 1
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Location"] == first["Location"]
    assert again["ETag"] == first["ETag"]
    assert (first.headers.get("Idempotent-Replay"), again["Idempotent-Replay"]) == (None, "true")
    other = post(ris, key="k2")
    assert (other.status_code, steps()) == (201, 2)


@pytest.mark.django_db
def test_a_key_belongs_to_one_request_of_one_user() -> None:
    ris = signed_in()
    post(ris)
    assert post(ris, {**ORDER, "modality": "CT"}).status_code == 422
    assert post(ris, path="/api/worklist/?update_patient=true").status_code == 422
    assert post(signed_in("other")).status_code == 201
    assert steps() == 2


@pytest.mark.django_db
def test_an_error_is_an_answer_too_unless_it_passes() -> None:
    ris = signed_in()
    first, again = post(ris, {"patient_id": "17"}), post(ris, {"patient_id": "17"})
    assert first.status_code == again.status_code == 400
    assert first.content == again.content
    assert again["Content-Type"] == "application/problem+json"
    assert again["Idempotent-Replay"] == "true"
    radiologist = signed_in("radiologist")
    User.objects.get(username="radiologist").groups.set([Group.objects.get_or_create(name="Radiologists")[0]])
    assert post(radiologist).status_code == 403
    User.objects.get(username="radiologist").groups.add(Group.objects.get(name="Schedulers"))
    assert post(radiologist).status_code == 201


@pytest.mark.django_db
def test_a_bulk_request_is_done_once() -> None:
    ris = signed_in()
    first, again = post(ris, [ORDER, {}]), post(ris, [ORDER, {}])
    assert (first.status_code, again.content) == (207, first.content)
    assert steps() == 1


@pytest.mark.django_db
def test_a_request_that_still_runs_is_not_begun_again_unless_its_process_has_died() -> None:
    ris = signed_in()
    post(ris)
    AnsweredRequest.objects.update(status=None)
    assert post(ris).status_code == 409
    AnsweredRequest.objects.update(began_at=timezone.now() - idempotency.LONGEST - timedelta(seconds=1))
    assert post(ris).status_code == 201
    assert steps() == 2  # what died had done nothing; here it had


@pytest.mark.django_db
def test_a_bug_leaves_neither_a_step_nor_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    ris = signed_in()
    ris.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "write", None)
        assert post(ris).status_code == 500
    assert steps() == 0
    assert post(ris).status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", '""', "x" * 256])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    answer = post(signed_in(), key=key)
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"Idempotency-Key"}


@pytest.mark.django_db
def test_after_a_day_a_key_is_forgotten() -> None:
    ris = signed_in()
    post(ris)
    AnsweredRequest.objects.update(began_at=timezone.now() - idempotency.KEPT - timedelta(seconds=1))
    assert post(ris).headers.get("Idempotent-Replay") is None
    post(ris, key="k2")
    AnsweredRequest.objects.filter(key="k1").update(began_at=timezone.now() - timedelta(days=2))
    assert idempotency.prune() == 1
    assert AnsweredRequest.objects.get().key == "k2"


@pytest.mark.django_db(transaction=True)
def test_the_same_request_many_times_at_once_makes_one_step() -> None:
    signed_in()

    def one(_: int) -> int:
        try:
            status: int = post(signed_in()).status_code
            return status
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        statuses = set(threads.map(one, range(12)))
    assert statuses <= {201, 409}
    assert 201 in statuses
    assert steps() == 1
