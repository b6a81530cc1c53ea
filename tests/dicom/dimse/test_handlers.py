"""What handlers refuse, and what they do wrong."""

import logging

import pytest

from dicom.dimse import (
    Association,
    AssociationAborted,
    AssociationReleased,
    Command,
    ConnectionLost,
    Failed,
    Message,
    Response,
)
from tests.dicom.dimse.calls import associated, context, find, services
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import PROCEDURE_STEP, STUDY_ROOT_FIND, Recorder, wait_for


@pytest.mark.parametrize(("uid", "status"), [(STUDY_ROOT_FIND, 0xC000), (PROCEDURE_STEP, 0x0110)])
def test_a_bug_is_logged_once_with_a_reference_and_answered_with_the_failure_of_the_service(
    serve: Serve, caplog: pytest.LogCaptureFixture, uid: str, status: int
) -> None:
    def broken(assoc: Association, message: Message) -> None:
        raise KeyError("patient name")

    with associated(serve(services=services(broken, STUDY_ROOT_FIND, PROCEDURE_STEP))) as assoc:
        if uid == PROCEDURE_STEP:
            response = assoc.n_create(context=context(assoc, uid), sop_class_uid=uid, data=b"new")
        else:
            (response,) = find(assoc)
        assert assoc.c_echo().status == 0
    assert response.status == status
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    reference = response.command.error_comment.rpartition(" ")[2]
    assert reference in record.getMessage()
    assert "patient name" not in response.command.error_comment


def test_what_a_handler_refuses_is_answered_as_it_says_and_is_no_bug(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(assoc: Association, message: Message) -> None:
        raise Failed(0x0110, "Too late", offending_elements=(0x00400252,), error_id=0xA710)

    with associated(serve(services=services(refusing, PROCEDURE_STEP))) as assoc:
        response = assoc.n_create(
            context=assoc.accepted_context(PROCEDURE_STEP), sop_class_uid=PROCEDURE_STEP, data=b"new"
        )
        assert assoc.c_echo().status == 0
    assert (response.status, response.command.error_comment, response.command.error_id) == (0x0110, "Too late", 0xA710)
    assert response.command.offending_elements == (0x00400252,)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    with pytest.raises(Failed, match=r"^Status 0110: Too late$") as failed:
        response.check()
    assert failed.value.status == 0x0110


def test_what_is_refused_after_the_answer_is_a_bug(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def late(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0x0000)
        raise Failed(0x0110)

    with associated(serve(services=services(late))) as assoc:
        assert assoc.c_echo().status == 0
        assert assoc.c_echo().status == 0
    assert "failed, reference" in caplog.text


@pytest.mark.parametrize("status", [0x0000, 0x0107, 0xB000, 0xFF00, 0xFF01])
def test_success_warnings_and_pending_are_no_failures(status: int) -> None:
    Response(status, Command({0x0100: b"\x01\x80", 0x0120: b"\x01\x00", 0x0800: b"\x01\x01"})).check()


def test_a_handler_that_does_not_respond_is_answered_for(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with associated(serve(services=services(lambda assoc, message: None))) as assoc:
        assert assoc.c_echo().status == 0x0110
    assert "has not responded" in caplog.text


def test_the_end_of_another_association_is_a_failure_of_the_handler_not_the_end_of_this_one(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(assoc: Association, message: Message) -> None:
        raise ConnectionLost("the destination went away")

    with associated(serve(services=services(broken))) as assoc:
        assert assoc.c_echo().status == 0x0110
        assert assoc.c_echo().status == 0x0110


class Awkward(Recorder):
    def __init__(self, fails: str) -> None:
        super().__init__()
        self.fails = fails

    def begin(self, assoc: Association) -> None:
        if self.fails == "begin":
            raise RuntimeError("begin")

    def before_release(self, assoc: Association) -> None:
        if self.fails == "before_release":
            raise RuntimeError("before_release")

    def end(self, assoc: Association | None, outcome: str) -> None:
        super().end(assoc, outcome)
        if self.fails == "end":
            raise RuntimeError("end")


@pytest.mark.parametrize("fails", ["before_release", "end"])
def test_what_fails_around_an_association_is_logged_and_hurts_nobody(
    serve: Serve, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    running = serve(Awkward(fails))
    with associated(running) as assoc:
        assert assoc.c_echo().status == 0
    assert isinstance(assoc.ended, AssociationReleased)
    assert running.acceptor.outcome() == "released"
    wait_for(lambda: "reference" in caplog.text)


def test_an_association_whose_beginning_fails_is_aborted(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    running = serve(Awkward("begin"))
    with pytest.raises(AssociationAborted), associated(running) as assoc:
        assoc.c_echo()
    assert running.acceptor.outcome() == "failed"
