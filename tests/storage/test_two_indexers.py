"""Two nodes index into one database at once: one patient, study and series each, no deadlock, no lost count."""

import itertools
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from apps.storage import versions
from apps.storage.index import index_batch
from apps.storage.models import Conflict, Instance, Patient, Series, Study
from apps.storage.received import Received
from apps.storage.spool import Spool, spool
from tests.storage.made import receive

pytestmark = pytest.mark.django_db(transaction=True)

STUDIES = 40
POSTGRESQL = os.environ.get("DATABASE_URL", "").startswith("postgres")


def at_once(work: list[tuple[Spool, list[Received]]]) -> list[BaseException]:
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(work))

    def run(where: Spool, batch: list[Received]) -> None:
        try:
            barrier.wait()
            index_batch(batch, where)
        except BaseException as error:  # noqa: BLE001 - told to the test's thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def node(settings: Settings, tmp_path: Path, name: str) -> Spool:
    settings.NODE = name
    settings.SPOOL = tmp_path / "spool" / name
    return spool()


@pytest.mark.parametrize("attempt", range(5))
def test_first_images_of_the_same_new_studies_at_two_nodes(attempt: int, settings: Settings, tmp_path: Path) -> None:
    work = []
    for number, name in enumerate(("one", "two")):
        where = node(settings, tmp_path, name)
        batch = [
            receive(
                study=f"1.2.{study}",
                series=f"1.2.{study}.1",
                sop=f"1.2.{study}.1.{number}",
                patient_id=f"P{study // 4}",
                name=f"Name {number}^{study // 4}",
                accession=f"A{study}",
            )
            for study in range(STUDIES)
        ]
        work.append((where, batch[::-1] if number else batch))
    assert at_once(work) == []
    assert Patient.objects.count() == STUDIES // 4
    assert Study.objects.count() == Series.objects.count() == STUDIES
    assert Instance.objects.count() == 2 * STUDIES
    assert set(Study.objects.values_list("number_of_study_related_instances", flat=True)) == {2}
    assert set(Series.objects.values_list("number_of_series_related_instances", flat=True)) == {2}
    assert Conflict.objects.count() == STUDIES // 4  # the names of each patient


def test_the_same_instance_in_other_data_at_two_nodes(settings: Settings, tmp_path: Path) -> None:
    """Whoever commits first, the earliest received is current in the end."""
    work = []
    for number, name in enumerate(("one", "two")):
        where = node(settings, tmp_path, name)
        taken = [receive(sop=f"1.2.3.{n}", series=f"1.2.3.{number}", series_description=name) for n in range(20)]
        work.append((where, taken))
    assert at_once(work[::-1]) == []
    assert Instance.objects.count() == 20
    assert {row.name for row in Instance.objects.all()} == {one.name for one in work[0][1]}


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets one write at a time")
def test_two_that_settle_an_instance_of_each_others_patients_do_not_wait_for_each_other(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a new image of the one patient, and of the other an image that the index holds, received earlier."""
    where = node(settings, tmp_path, "one")
    known: list[dict[str, Any]] = [
        {"study": f"1.2.{n}", "series": f"1.2.{n}.1", "sop": f"1.2.{n}.1.1", "patient_id": f"P{n}"} for n in (1, 2)
    ]
    earlier = [receive(**one) for one in known]
    index_batch([receive(**one) for one in known], where)
    new = [receive(**{**one, "sop": f"{one['series']}.2"}) for one in known]
    both, calls, settle = threading.Barrier(2, timeout=60), itertools.count(1), versions.settle

    def meeting(*arguments: Any) -> Any:
        if next(calls) <= 2:
            both.wait()
        return settle(*arguments)

    monkeypatch.setattr(versions, "settle", meeting)
    assert at_once([(where, [new[0], earlier[1]]), (where, [new[1], earlier[0]])]) == []
    assert next(calls) == 3, "a transaction was tried again: the two waited in a circle"
    assert set(Instance.objects.values_list("name", flat=True)) == {one.name for one in [*earlier, *new]}


def test_images_of_one_series_shared_out_between_two_nodes_are_all_counted(settings: Settings, tmp_path: Path) -> None:
    work = []
    for number, name in enumerate(("one", "two")):
        where = node(settings, tmp_path, name)
        work.append((where, [receive(sop=f"1.2.3.1.{n}", number=str(n)) for n in range(number, 100, 2)]))
    for batch in range(0, 50, 10):
        assert at_once([(where, taken[batch : batch + 10]) for where, taken in work]) == []
    assert Series.objects.get().number_of_series_related_instances == 100
    assert Study.objects.get().number_of_study_related_instances == 100
