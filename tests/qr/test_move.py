"""C-MOVE over the wire: everything arrives, and what does not is said (WIRE 19, 23, 24)."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelMove,
)

from apps.network import pacing
from apps.network.database import borrowed
from apps.qr import scp, suboperations
from apps.storage.attempts import Outcome
from apps.storage.models import Instance
from apps.storage.scu import Sender
from apps.storage.sources import Archived
from dicom.dimse import Association, Timeouts
from tests.dicom.dimse.test_pace import Watched
from tests.node import free_port, wait_for
from tests.peers import peer
from tests.qr.conftest import Serve
from tests.qr.files import SR, assert_same, keep
from tests.qr.receiver import Receiver
from tests.qr.serving import Serving, identifier
from tests.storage.made import IMPLICIT

STUDY_MOVE = StudyRootQueryRetrieveInformationModelMove
PATIENT_MOVE = PatientRootQueryRetrieveInformationModelMove
PENDING, SUCCESS, WARNING, CANCEL = 0xFF00, 0x0000, 0xB000, 0xFE00
FAILED, UNKNOWN, MISMATCH = 0xA702, 0xA801, 0xA900
STUDY: dict[str, Any] = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}

pytestmark = pytest.mark.usefixtures("folders")

Answer = tuple[Dataset, Dataset | None]


def move(serving: Serving, destination: str = "DEST", model: str = STUDY_MOVE, **keys: Any) -> list[Answer]:
    with serving.call(model) as assoc:
        return list(assoc.send_c_move(identifier(**keys), destination, model, msg_id=77))


def last(answers: list[Answer]) -> tuple[int, tuple[Any, ...], list[str]]:
    """Status, (completed, failed, warning), failed UIDs of the final response, which names no remaining ones."""
    status, data_set = answers[-1]
    assert "NumberOfRemainingSuboperations" not in status
    numbers = tuple(status.get(f"NumberOf{of}Suboperations") for of in ("Completed", "Failed", "Warning"))
    failed = [] if data_set is None else data_set.get("FailedSOPInstanceUIDList", [])
    return status.Status, numbers, [failed] if isinstance(failed, str) else list(failed)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short patience with destinations and requesters."""
    monkeypatch.setattr(scp, "Sender", partial(Sender, timeouts=Timeouts(connect=2, acse=2, dimse=1.5)))
    monkeypatch.setattr(suboperations, "HEARTBEAT", 0.2)
    monkeypatch.setattr(suboperations, "PATIENCE", 0.5)


@pytest.mark.parametrize(
    ("keys", "images"),
    [
        (["QueryRetrieveLevel=PATIENT", "PatientID=P1"], [1, 2, 3, 4]),
        (["QueryRetrieveLevel=STUDY", "PatientID=P1", "StudyInstanceUID=1.2.3"], [1, 2, 3, 4]),
        (["QueryRetrieveLevel=SERIES", "PatientID=P1", "StudyInstanceUID=1.2.3", "SeriesInstanceUID=1.2.3.2"], [3, 4]),
        (["QueryRetrieveLevel=IMAGE", "SOPInstanceUID=1.2.3.1.2\\1.2.3.2.3"], [2, 3]),
    ],
)
def test_movescu_gets_what_it_names_bit_for_bit(serve: Serve, keys: list[str], images: list[int]) -> None:
    kept = keep(1, 2) | keep(3, 4, series="1.2.3.2") | keep(9, series="7.7.1", study="7.7", patient_id="P2")
    with Receiver() as receiver:
        command = [peer("movescu"), "-P", "-v", "-aem", "DEST"]
        for key in keys:
            command += ["-k", key]
        port = str(serve(peers={"DEST": receiver.port}).port)
        done = subprocess.run([*command, "127.0.0.1", port], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Received Final Move Response (Success)" in done.stdout + done.stderr
    wanted = {uid: data for uid, data in kept.items() if int(uid.rpartition(".")[2]) in images}
    assert_same(wanted, {one.sop_instance_uid: one.data_set for one in receiver.arrived})


def test_images_arrive_in_order_of_series_and_image_number(serve: Serve) -> None:
    keep(10, 2, series="1.2.3.1", series_number="5")
    keep(7, 1, series="1.2.3.2", series_number="3")
    with Receiver() as receiver:
        move(serve(peers={"DEST": receiver.port}), **STUDY)
    assert [one.sop_instance_uid for one in receiver.arrived] == ["1.2.3.2.1", "1.2.3.2.7", "1.2.3.1.2", "1.2.3.1.10"]


def test_each_instance_names_who_asked_for_it_by_which_message(serve: Serve) -> None:
    keep(1, 2)

    def second_slowly(number: int, _: Association) -> int:
        time.sleep(number / 2)
        return 0

    with Receiver(answer=second_slowly) as receiver:
        answers = move(serve(peers={"DEST": receiver.port}), **STUDY)
    assert {one.originator for one in receiver.arrived} == {("CALLER", 77)}
    assert last(answers) == (SUCCESS, (2, 0, 0), [])
    pending = [status for status, _ in answers[:-1]]
    assert all(status.Status == PENDING for status in pending)
    assert [(s.NumberOfRemainingSuboperations, s.NumberOfCompletedSuboperations) for s in pending][:1] == [(1, 1)]


def test_a_destination_nobody_knows_is_said_to_be_unknown(serve: Serve) -> None:
    keep(1)
    assert last(move(serve(), "NOBODY", **STUDY))[0] == UNKNOWN


def test_a_destination_that_cannot_be_reached_has_failed_for_all(serve: Serve, quick: None) -> None:
    keep(1, 2)
    answers = move(serve(peers={"DEST": free_port()}), **STUDY)
    assert last(answers) == (FAILED, (0, 2, 0), ["1.2.3.1.1", "1.2.3.1.2"])
    assert "reached" in answers[-1][0].ErrorComment


def test_nothing_to_move_is_a_success(serve: Serve) -> None:
    assert last(move(serve(peers={"DEST": free_port()}), **STUDY)) == (SUCCESS, (0, 0, 0), [])


@pytest.mark.parametrize(
    ("statuses", "final"),
    [
        ([0x0000, 0xA700, 0x0000], (WARNING, (2, 1, 0), ["1.2.3.1.2"])),
        ([0xA700, 0xC000, 0x0122], (FAILED, (0, 3, 0), ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"])),
        ([0x0000, 0xB000, 0x0000], (WARNING, (2, 0, 1), [])),
        ([0xB007, 0xB006, 0xB000], (WARNING, (0, 0, 3), [])),
        ([0xA700, 0xB000, 0xA700], (WARNING, (0, 2, 1), ["1.2.3.1.1", "1.2.3.1.3"])),
    ],
)
def test_failures_and_warnings_are_counted_and_listed(serve: Serve, statuses: list[int], final: Any) -> None:
    keep(1, 2, 3)
    with Receiver(answer=lambda number, _: statuses[number]) as receiver:
        assert last(move(serve(peers={"DEST": receiver.port}), **STUDY)) == final


def test_a_class_the_destination_does_not_take_fails_alone(serve: Serve) -> None:
    keep(1)
    keep(2, series="1.2.3.2", sop_class=SR, modality="SR")
    with Receiver() as receiver:
        assert last(move(serve(peers={"DEST": receiver.port}), **STUDY)) == (WARNING, (1, 1, 0), ["1.2.3.2.2"])


def test_a_destination_that_takes_only_implicit_vr_gets_it(serve: Serve) -> None:
    keep(1)
    with Receiver(transfer_syntaxes=(IMPLICIT,)) as receiver:
        assert last(move(serve(peers={"DEST": receiver.port}), **STUDY))[0] == SUCCESS
    (one,) = receiver.arrived
    assert one.transfer_syntax_uid == IMPLICIT
    assert bytes([1]) * 3000 in one.data_set


def test_a_destination_that_refuses_us_has_failed_for_all(serve: Serve, quick: None) -> None:
    keep(1, 2)
    with Receiver() as receiver:
        receiver.acceptor.negotiate = _raise  # type: ignore[method-assign, assignment]
        assert last(move(serve(peers={"DEST": receiver.port}), **STUDY))[:2] == (FAILED, (0, 2, 0))


def limit(serving: Serving, rate: int, **switches: Any) -> None:
    """Of all peers, in KiB/s; as an administrator sets it while the listener runs."""
    rules = serving.rules.rules
    serving.rules.rules = replace(rules, peers=tuple(replace(one, rate_limit=rate, **switches) for one in rules.peers))


def test_a_destination_gets_no_more_a_second_than_its_row_says(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keep(*range(1, 9))
    pace = Watched(0)
    monkeypatch.setitem(pacing._paces, "DEST", pace)
    began = pace.time.now
    with Receiver() as receiver:
        serving = serve(peers={"DEST": receiver.port})
        limit(serving, 4)
        assert last(move(serving, **STUDY)) == (SUCCESS, (8, 0, 0), [])
    assert_same(kept, {one.sop_instance_uid: one.data_set for one in receiver.arrived})
    assert 24_000 / 4096 < pace.time.now - began < 2 * 24_000 / 4096
    assert pace.most_in(1.0) < 2 * 4096


def test_a_limit_that_is_lifted_holds_back_no_move_that_runs_already(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(*range(1, 9))
    pace = Watched(0)
    monkeypatch.setitem(pacing._paces, "DEST", pace)

    def answer(number: int, assoc: Association) -> int:
        if number == 2:
            limit(serving, 0)
            wait_for(lambda: pace.rate == 0)
        return 0

    with Receiver(answer=answer) as receiver:
        serving = serve(peers={"DEST": receiver.port})
        limit(serving, 4)
        assert last(move(serving, **STUDY)) == (SUCCESS, (8, 0, 0), [])
    assert pace.rate == 0


def _raise(*_: object) -> None:
    raise RuntimeError("a check that fails is a refusal")


def test_a_destination_that_dies_in_the_middle_has_failed_for_the_rest(serve: Serve, quick: None) -> None:
    keep(*range(1, 7))

    def die(number: int, assoc: Association) -> int:
        if number >= 2:
            assoc.abort()
        return 0

    with Receiver(answer=die) as receiver:
        status, numbers, failed = last(move(serve(peers={"DEST": receiver.port}), **STUDY))
    assert (status, numbers) == (WARNING, (2, 4, 0))
    assert failed == [f"1.2.3.1.{number}" for number in (3, 4, 5, 6)]


def test_a_destination_that_hangs_is_waited_for_aloud_and_then_given_up(serve: Serve, quick: None) -> None:
    keep(1, 2, 3)
    with Receiver() as receiver:
        receiver.answer = lambda number, _: receiver.hang() if number else 0
        answers = move(serve(peers={"DEST": receiver.port}), **STUDY)
    assert last(answers) == (WARNING, (1, 2, 0), ["1.2.3.1.2", "1.2.3.1.3"])
    waiting = [status for status, _ in answers if status.get("NumberOfRemainingSuboperations") == 2]
    assert len(waiting) > 3


def test_a_cancel_ends_with_the_counts_so_far(serve: Serve, quick: None) -> None:
    keep(*range(1, 6))
    with Receiver() as receiver:
        receiver.answer = lambda number, _: receiver.hang() if number == 2 else 0
        with serve(peers={"DEST": receiver.port}).call(STUDY_MOVE) as assoc:
            answers = []
            for status, data_set in assoc.send_c_move(identifier(**STUDY), "DEST", STUDY_MOVE, msg_id=77):
                answers.append((status, data_set))
                if status.get("NumberOfCompletedSuboperations") == 2:
                    assoc.send_c_cancel(77, query_model=STUDY_MOVE)
            assert last(answers) == (CANCEL, (2, 1, 0), ["1.2.3.1.3"])
            assert len(receiver.arrived) == 3


def test_nothing_more_is_sent_once_the_requester_is_gone(serve: Serve, quick: None) -> None:
    keep(*range(1, 30))
    go_on = threading.Event()
    with Receiver(answer=lambda number, _: 0 * go_on.wait(60) if number == 2 else 0) as receiver:
        serving = serve(peers={"DEST": receiver.port})
        with serving.call(STUDY_MOVE) as assoc:
            answers = assoc.send_c_move(identifier(**STUDY), "DEST", STUDY_MOVE)
            while next(answers)[0].NumberOfCompletedSuboperations < 2:
                pass
            assoc.abort()
        wait_for(lambda: serving.listener.outcomes, what="the requester is missed")
        go_on.set()
        assert len(receiver.arrived) == 3
        wait_for(lambda: receiver.acceptor.outcomes, what="the destination is left")
    assert serving.listener.outcomes == ["aborted by peer"]


@pytest.fixture
def open_files() -> Callable[[], int]:
    """SQLite's left out: it keeps descriptors for reuse, because closing one drops the locks of all."""

    def count() -> int:
        links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd_is_open(fd)]
        return sum("sqlite" not in link for link in links)

    return count


def fd_is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_no_socket_and_no_file_stays_open_after_a_bad_destination(
    serve: Serve, quick: None, open_files: Callable[[], int]
) -> None:
    keep(1, 2, 3)

    def die(number: int, assoc: Association) -> int:
        assoc.abort()
        return 0

    with Receiver(answer=die) as receiver:
        serving = serve(peers={"DEST": receiver.port, "NOBODY": free_port()})
        move(serving, **STUDY)
        before = open_files()
        for _ in range(3):
            move(serving, **STUDY)
            move(serving, "NOBODY", **STUDY)
        wait_for(lambda: open_files() <= before, what="file descriptors closed")


@pytest.mark.parametrize(
    ("keys", "offending"),
    [
        ({"QueryRetrieveLevel": "STUDY", "PatientID": "P1"}, 0x0020000D),
        ({"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "*"}, 0x0020000E),
        ({"StudyInstanceUID": "1.2.3"}, 0x00080052),
        ({"QueryRetrieveLevel": "PATIENT", "PatientID": "P1"}, 0x00080052),
    ],
)
def test_an_identifier_that_does_not_say_what_is_refused(serve: Serve, keys: dict[str, str], offending: int) -> None:
    keep(1)
    ((status, _),) = move(serve(peers={"DEST": free_port()}), **keys)
    assert (status.Status, status.OffendingElement) == (MISMATCH, offending)


def test_optional_keys_and_missing_upper_keys_do_not_stop_a_move(serve: Serve) -> None:
    keep(1, 2)
    with Receiver() as receiver:
        serving = serve(peers={"DEST": receiver.port})
        keys = {"SeriesInstanceUID": "1.2.3.1", "PatientName": "Someone^Else", "Modality": "MR"}
        assert last(move(serving, QueryRetrieveLevel=" series ", **keys)) == (SUCCESS, (2, 0, 0), [])


def test_a_strict_peer_must_name_the_unique_keys_and_no_others(serve: Serve) -> None:
    keep(1)
    with Receiver() as receiver:
        serving = serve(peers={"DEST": receiver.port}, strict_identifiers=True)
        assert last(move(serving, QueryRetrieveLevel="SERIES", SeriesInstanceUID="1.2.3.1"))[0] == MISMATCH
        assert last(move(serving, PatientName="", **STUDY))[0] == MISMATCH
        assert last(move(serving, **STUDY))[0] == SUCCESS


def test_a_patient_id_in_a_move_is_no_pattern(serve: Serve) -> None:
    keep(1)
    with Receiver() as receiver:
        serving = serve(peers={"DEST": receiver.port})
        answers = move(serving, model=PATIENT_MOVE, QueryRetrieveLevel="PATIENT", PatientID="P*")
    assert last(answers) == (SUCCESS, (0, 0, 0), [])


def test_the_issuer_says_whose_patient_id_it_is(serve: Serve) -> None:
    keep(1, issuer="A")
    keep(2, issuer="B", series="7.7.1", study="7.7")
    with Receiver() as receiver:
        serving = serve(peers={"DEST": receiver.port})
        keys = {"QueryRetrieveLevel": "PATIENT", "PatientID": "P1", "IssuerOfPatientID": "B"}
        assert last(move(serving, model=PATIENT_MOVE, **keys))[1] == (1, 0, 0)
    assert [one.sop_instance_uid for one in receiver.arrived] == ["7.7.1.2"]


def test_thousands_of_uids_in_one_identifier(serve: Serve) -> None:
    keep(1, 2)
    uids = [f"9.9.{number}" for number in range(3000)] + ["1.2.3.1.1", "1.2.3.1.2"]
    with Receiver() as receiver:
        serving = serve(peers={"DEST": receiver.port})
        assert last(move(serving, QueryRetrieveLevel="IMAGE", SOPInstanceUID=uids))[1] == (2, 0, 0)


def test_an_instance_deleted_in_between_is_neither_sent_nor_counted(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(1, 2, 3)
    monkeypatch.setattr("apps.qr.retrieve.PAGE", 1)

    def delete(number: int, _: Association) -> int:
        with borrowed():
            Instance.objects.filter(sop_instance_uid="1.2.3.1.3").delete()
        return 0

    with Receiver(answer=delete) as receiver:
        assert last(move(serve(peers={"DEST": receiver.port}), **STUDY))[0] == SUCCESS


def test_a_file_that_is_lost_fails_alone(serve: Serve, settings: Any) -> None:
    keep(1, 2)
    lost = Instance.objects.get(sop_instance_uid="1.2.3.1.1")
    (Path(settings.ARCHIVE) / lost.path).unlink()
    with Receiver() as receiver:
        assert last(move(serve(peers={"DEST": receiver.port}), **STUDY)) == (WARNING, (1, 1, 0), ["1.2.3.1.1"])


class Everywhere:
    """A sender whose destination has everything at once."""

    def __init__(self, **_: object) -> None:
        self.sent = 0

    def __enter__(self) -> "Everywhere":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self) -> None:
        pass

    def send_each(
        self, sources: Iterable[Archived], *, move_originator: tuple[str, int]
    ) -> Generator[Outcome, None, None]:
        for source in sources:
            self.sent += 1
            yield Outcome(source.sop_instance_uid, 0)


def multiply(number: int) -> None:
    """So many rows more of the one instance there is."""
    made = {"name": "CAST(n AS varchar(20))", "sop_instance_uid": "'1.2.9.' || n"}
    names = [f'"{field.column}"' for field in Instance._meta.concrete_fields if not field.primary_key]
    values = [made.get(name.strip('"'), name) for name in names]
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s) "
            f"INSERT INTO storage_instance ({', '.join(names)}) "
            f"SELECT {', '.join(values)} FROM storage_instance, numbers",
            [number],
        )


def test_more_sub_operations_than_a_response_can_count(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(1)
    multiply(66_000)
    monkeypatch.setattr(scp, "Sender", Everywhere)
    answers = move(serve(peers={"DEST": free_port()}), **STUDY)
    assert last(answers) == (SUCCESS, (65_535, 0, 0), [])
    left = [status.NumberOfRemainingSuboperations for status, _ in answers[:-1]]
    assert left == sorted(left, reverse=True)
    assert max(left) <= 65_535
