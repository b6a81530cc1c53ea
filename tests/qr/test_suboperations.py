"""What responses say about more sub-operations than they have bits for (WIRE 23)."""

from array import array
from types import SimpleNamespace
from typing import Any

import pytest

from apps.qr.retrieve import Instances
from apps.qr.suboperations import Tally
from apps.storage.attempts import Outcome
from dicom.encoding import read_identifier

EXPLICIT = "1.2.840.10008.1.2.1"


class Answers:
    """In place of an association: remembers the responses."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}

    def respond(self, message: Any, status: int, **fields: Any) -> None:
        self.last = {"status": status, **fields}


def test_the_list_of_failed_uids_is_cut_to_what_explicit_vr_can_carry() -> None:
    tally = Tally(Instances(array("q", range(70_000)), frozenset()))
    for number in range(70_000):
        tally.note(Outcome(f"1.2.826.0.1.{number}", 0xA700, "full"))
    answers: Any = Answers()
    message: Any = SimpleNamespace(context=SimpleNamespace(transfer_syntax=EXPLICIT))
    tally.finish(answers, message, cancelled=False)
    assert (answers.last["status"], answers.last["failed"]) == (0xA702, 70_000)
    identifier = read_identifier(answers.last["data_set"], EXPLICIT)
    assert identifier.elements[0x00080058].vr == "UI"
    listed = identifier.text(0x00080058).split("\\")
    assert listed == [f"1.2.826.0.1.{number}" for number in range(len(listed))]
    assert 65_500 < len(identifier.elements[0x00080058].value) <= 65_534


def test_what_is_left_counts_down_to_nothing() -> None:
    tally = Tally(Instances(array("q", range(3)), frozenset()))
    for status in (0x0000, 0xB000, 0xC000):
        tally.note(Outcome("1.2", status))
    assert (tally.remaining, tally.completed, tally.warning, tally.failed) == (0, 1, 1, 1)


def test_failures_are_logged_with_their_cause_the_first_ones_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(Instances(array("q", range(30)), frozenset()))
    for number in range(30):
        tally.note(Outcome(f"1.2.{number}", 0xA700, "disk is full"))
    message: Any = SimpleNamespace(context=SimpleNamespace(transfer_syntax=EXPLICIT))
    answers: Any = Answers()
    tally.finish(answers, message, cancelled=False)
    assert caplog.messages[0] == "1.2.0 could not be sent: status A700, disk is full"
    assert len(caplog.messages) == 21
    assert caplog.messages[-1] == "30 of 30 instances could not be sent"
