"""From `ready/` into rows: repeatable, never in the way of others, the same from a notice as from the file."""

import errno
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from apps.failpoints import FailpointError, arm
from apps.storage import index as indexing
from apps.storage import indexer, local, placement, reindex
from apps.storage.index import index_batch
from apps.storage.indexer import AlreadyRunning, Indexer, SpoolReplaced, Unavailable
from apps.storage.intake import wait_indexed
from apps.storage.models import FailedFile, Instance, Patient, Series, SeriesRequest, Study
from apps.storage.placement import name_in
from apps.storage.received import Received, read
from apps.storage.spool import Spool, spool
from apps.storage.store import store
from dicom.encoding import encode_elements
from tests.storage.made import EXPLICIT, data_set, index, receive
from tests.storage.rows import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_received_instance_is_found_with_its_series_study_and_patient() -> None:
    received = receive(study_date="20240229", study_description="Thorax", series_number="7", number="12")
    index()
    instance = Instance.objects.select_related("series__study__patient").get()
    assert instance.name == received.name
    assert instance.digest == received.digest
    assert (instance.instance_number, instance.instance_number_value) == ("12", 12)
    assert (instance.rows, instance.columns, instance.bits_allocated) == (2, 2, 16)
    assert instance.series.series_number_value == 7
    study = instance.series.study
    assert str(study.study_date_value) == "2024-02-29"
    assert (study.number_of_study_related_series, study.number_of_study_related_instances) == (1, 1)
    assert study.modalities_in_study == "CT"
    assert study.patient.patient_name_key == "doe^john"
    assert spool().waiting() == []


def test_images_of_a_series_are_counted_in_their_series_and_study() -> None:
    for number in range(5):
        receive(sop=f"1.2.3.1.1.{number}", number=str(number))
        if number % 2:
            index()
    index()
    assert Series.objects.get().number_of_series_related_instances == 5
    assert Study.objects.get().number_of_study_related_instances == 5
    assert Patient.objects.count() == 1


def test_a_study_knows_the_modalities_and_sop_classes_of_all_its_series() -> None:
    receive(sop="1.1", series="1.2.3.1", modality="CT")
    index()
    receive(sop="1.2", series="1.2.3.2", modality="SR", sop_class="1.2.840.10008.5.1.4.1.1.88.11")
    index()
    study = Study.objects.get()
    assert study.modalities_in_study == "CT\\SR"
    assert study.sop_classes_in_study == "1.2.840.10008.5.1.4.1.1.2\\1.2.840.10008.5.1.4.1.1.88.11"
    assert study.number_of_study_related_series == 2


def test_revisions_go_up_with_every_change() -> None:
    receive(sop="1.1")
    index()
    before = Series.objects.get().revision, Study.objects.get().revision
    receive(sop="1.2")
    index()
    assert Series.objects.get().revision > before[0]
    assert Study.objects.get().revision > before[1]


def test_a_revision_is_never_used_again_for_a_series_that_comes_again() -> None:
    receive()
    index()
    before = Series.objects.get().revision
    reindex.clear()
    reindex.reindex(lambda done: None)
    assert Series.objects.get().revision > before


@pytest.mark.parametrize("step", [*indexing.STEPS, "index.settled"])
def test_indexing_broken_off_at_any_step_can_be_repeated(step: str) -> None:
    taken = [receive(sop=f"1.2.3.1.1.{number}", number=str(number)) for number in range(3)]
    taken.append(receive(sop="1.2.3.1.1.0", series_description="another version"))
    arm(f"{step}:raise")
    try:
        with pytest.raises(FailpointError):
            index_batch(taken, spool())
    finally:
        arm("")
    files = {name_in(place) for place in store().places()} | set(spool().waiting())
    assert files == {one.name for one in taken}
    index()
    assert spool().waiting() == []
    assert Instance.objects.count() == 3
    after = rows()
    index_batch(taken[:0], spool())
    reindex.clear()
    reindex.reindex(lambda done: None)
    assert difference(after, rows()) == []


def test_a_committed_row_never_names_a_missing_file(archive: Path) -> None:
    taken = receive()
    arm("index.upserted:raise")
    try:
        with pytest.raises(FailpointError):
            index_batch([taken], spool())
    finally:
        arm("")
    assert not Instance.objects.exists()
    assert (archive / placement.place_of(taken.name)).exists()


def test_a_notice_and_the_file_itself_give_the_same_rows() -> None:
    taken = receive(referring="Ref^One", study_description="Straße", character_set="ISO_IR 192")
    index_batch([taken], spool())
    by_notice = rows()
    reindex.clear()
    index_batch([store().read(next(store().places()))], None)
    assert difference(by_notice, rows()) == []


def test_a_file_that_cannot_be_indexed_is_put_aside_and_the_others_are_not_held_up() -> None:
    good = [receive(sop=f"1.2.3.1.1.{number}") for number in range(5)]
    broken = good[2].name
    (spool().ready / broken).write_bytes(b"torn")
    index()
    assert Instance.objects.count() == 4
    assert os.listdir(spool().failed) == [broken]
    failed = FailedFile.objects.get()
    assert (failed.name, failed.node) == (broken, "main")
    assert "InvalidDataSet" in failed.reason


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_an_archive_that_takes_nothing_for_a_while_puts_nothing_aside(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    receive()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(Unavailable):
        index()
    monkeypatch.undo()
    assert not FailedFile.objects.exists()
    index()
    assert Instance.objects.count() == 1


def test_a_database_that_is_away_puts_nothing_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    receive()

    def away(*_: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(indexer, "index_batch", away)
    with pytest.raises(Unavailable):
        index()
    monkeypatch.undo()
    index()
    assert Instance.objects.count() == 1


def test_the_indexer_goes_on_when_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def away_at_first(batch: list[Received], where: object) -> None:
        calls.append(len(batch))
        if len(calls) < 3:
            raise OperationalError("the database is away")
        stopping.set()

    monkeypatch.setattr(indexer, "index_batch", away_at_first)
    receive()
    stopping = threading.Event()
    with Indexer(spool()) as running:
        running.run(stopping)
    assert len(calls) == 3


def test_an_archive_whose_directories_were_removed_gets_new_ones(archive: Path) -> None:
    first, second = receive(sop="1.1"), receive(sop="1.2")
    index_batch([first], spool())
    shutil.rmtree(archive)
    index_batch([second], spool())
    assert (archive / placement.place_of(second.name)).exists()


def test_an_indexer_whose_spool_was_replaced_ends_so_that_it_starts_anew() -> None:
    root = spool().root
    with Indexer(spool()) as running:
        shutil.rmtree(root)
        receive()
        with pytest.raises(SpoolReplaced):
            running.run(threading.Event())
    index()
    assert Instance.objects.count() == 1


def test_a_running_indexer_looks_for_what_dead_processes_left(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    looked: list[Spool] = []

    def look(here: Spool) -> int:
        looked.append(here)
        stopping.set()
        return 0

    monkeypatch.setattr(Spool, "take_over", look)
    with Indexer(spool()) as running:
        running.run(stopping)
    assert looked == [spool()]


def test_one_spool_has_one_indexer() -> None:
    with Indexer(spool()), pytest.raises(AlreadyRunning), Indexer(spool()):
        pass


def test_a_running_indexer_takes_what_is_announced_and_what_is_not() -> None:
    stopping = threading.Event()
    unannounced = receive(sop="1.1")

    def run() -> None:
        try:
            with Indexer(spool()) as running:
                running.run(stopping)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        announced = [receive(sop=f"1.2.{number}").name for number in range(20)]
        assert wait_indexed([unannounced.name, *announced], timeout=30)
    finally:
        stopping.set()
        thread.join()
    assert Instance.objects.count() == 21


def test_an_archive_on_another_file_system_gets_a_compared_copy(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    received = receive()
    index()
    path = archive / Instance.objects.get().path
    assert read(path) == received
    assert path.stat().st_nlink == 1
    assert [file.name for file in path.parent.iterdir()] == [received.name]


def test_a_copy_that_differs_is_not_taken_for_the_file(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(local, "digest_of", lambda path, offset: "0" * 64)
    receive()
    with pytest.raises(Unavailable):
        index()
    assert not Instance.objects.exists()
    assert len(spool().waiting()) == 1


def test_paths_in_the_database_lead_nowhere_but_into_the_archive() -> None:
    for place in ("../../etc/passwd", "/etc/passwd", "2024/01/01/0000/../../x", "2024/01/01/0000/..", ""):
        with pytest.raises(ValueError, match="place"):
            placement.path_of(place)


@pytest.mark.parametrize(
    "values",
    [
        {"study_date": "20240231", "study_time": "256161"},
        {"study_date": "yesterday", "birth_date": "x" * 300},
        {"name": "Doe^" + "J" * 2000, "study_description": "d" * 5000, "number": "9" * 100},
        {"name": b"\xff\xfe\x00\x1b$B", "study_description": b"a\0b\x80"},
        {"character_set": "ISO_IR 999", "name": "Dö^Jö".encode()},
        {"number": "1.5e3", "series_number": "-99999999999999999999999"},
        {"rows": b"\1\0\2\0\3\0", "columns": b"", "bits": b"\1"},
    ],
)
def test_whatever_the_values_the_instance_is_indexed_as_far_as_they_can_be_read(values: dict[str, Any]) -> None:
    receive(**values)
    index()
    assert not FailedFile.objects.exists()
    assert Instance.objects.count() == 1


def test_requests_of_a_series_can_be_matched_one_by_one() -> None:
    items = [[(0x00400009, "SH", b"STEP1 "), (0x00401001, "SH", b"PROC1 ")], [(0x00400009, "SH", b"STEP2 ")]]
    head = data_set(pixels=None, bits=None, columns=None, rows=None)
    receive(head + encode_elements([(0x00400275, "SQ", items)], EXPLICIT))
    index()
    asked = {(row.requested_procedure_id, row.scheduled_procedure_step_id) for row in SeriesRequest.objects.all()}
    assert asked == {("PROC1", "STEP1"), ("", "STEP2")}
    assert len(Series.objects.get().request_attributes_sequence) == 2


def test_the_transfer_syntax_is_that_which_the_data_set_is_really_in() -> None:
    """WIRE 9: implicit encoding in an explicit context."""
    receive(data_set(transfer_syntax_uid="1.2.840.10008.1.2"), transfer_syntax_uid=EXPLICIT)
    index()
    assert Instance.objects.get().transfer_syntax_uid == "1.2.840.10008.1.2"
