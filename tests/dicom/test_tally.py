"""What responses say about more sub-operations than they have bits for (WIRE 23)."""

from types import SimpleNamespace
from typing import Any

import pytest

from dicom.encoding import read_identifier
from dicom.part10 import Meta
from dicom.tally import Tally

EXPLICIT = "1.2.840.10008.1.2.1"


def found(number: int) -> list[Meta]:
    return [Meta("1.2.3", f"1.2.826.0.1.{one}", EXPLICIT, 0) for one in range(number)]


class Answers:
    """In place of an association: remembers the responses."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}

    def respond(self, message: Any, status: int, **fields: Any) -> None:
        self.last = {"status": status, **fields}


def test_the_list_of_failed_uids_is_cut_to_what_explicit_vr_can_carry() -> None:
    tally = Tally(found(70_000))
    for number in range(70_000):
        tally.note(f"1.2.826.0.1.{number}", 0xA700, "full")
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
    tally = Tally(found(3))
    for status in (0x0000, 0xB000, 0xC000):
        tally.note("1.2", status)
    assert (tally.remaining, tally.completed, tally.warning, tally.failed) == (0, 1, 1, 1)


def test_failures_are_logged_with_their_cause_the_first_ones_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(found(30))
    for number in range(30):
        tally.note(f"1.2.{number}", 0xA700, "disk is full")
    message: Any = SimpleNamespace(context=SimpleNamespace(transfer_syntax=EXPLICIT))
    answers: Any = Answers()
    tally.finish(answers, message, cancelled=False)
    assert caplog.messages[0] == "1.2.0 could not be sent: status A700, disk is full"
    assert len(caplog.messages) == 21
    assert caplog.messages[-1] == "30 of 30 instances could not be sent"


def test_what_was_not_tried_has_failed_too() -> None:
    tally = Tally(found(3))
    tally.note("1.2.826.0.1.0", 0x0000)
    tally.give_up("nobody there")
    answers: Any = Answers()
    message: Any = SimpleNamespace(context=SimpleNamespace(transfer_syntax=EXPLICIT))
    assert tally.finish(answers, message, cancelled=False) == 0xB000
    assert (answers.last["failed"], answers.last["error_comment"]) == (2, "nobody there")
    listed = read_identifier(answers.last["data_set"], EXPLICIT).text(0x00080058)
    assert listed == "1.2.826.0.1.1\\1.2.826.0.1.2"


class Requester(Answers):
    """Cancels after so many responses."""

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.patience = patience

    def is_cancelled(self, message: Any) -> bool:
        self.patience -= 1
        return self.patience < 0


@pytest.mark.parametrize(("patience", "status", "completed"), [(9, 0xB000, 2), (2, 0xFE00, 1), (0, 0xFE00, 0)])
def test_one_after_the_other_is_sent_until_nobody_wants_more(patience: int, status: int, completed: int) -> None:
    requester: Any = Requester(patience)
    message: Any = SimpleNamespace(context=SimpleNamespace(transfer_syntax=EXPLICIT))
    answers = iter([(0x0000, ""), (0xA700, "full"), (0x0000, "")])
    assert Tally(found(3)).run(requester, message, lambda meta: next(answers)) == status
    assert (requester.last["status"], requester.last["completed"]) == (status, completed)
