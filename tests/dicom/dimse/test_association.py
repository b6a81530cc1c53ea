"""The ends of an association, and its contexts."""

import threading

import pytest

from dicom.dimse import (
    Association,
    AssociationAborted,
    AssociationEnded,
    Command,
    ConnectionLost,
    Message,
    NotAccepted,
    TimedOut,
)
from dicom.dimse.negotiation import Context
from tests.dicom.dimse.calls import CANCELLED, PENDING, associated, context, find, services
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import (
    BRISK,
    COMMITMENT_INSTANCE,
    CT_IMAGE_STORAGE,
    EXPLICIT,
    IMPLICIT,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    VERIFICATION,
    wait_for,
)


def test_a_peer_that_is_gone_is_noticed_without_waiting(serve: Serve) -> None:
    noticed = threading.Event()

    def endless(assoc: Association, message: Message) -> None:
        message.read()
        assert not assoc.peer_is_gone()
        assoc.respond(message, PENDING, data_set=b"match")
        wait_for(assoc.peer_is_gone)
        noticed.set()
        raise AssertionError("nobody to answer")

    running = serve(services=services(endless, STUDY_ROOT_FIND))
    with associated(running) as assoc:
        next(find(assoc))
        assoc._stream.finish(0)
        assoc.ended = ConnectionLost("cut")
    assert noticed.wait(60)
    assert running.acceptor.outcome() == "connection lost"


def test_an_abort_by_the_peer_is_noticed_without_waiting(serve: Serve) -> None:
    def endless(assoc: Association, message: Message) -> None:
        message.read()
        assoc.respond(message, PENDING, data_set=b"match")
        wait_for(lambda: assoc.is_cancelled(message))
        assoc.respond(message, CANCELLED)  # raises: there is no association any more

    running = serve(services=services(endless, STUDY_ROOT_FIND))
    with associated(running) as assoc:
        next(find(assoc))
        assoc.abort()
    assert running.acceptor.outcome() == "aborted by peer"


def test_an_association_can_be_aborted_from_another_thread(serve: Serve) -> None:
    running = serve()
    with pytest.raises(AssociationAborted), associated(running) as assoc:
        assert assoc.c_echo().status == 0
        (theirs,) = running.acceptor.associations
        theirs.abort(2, 0)
        assert running.acceptor.outcome() == "aborted"
        assoc.c_echo()


def test_a_wait_of_our_own_ends_when_another_thread_aborts(serve: Serve) -> None:
    def slow(assoc: Association, message: Message) -> None:
        wait_for(assoc.peer_is_gone)
        assoc.respond(message, 0)

    running = serve(services=services(slow))
    with pytest.raises(AssociationAborted), associated(running) as assoc:
        threading.Timer(0.2, assoc.abort).start()
        assoc.c_echo()
    assert running.acceptor.outcome() == "aborted by peer"


def test_an_exception_in_the_block_aborts(serve: Serve) -> None:
    running = serve()
    with pytest.raises(KeyError), associated(running):
        raise KeyError
    assert running.acceptor.outcome() == "aborted by peer"


def test_a_response_that_does_not_come_is_timed_out_and_aborted(serve: Serve) -> None:
    def never(assoc: Association, message: Message) -> None:
        wait_for(assoc.peer_is_gone)
        assoc.respond(message, 0)

    running = serve(services=services(never))
    with pytest.raises(TimedOut, match="a response"), associated(running, timeouts=BRISK) as assoc:
        assoc.c_echo()
    assert running.acceptor.outcome() == "aborted by peer"


def test_a_peer_that_only_asks_and_never_answers_is_timed_out(serve: Serve) -> None:
    """Its requests are served, and are no answer."""

    def ask_back(assoc: Association, message: Message) -> None:
        while not assoc.peer_is_gone():
            assoc.n_event_report(
                context=context(assoc, STORAGE_COMMITMENT),
                sop_class_uid=STORAGE_COMMITMENT,
                sop_instance_uid=COMMITMENT_INSTANCE,
                event_type_id=1,
            )

    def on_request(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0)

    running = serve(services=services(ask_back, VERIFICATION, STORAGE_COMMITMENT))
    with (
        pytest.raises(TimedOut, match="a response"),
        associated(running, timeouts=BRISK, on_request=on_request, roles={STORAGE_COMMITMENT: (True, True)}) as assoc,
    ):
        assoc.c_echo()


def test_an_error_comment_is_what_can_be_read_of_it_in_bounded_length() -> None:
    command = Command(
        {0x0100: b"\x30\x80", 0x0120: b"\x01\0", 0x0800: b"\x01\x01", 0x0902: b"a\0b\x1b[31m" + b"x" * 9999}
    )
    assert command.error_comment.startswith("ab [31mxxx")
    assert len(command.error_comment) == 256


def test_nothing_can_be_done_with_an_association_that_has_ended(serve: Serve) -> None:
    with associated(serve()) as assoc:
        pass
    with pytest.raises(AssociationEnded):
        assoc.c_echo()
    assoc.release()
    assoc.close()


def test_a_context_of_another_association_cannot_be_used(serve: Serve) -> None:
    with associated(serve()) as assoc, pytest.raises(ValueError, match="Context 99"):
        assoc.c_echo(context=Context(99, VERIFICATION, IMPLICIT, as_scu=True, as_scp=False))


def test_a_service_the_peer_has_not_accepted_has_no_context(serve: Serve) -> None:
    with associated(serve()) as assoc:
        assert assoc.context_for(STUDY_ROOT_FIND) is None
        with pytest.raises(NotAccepted, match="YOU does not offer this to ME"):
            assoc.accepted_context(STUDY_ROOT_FIND)
        assert assoc.context_for(CT_IMAGE_STORAGE, EXPLICIT) is None
        assert assoc.context_for(CT_IMAGE_STORAGE, role="scp") is None
        assert assoc.context_for(CT_IMAGE_STORAGE, IMPLICIT) is not None
