import fcntl
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from django.db import DataError, OperationalError
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.principal import system
from apps.audit.models import AuditEvent
from apps.network import log
from apps.network.current import CurrentRules
from apps.network.log import AssociationJournal
from apps.network.models import AssociationLog, Node, RefusedCaller
from apps.network.rules import ListenerRules, PeerRules, Rules
from apps.network.session import Session
from dicom.dimse import Association
from tests.node import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

LISTENER = ListenerRules(name="default", ae_title="PACS", host="0.0.0.0", port=104)
PEER = PeerRules(name="ct", ae_title="CT1")


class FakeAssociation:
    def __init__(self, association_id: str) -> None:
        self.id = association_id
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


class Caller:
    """One association of a test, and what the roof tells the journal of it."""

    def __init__(self, journal: AssociationJournal, association_id: str = "0a", **changes: Any) -> None:
        self.journal = journal
        self.fake = FakeAssociation(association_id)
        self.assoc = cast(Association, self.fake)
        fields: dict[str, Any] = {
            "address": "10.0.0.1",
            "calling_ae_title": "CT1",
            "called_ae_title": "PACS",
            **changes,
        }
        self.session = Session(
            listener=LISTENER,
            rules=CurrentRules(rules=Rules()),
            caller=PEER,
            principal=system("test"),
            association_id=association_id,
            **{**fields, **changes},
        )

    def begin(self) -> None:
        self.journal.began(self.assoc, self.session)

    def end(self, outcome: str = "released") -> None:
        self.journal.ended(self.assoc, self.session, outcome)


@pytest.fixture(autouse=True)
def spool(settings: Settings, tmp_path: Path) -> Path:
    settings.SPOOL = tmp_path / "spool"
    return tmp_path / "spool"


@pytest.fixture
def journal() -> Iterator[AssociationJournal]:
    made = AssociationJournal(interval=0.01)
    yield made
    made.stop()


def test_an_association_is_shown_while_it_lives_and_with_its_outcome_after(journal: AssociationJournal) -> None:
    caller = Caller(journal)
    caller.begin()
    journal.flush()
    row = AssociationLog.objects.get()
    assert (row.listener, row.peer, row.calling_ae_title, row.address) == ("default", "ct", "CT1", "10.0.0.1")
    assert row.ended_at is None
    for status in (0, 0, 0xA700):
        caller.session.count("C-STORE", status)
    caller.end()
    journal.flush()
    row.refresh_from_db()
    assert row.ended_at is not None
    assert (row.outcome, row.messages) == ("released", {"C-STORE": {"0000": 2, "A700": 1}})


def test_a_short_association_is_one_row(journal: AssociationJournal) -> None:
    caller = Caller(journal)
    caller.begin()
    caller.end()
    journal.flush()
    assert AssociationLog.objects.get().outcome == "released"


def test_what_callers_send_cannot_break_the_log(journal: AssociationJournal) -> None:
    strange = Caller(journal, calling_ae_title="\0AB\0CD\N{SNOWMAN}" + "X" * 30, address="fe80::1%eth0")
    strange.begin()
    strange.end("x" * 500)
    nowhere = Caller(journal, "0b", address="unix socket")
    nowhere.begin()
    journal.refused(calling_ae_title="A\0B" + "X" * 30, called_ae_title="", address="10.0.0.9", reason="r" * 500)
    journal.refused(calling_ae_title="AB", called_ae_title="", address="nowhere", reason="")
    journal.flush()
    assert {row.address for row in AssociationLog.objects.all()} == {"fe80::1", None}
    assert RefusedCaller.objects.get().calling_ae_title == "AB" + "X" * 14


def test_refused_callers_are_counted_in_one_row_each(journal: AssociationJournal) -> None:
    for reason in ("first", "second"):
        for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
            journal.refused(calling_ae_title="CT1", called_ae_title="PACS", address=address, reason=reason)
        journal.flush()
    rows = {row.address: row for row in RefusedCaller.objects.all()}
    assert {address: row.count for address, row in rows.items()} == {"10.0.0.1": 4, "10.0.0.2": 2}
    assert rows["10.0.0.1"].reason == "second"
    assert rows["10.0.0.1"].first_seen < rows["10.0.0.1"].last_seen


def test_who_tries_many_ae_titles_does_not_fill_the_table(
    journal: AssociationJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "REFUSED_AT_MOST", 10)
    for number in range(50):
        journal.refused(calling_ae_title=f"T{number}", called_ae_title="PACS", address="10.0.0.1", reason="unknown")
        if number % 7 == 0:
            journal.flush()
    journal.flush()
    assert RefusedCaller.objects.count() == 10
    assert RefusedCaller.objects.filter(calling_ae_title="T49").exists()


def test_what_could_not_be_written_is_written_when_the_database_is_back(
    journal: AssociationJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(lines: object) -> None:
        raise OperationalError("no database")

    caller = Caller(journal)
    with monkeypatch.context() as patch:
        patch.setattr(log, "_write_together", away)
        caller.begin()
        journal.refused(calling_ae_title="CT2", called_ae_title="PACS", address="10.0.0.1", reason="unknown")
        with pytest.raises(OperationalError):
            journal.flush()
        caller.end()
        journal.refused(calling_ae_title="CT2", called_ae_title="PACS", address="10.0.0.1", reason="unknown")
    journal.flush()
    assert AssociationLog.objects.get().outcome == "released"
    assert RefusedCaller.objects.get().count == 2


def test_the_newest_are_kept_while_the_database_is_away(caplog: pytest.LogCaptureFixture) -> None:
    journal = AssociationJournal(capacity=3)
    for number in range(5):
        Caller(journal, f"{number:02}").begin()
    journal.flush()
    assert journal.dropped == 2
    assert "2 lines of the association log were dropped" in caplog.text
    assert {row.association_id for row in AssociationLog.objects.all()} == {"02", "03", "04"}


def test_an_end_whose_begin_was_dropped_is_a_whole_row() -> None:
    journal = AssociationJournal(capacity=1)
    first = Caller(journal, "0a")
    first.begin()
    Caller(journal, "0b").begin()
    first.end()
    journal.flush()
    row = AssociationLog.objects.get()
    assert (row.association_id, row.outcome, row.calling_ae_title) == ("0a", "released", "CT1")


def test_a_line_that_the_database_does_not_take_keeps_no_other_out(
    journal: AssociationJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = log._write_together

    def picky(lines: dict[str, Any]) -> None:
        if "0b" in lines:
            raise DataError("not this one")
        write(lines)

    monkeypatch.setattr(log, "_write_together", picky)
    for name in ("0a", "0b", "0c"):
        Caller(journal, name).begin()
    journal.flush()
    assert {row.association_id for row in AssociationLog.objects.all()} == {"0a", "0c"}
    journal.flush()


def open_row(process: int) -> AssociationLog:
    return AssociationLog.objects.create(
        association_id=f"p{process}", node="main", process=process, listener="default", began_at=timezone.now()
    )


def test_rows_of_dead_processes_are_closed_and_those_of_living_ones_are_not(
    journal: AssociationJournal, spool: Path
) -> None:
    (spool / "processes").mkdir(parents=True)
    alive, dead, silent, elsewhere = (open_row(number) for number in (101, 102, 103, 104))
    AssociationLog.objects.filter(pk=elsewhere.pk).update(node="other")
    earlier_with_our_number = open_row(os.getpid())
    (spool / "processes" / "102.lock").touch()
    with (spool / "processes" / "101.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert log.close_dead_rows() == 3
    closed = {row.pk for row in AssociationLog.objects.exclude(ended_at=None)}
    assert closed == {dead.pk, silent.pk, earlier_with_our_number.pk}
    assert alive.pk not in closed


def test_an_abort_asked_for_in_the_console_reaches_the_association(journal: AssociationJournal) -> None:
    journal.start()
    caller, other = Caller(journal, "0a"), Caller(journal, "0b")
    caller.begin()
    other.begin()
    row = wait_for(lambda: AssociationLog.objects.filter(association_id="0a").first())
    assert log.request_abort(row, principal=system("test"))
    wait_for(lambda: caller.fake.aborted)
    assert not other.fake.aborted
    caller.end("aborted by us")
    wait_for(lambda: AssociationLog.objects.exclude(ended_at=None).first())
    assert not log.request_abort(row, principal=system("test"))
    assert AuditEvent.objects.filter(action="abort").count() == 1


def test_stopping_writes_what_is_left() -> None:
    journal = AssociationJournal(interval=30)
    journal.start()
    caller = Caller(journal)
    caller.begin()
    caller.end()
    journal.stop()
    assert AssociationLog.objects.get().outcome == "released"


def test_old_associations_are_pruned_and_live_ones_are_not(journal: AssociationJournal) -> None:
    live = open_row(1)
    old = open_row(2)
    AssociationLog.objects.update(began_at=timezone.now() - timedelta(days=400))
    AssociationLog.objects.filter(pk=old.pk).update(ended_at=timezone.now() - timedelta(days=399))
    assert log.prune(timezone.now() - timedelta(days=90)) == 1
    assert AssociationLog.objects.get().pk == live.pk


def test_rows_of_a_machine_that_has_not_been_heard_of_for_a_day_are_closed() -> None:
    now = timezone.now()
    ours, lost, heard = open_row(1), open_row(2), open_row(3)
    for row, node in ((lost, "lost"), (heard, "heard")):
        AssociationLog.objects.filter(pk=row.pk).update(node=node)
    for node, days in (("lost", 2), ("heard", 0)):
        seen = now - timedelta(days=days)
        Node.objects.create(node=node, role="listeners", process=1, started_at=seen, seen_at=seen, version="1")
    assert log.close_rows_of_lost_nodes() == 1
    assert {row.pk for row in AssociationLog.objects.filter(ended_at=None)} == {ours.pk, heard.pk}
