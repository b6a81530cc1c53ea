"""Decisions about what the archive holds: each is durable beside the files, and an index made again knows it."""

import contextlib
import itertools
import os
import random
from datetime import timedelta
from pathlib import Path

import pytest

from apps.accounts.principal import system
from apps.audit.models import AuditEvent
from apps.failpoints import FailpointError, arm
from apps.storage import archive, decisions, records, reindex
from apps.storage.archive import AlreadyDecided, Gone, Unknown
from apps.storage.index import index_batch
from apps.storage.models import (
    ArchiveRecord,
    Conflict,
    DeletedInstance,
    Instance,
    Patient,
    QuarantinedInstance,
    QuarantineState,
    Series,
    Study,
)
from apps.storage.placement import path_of
from apps.storage.spool import Spool, spool
from apps.storage.store import store
from tests.storage.made import index, provenance, receive
from tests.storage.rows import difference, reindexed_difference, rows
from tests.storage.test_order import arrivals

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = system("test")
open_instance = archive.open


def delete_study(uid: str = "1.2.3") -> str:
    archive.delete(principal=ADMIN, study_instance_uid=uid)
    return DeletedInstance.objects.latest("deleted_at").record


def test_what_is_opened_is_what_was_received() -> None:
    received = receive(pixels=bytes(range(200)))
    index()
    instance = Instance.objects.get()
    with archive.open(instance) as opened:
        data = os.pread(opened.fd, opened.size, opened.dataset_offset)
        assert opened.pixel_offset is not None
        assert os.pread(opened.fd, 4, opened.pixel_offset) == b"\xe0\x7f\x10\x00"
    assert len(data) == received.size == instance.size
    assert data.endswith(bytes(range(200)))


def test_a_row_that_is_out_of_date_opens_the_file_that_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier, later = receive(), receive()
    index_batch([later], spool())
    outdated = Instance.objects.get()
    index_batch([earlier], spool())
    assert Instance.objects.get().name == earlier.name
    with archive.open(outdated) as opened:
        assert opened.size == earlier.size


def test_an_instance_whose_file_is_lost_is_gone(archive: Path) -> None:
    receive()
    index()
    instance = Instance.objects.get()
    (archive / instance.path).unlink()
    with pytest.raises(Gone), open_instance(instance):
        pass


def test_a_deleted_study_is_out_of_the_index_and_back_when_restored() -> None:
    for number in range(3):
        receive(sop=f"1.2.3.1.1.{number}", number=str(number), series=f"1.2.3.{number}")
    index()
    before = rows()
    assert archive.delete(principal=ADMIN, study_instance_uid="1.2.3") == 3
    assert not Study.objects.exists() and not Series.objects.exists() and not Patient.objects.exists()
    deleted = DeletedInstance.objects.first()
    assert deleted is not None and deleted.study_instance_uid == "1.2.3"
    assert archive.restore(principal=ADMIN, deletion=deleted.record) == 3
    assert not DeletedInstance.objects.exists()
    changes = [line for line in difference(before, rows()) if "decided" not in line and "changed_at" not in line]
    assert changes == []


def test_a_deleted_study_that_is_sent_again_shows_what_it_says_now() -> None:
    receive(patient_id="WRONG")
    index()
    delete_study()
    receive(patient_id="RIGHT")
    index()
    assert [patient.patient_id for patient in Patient.objects.all()] == ["RIGHT"]
    assert DeletedInstance.objects.count() == 1
    assert reindexed_difference() == []


def test_a_series_is_deleted_alone_and_the_study_shows_what_is_left() -> None:
    receive(series="1.2.3.1", sop="1.1", study_description="Wrong", modality="CT")
    receive(series="1.2.3.2", sop="1.2", study_description="Right", modality="MR")
    index()
    archive.delete(principal=ADMIN, study_instance_uid="1.2.3", series_instance_uid="1.2.3.1")
    study = Study.objects.get()
    assert (study.study_description, study.modalities_in_study) == ("Right", "MR")
    assert (study.number_of_study_related_series, study.number_of_study_related_instances) == (1, 1)
    assert not Conflict.objects.exists()


def test_what_came_again_meanwhile_stays_and_the_restored_version_is_quarantined() -> None:
    receive(series_description="old")
    index()
    deletion = delete_study()
    receive(series_description="new")
    index()
    archive.restore(principal=ADMIN, deletion=deletion)
    assert Instance.objects.get().series.series_description == "new"
    assert QuarantinedInstance.objects.count() == 1
    assert reindexed_difference() == []


def test_what_cannot_be_read_stays_deleted_and_the_rest_is_restored() -> None:
    receive(sop="1.2.3.1.1.1")
    receive(sop="1.2.3.1.1.2", number="2")
    index()
    deletion = delete_study()
    damaged = DeletedInstance.objects.get(sop_instance_uid="1.2.3.1.1.2")
    path = path_of(damaged.path)
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    assert archive.restore(principal=ADMIN, deletion=deletion) == 1
    assert Instance.objects.get().sop_instance_uid == "1.2.3.1.1.1"
    assert DeletedInstance.objects.get() == damaged
    with pytest.raises(Unknown):
        archive.restore(principal=ADMIN, deletion=deletion)
    path.write_bytes(whole)  # from a backup
    assert archive.restore(principal=ADMIN, deletion=deletion) == 1
    assert Instance.objects.count() == 2
    assert reindexed_difference() == []


def test_a_version_whose_file_cannot_be_read_is_not_made_current() -> None:
    receive(series_description="first")
    receive(series_description="second")
    index()
    (other,) = QuarantinedInstance.objects.all()
    path_of(other.path).write_bytes(b"")
    with pytest.raises(Gone):
        archive.accept(principal=ADMIN, name=other.name)
    assert not ArchiveRecord.objects.exists() and not list(records.names())


def test_a_study_nobody_has_cannot_be_deleted() -> None:
    with pytest.raises(Unknown):
        archive.delete(principal=ADMIN, study_instance_uid="1.2.3")


def test_a_quarantined_version_can_be_made_current_and_back() -> None:
    receive(series_description="first")
    receive(series_description="second")
    index()
    (other,) = QuarantinedInstance.objects.all()
    archive.accept(principal=ADMIN, name=other.name)
    assert Instance.objects.get().name == other.name
    assert Series.objects.get().series_description == "second"
    (first,) = QuarantinedInstance.objects.all()
    assert first.state == QuarantineState.REPLACED
    archive.accept(principal=ADMIN, name=first.name)
    assert Series.objects.get().series_description == "first"
    assert reindexed_difference() == []


def test_an_accepted_version_stays_current_when_the_first_comes_again() -> None:
    receive(series_description="first")
    receive(series_description="second")
    index()
    archive.accept(principal=ADMIN, name=QuarantinedInstance.objects.get().name)
    receive(series_description="first")
    receive(series_description="third")
    index()
    assert Series.objects.get().series_description == "second"
    assert QuarantinedInstance.objects.count() == 2
    assert reindexed_difference() == []


@pytest.mark.parametrize("purged", [False, True])
def test_a_version_nobody_decided_about_stays_open_when_the_first_is_discarded(purged: bool) -> None:
    first, undecided, accepted = (receive(name=name) for name in ("A", "B", "C"))
    index()
    archive.accept(principal=ADMIN, name=accepted.name)
    archive.discard(principal=ADMIN, name=first.name)
    if purged:
        archive.purge(principal=ADMIN, before=timedelta(0))
    open_ones = QuarantinedInstance.objects.filter(state=QuarantineState.OPEN)
    assert list(open_ones.values_list("name", "reason")) == [(undecided.name, "Another version was received first")]
    assert reindexed_difference() == []


def test_what_was_discarded_is_no_version_of_an_instance_that_came_after_its_deletion() -> None:
    first, accepted = receive(name="A"), receive(name="B")
    index()
    archive.accept(principal=ADMIN, name=accepted.name)
    archive.discard(principal=ADMIN, name=first.name)
    delete_study()
    again = receive(name="A")
    index()
    receive(name="C")
    index()
    assert Instance.objects.get().name == again.name
    assert QuarantinedInstance.objects.filter(state=QuarantineState.OPEN).count() == 1
    assert reindexed_difference() == []


def test_a_version_is_decided_about_once() -> None:
    receive(series_description="first")
    receive(series_description="second")
    index()
    name = QuarantinedInstance.objects.get().name
    archive.discard(principal=ADMIN, name=name)
    with pytest.raises(AlreadyDecided):
        archive.discard(principal=ADMIN, name=name)
    with pytest.raises(AlreadyDecided):
        archive.accept(principal=ADMIN, name=name)


def test_purge_removes_files_for_good_and_only_after_their_time() -> None:
    receive(series_description="first")
    receive(series_description="second")
    index()
    archive.discard(principal=ADMIN, name=QuarantinedInstance.objects.get().name)
    delete_study()
    assert archive.purge(principal=ADMIN) == 0
    assert archive.purge(principal=ADMIN, before=timedelta(0)) == 2
    assert list(store().places()) == []
    assert archive.purge(principal=ADMIN, before=timedelta(0)) == 0
    assert reindexed_difference() == []
    with pytest.raises(Unknown):
        archive.restore(principal=ADMIN, deletion=DeletedInstance.objects.get().record)


def test_purge_leaves_alone_what_somebody_reads() -> None:
    receive()
    index()
    instance = Instance.objects.get()
    with archive.open(instance):
        delete_study()
        assert archive.purge(principal=ADMIN, before=timedelta(0)) == 0
    assert archive.purge(principal=ADMIN, before=timedelta(0)) == 1


def test_a_dismissed_conflict_opens_again_with_another_value() -> None:
    receive(sop="1.1", name="Doe^John")
    receive(sop="1.2", name="Roe^Jane")
    index()
    conflict = Conflict.objects.get()
    assert [text for text, _ in conflict.values] == ["Doe^John", "Roe^Jane"]
    archive.dismiss(principal=ADMIN, conflict=conflict)
    receive(sop="1.3", name="Roe^Jane")
    index()
    assert not Conflict.objects.get().is_open
    assert reindexed_difference() == []
    receive(sop="1.4", name="Poe^Jim")
    index()
    assert Conflict.objects.get().is_open


def test_every_decision_stands_in_the_trail_with_who_took_it() -> None:
    receive()
    index()
    archive.restore(principal=ADMIN, deletion=delete_study())
    assert list(AuditEvent.objects.order_by("pk").values_list("action", "object_kind", "object_uid", "actor_name")) == [
        ("delete", "study", "1.2.3", "test"),
        ("restore", "study", "1.2.3", "test"),
    ]


def test_a_decision_that_fails_leaves_neither_record_nor_row(monkeypatch: pytest.MonkeyPatch) -> None:
    receive()
    index()
    arm("decision.performed:raise")
    try:
        with pytest.raises(FailpointError):
            delete_study()
    finally:
        arm("")
    assert list(records.names()) == []
    assert Instance.objects.count() == 1
    assert not ArchiveRecord.objects.exists()


def test_a_record_without_its_transaction_is_applied_when_the_indexer_starts() -> None:
    receive()
    index()
    delete_study()
    deleted = rows()
    archived = list(store().places())
    reindex.clear()
    index_batch([store().read(place) for place in archived], None)
    assert Instance.objects.count() == 1
    assert decisions.catch_up() == 1
    assert difference(deleted, rows()) == []
    assert decisions.catch_up() == 0


def test_a_record_whose_process_died_does_not_undo_what_was_decided_since(monkeypatch: pytest.MonkeyPatch) -> None:
    receive()
    index()
    with monkeypatch.context() as dying:
        dying.setattr(records, "withdraw", lambda record: None)
        arm("decision.recorded:raise")
        with pytest.raises(FailpointError):
            delete_study()
        arm("")
    assert archive.restore(principal=ADMIN, deletion=delete_study()) == 1
    before = rows()
    assert decisions.catch_up() == 1
    assert difference(before, rows()) == []
    assert Instance.objects.count() == 1
    assert reindexed_difference() == []


def test_a_file_that_was_deleted_is_not_indexed_again_from_the_spool() -> None:
    received = receive()
    os.link(spool().ready / received.name, spool().root / "kept")
    index()
    delete_study()
    os.link(spool().root / "kept", spool().ready / received.name)  # as if the indexer had died before it removed it
    index()
    assert not Instance.objects.exists()
    assert spool().waiting() == []


def _somebody_decides(rng: random.Random) -> None:
    """About anything there is; nothing, if there is nothing of the kind."""
    kind = rng.choice(["study", "series", "instance", "restore", "accept", "discard", "dismiss"])
    with contextlib.suppress(Unknown, AlreadyDecided, IndexError):
        if kind == "restore":
            deletion = rng.choice(list(DeletedInstance.objects.order_by("name"))).record
            archive.restore(principal=ADMIN, deletion=deletion)
        elif kind in ("accept", "discard"):
            name = rng.choice(list(QuarantinedInstance.objects.order_by("name"))).name
            {"accept": archive.accept, "discard": archive.discard}[kind](principal=ADMIN, name=name)
        elif kind == "dismiss":
            conflict = rng.choice(list(Conflict.objects.order_by("kind", "key", "attribute")))
            archive.dismiss(principal=ADMIN, conflict=conflict)
        else:
            instance = rng.choice(list(Instance.objects.select_related("series__study").order_by("name")))
            archive.delete(
                principal=ADMIN,
                study_instance_uid=instance.series.study.study_instance_uid,
                series_instance_uid=instance.series.series_instance_uid if kind == "series" else "",
                sop_instance_uids=[instance.sop_instance_uid] if kind == "instance" else (),
            )


@pytest.mark.parametrize("seed", range(8))
def test_reindex_knows_all_decisions(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    names = (f"{1_700_000_000_000_000_000 + n * 1_000_000_000:019d}-main-1-{n}" for n in itertools.count())
    monkeypatch.setattr(Spool, "new_name", lambda *_, **__: next(names))
    for one in arrivals(rng, 16):
        source = provenance(policy=one.policy, issuer="D")
        index_batch([receive(transfer_syntax_uid=one.syntax, source=source, **one.values)], spool())
        if rng.random() < 0.5:
            _somebody_decides(rng)
    assert reindexed_difference() == []
