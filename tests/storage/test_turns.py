"""Decisions come one after the other, apart from what is indexed, and in the order of their records."""

import contextlib
import time
from collections.abc import Sequence

import pytest
from django.db import connection

from apps.accounts.principal import system
from apps.storage import archive, decisions, records, turns
from apps.storage.archive import Busy
from apps.storage.models import (
    ArchiveRecord,
    Conflict,
    DeletedInstance,
    Instance,
    Patient,
    QuarantinedInstance,
)
from apps.storage.rebuild import Files
from apps.storage.spool import spool
from tests.storage.made import index, provenance, receive
from tests.storage.rows import reindexed_difference

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = system("test")


def delete_study(uid: str = "1.2.3") -> str:
    archive.delete(principal=ADMIN, study_instance_uid=uid)
    return DeletedInstance.objects.latest("deleted_at").record


def test_decisions_of_a_node_whose_clock_is_behind_come_after_what_they_are_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receive(series_description="first")
    receive(series_description="second")
    index()
    (other,) = QuarantinedInstance.objects.all()
    behind = time.time_ns() - 60_000_000_000
    monkeypatch.setattr("apps.storage.spool.time.time_ns", lambda: behind)
    archive.accept(principal=ADMIN, name=other.name)
    deletion = delete_study()
    archive.restore(principal=ADMIN, deletion=deletion)
    applied = ArchiveRecord.objects.order_by("name").values_list("name", flat=True)
    assert [records.read(name).act for name in applied] == ["accept", "delete", "restore"]
    assert other.name < applied[0]
    assert reindexed_difference() == []
    assert Instance.objects.get().name == other.name


def test_a_version_is_made_current_also_where_the_clock_is_behind_the_one_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receive(series_description="first")
    behind = time.time_ns()
    receive(series_description="second", source=provenance(policy="make_current"))
    index()
    (other,) = QuarantinedInstance.objects.all()
    monkeypatch.setattr("apps.storage.spool.time.time_ns", lambda: behind)
    archive.accept(principal=ADMIN, name=other.name)
    assert Instance.objects.get().name == other.name
    assert reindexed_difference() == []


def test_a_conflict_is_dismissed_after_it_arose_also_where_the_clock_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    receive(name="Doe^John")
    receive(name="Roe^Jane", sop="1.2.3.1.1.2")
    index()
    behind = time.time_ns() - 60_000_000_000
    monkeypatch.setattr("apps.storage.spool.time.time_ns", lambda: behind)
    archive.dismiss(principal=ADMIN, conflict=Conflict.objects.get(is_open=True))
    assert reindexed_difference() == []
    assert not Conflict.objects.filter(is_open=True).exists()


def test_a_decision_that_has_failed_since_its_record_was_seen_is_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    receive()
    index()
    monkeypatch.setattr(records, "names", lambda: iter([spool().new_name()]))  # as they were a moment ago
    assert decisions.catch_up() == 0
    assert Instance.objects.count() == 1 and not ArchiveRecord.objects.exists()


@pytest.mark.parametrize("patient_id", ["P1", ""])
def test_nothing_is_read_while_others_wait_for_a_decision(patient_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of the patient come from the study that goes: what others say of him is asked then."""
    for number in range(3):
        receive(study=f"1.2.{number}", series=f"1.2.{number}.1", sop=f"1.2.{number}.1.1", patient_id=patient_id)
    receive(study="1.2.0", series="1.2.0.1", sop="1.2.0.1.1", patient_id=patient_id, series_description="other")
    index()
    read = Files._read

    def outside_of_transactions(files: Files, places: Sequence[str]) -> None:
        assert not connection.in_atomic_block
        read(files, places)

    monkeypatch.setattr(Files, "_read", outside_of_transactions)
    archive.accept(principal=ADMIN, name=QuarantinedInstance.objects.get().name)
    deletion = delete_study("1.2.0")
    assert Patient.objects.get(studies__study_instance_uid="1.2.1")
    assert archive.restore(principal=ADMIN, deletion=deletion) == 2
    monkeypatch.undo()
    assert reindexed_difference() == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_a_session_that_never_ends_keeps_decisions_out_and_says_so_but_nobody_who_indexes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receive()
    index()
    monkeypatch.setattr(turns, "_LONGEST", "50ms")
    other = connection.copy()
    with contextlib.closing(other), other.cursor() as session:
        session.execute("BEGIN")
        turns.take_part(session)
        with pytest.raises(Busy):
            archive.delete(principal=ADMIN, study_instance_uid="1.2.3")
        receive(sop="1.2.3.1.1.2", number="2")
        index()
        session.execute("ROLLBACK")
    assert Instance.objects.count() == 2
    assert archive.delete(principal=ADMIN, study_instance_uid="1.2.3") == 2
