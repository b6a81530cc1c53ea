"""C-FIND, C-MOVE and C-GET between two sides of ours, and what is cancelled."""

import threading
import time

import pytest

from dicom.dimse import Association, CommandField, Limits, Message
from tests.dicom.dimse.calls import CANCELLED, PENDING, associated, context, find, services
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import (
    CT_IMAGE_STORAGE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Store,
    wait_for,
)


def test_pending_responses_come_one_by_one_and_the_last_has_no_data_set(serve: Serve) -> None:
    def answer(assoc: Association, message: Message) -> None:
        assert message.read() == b"query"
        for n in range(3):
            assoc.respond(message, PENDING, data_set=b"match%d" % n)
        assoc.respond(message, 0)

    with associated(serve(services=services(answer))) as assoc:
        responses = list(find(assoc))
    assert [(r.status, r.data_set) for r in responses] == [
        (PENDING, b"match0"),
        (PENDING, b"match1"),
        (PENDING, b"match2"),
        (0, None),
    ]
    assert responses[0].command.affected_sop_class_uid == STUDY_ROOT_FIND


@pytest.mark.parametrize("size", [7, 100_000])
def test_pending_responses_that_leave_together_come_one_by_one(serve: Serve, size: int) -> None:
    matches = [b"%d" % n * size for n in range(3)]

    def answer(assoc: Association, message: Message) -> None:
        message.read()
        assoc.respond_each(message, PENDING, matches)
        assoc.respond_each(message, PENDING, [])
        assoc.respond(message, 0)

    with associated(serve(services=services(answer)), limits=Limits(maximum_length=4096)) as assoc:
        assert [(r.status, r.data_set) for r in find(assoc)] == [*((PENDING, match) for match in matches), (0, None)]


@pytest.mark.parametrize("size", [7, 100_000])
@pytest.mark.parametrize("count", [0, 2])
def test_the_final_response_leaves_with_the_last_pending_ones(serve: Serve, size: int, count: int) -> None:
    matches = [b"%d" % n * size for n in range(count)]

    def answer(assoc: Association, message: Message) -> None:
        message.read()
        assoc.respond_each(message, PENDING, matches, final=0xA700, error_comment="More match")
        assert message.answered

    with associated(serve(services=services(answer)), limits=Limits(maximum_length=4096)) as assoc:
        responses = list(find(assoc))
        assert [(r.status, r.data_set) for r in responses] == [*((PENDING, match) for match in matches), (0xA700, None)]
        assert responses[-1].command.error_comment == "More match"
        assert not responses[-1].command.has_data_set


def test_a_query_without_a_data_set_is_given_to_the_handler_and_never_waited_for(serve: Serve) -> None:
    def answer(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0xA900 if message.read() == b"" else 0)

    with associated(serve(services=services(answer))) as assoc:
        elements = {0x0002: STUDY_ROOT_FIND.encode() + b"\0", 0x0700: b"\0\0"}
        message_id = assoc._request(context(assoc, STUDY_ROOT_FIND), CommandField.C_FIND, elements)
        assert assoc.await_response(message_id).status == 0xA900


def test_a_cancel_is_seen_between_two_responses(serve: Serve) -> None:
    def endless(assoc: Association, message: Message) -> None:
        message.read()
        while not assoc.is_cancelled(message):
            assoc.respond(message, PENDING, data_set=b"match")
            time.sleep(0.001)
        assoc.respond(message, CANCELLED)

    running = serve(services={**services(endless, STUDY_ROOT_FIND)})
    with associated(running) as assoc:
        responses = assoc.c_find(context=context(assoc, STUDY_ROOT_FIND), identifier=b"query")
        assert next(responses).status == PENDING
        responses.cancel()
        assert list(responses)[-1].status == CANCELLED
        assert assoc.c_echo().status == 0
    assert running.acceptor.outcome() == "released"


def test_a_result_list_that_is_closed_early_is_cancelled_and_its_rest_dropped(serve: Serve) -> None:
    seen = threading.Event()

    def endless(assoc: Association, message: Message) -> None:
        message.read()
        while not assoc.is_cancelled(message):
            assoc.respond(message, PENDING, data_set=b"match")
        seen.set()
        assoc.respond(message, CANCELLED)

    with associated(serve(services=services(endless, STUDY_ROOT_FIND))) as assoc:
        responses = assoc.c_find(context=context(assoc, STUDY_ROOT_FIND), identifier=b"query")
        assert next(responses).status == PENDING
        responses.close()
        assert list(responses) == []
        assert assoc.c_echo().status == 0
    assert seen.is_set()


def test_a_cancel_of_something_that_has_ended_is_nothing(serve: Serve) -> None:
    running = serve()
    with associated(running) as assoc:
        assoc.cancel(4711, context(assoc, VERIFICATION))
        assert assoc.c_echo().status == 0
    assert running.acceptor.outcome() == "released"


def test_a_request_found_while_looking_for_a_cancel_is_served_afterwards(serve: Serve) -> None:
    def slow(assoc: Association, message: Message) -> None:
        message.read()
        wait_for(lambda: assoc._ahead is not None or assoc.is_cancelled(message))
        assoc.respond(message, 0)

    with associated(serve(services=services(slow, STUDY_ROOT_FIND))) as assoc:
        first = assoc._request(context(assoc, STUDY_ROOT_FIND), CommandField.C_FIND, {}, b"one")
        second = assoc._request(
            context(assoc, CT_IMAGE_STORAGE), CommandField.C_STORE, {0x1000: b"1.2.3\0", 0x0002: b"1.2\0"}, b"data"
        )
        assert assoc.await_response(first).status == 0
        assert assoc.await_response(second).status == 0


def test_c_get_sends_the_instances_on_the_same_association(serve: Serve) -> None:
    def get(assoc: Association, message: Message) -> None:
        message.read()
        storage = assoc.context_for(CT_IMAGE_STORAGE, role="scu")
        assert storage is not None
        for n in range(3):
            stored = assoc.c_store(
                context=storage,
                sop_class_uid=CT_IMAGE_STORAGE,
                sop_instance_uid=f"1.2.{n}",
                data=b"image %d" % n * 100_000,
                move_originator=(assoc.calling_ae_title, message.command.message_id),
            )
            assert stored.status == 0
            assoc.respond(message, PENDING, remaining=2 - n, completed=n + 1, failed=0, warning=0)
        assoc.respond(message, 0, completed=70_000, failed=0, warning=0)

    store = Store()
    running = serve(services=services(get, STUDY_ROOT_GET))
    with associated(running, roles={CT_IMAGE_STORAGE: (True, True)}) as assoc:
        responses = list(assoc.c_get(context=context(assoc, STUDY_ROOT_GET), identifier=b"study", on_store=store))
    assert [r.command.number_of_remaining_suboperations for r in responses] == [2, 1, 0, None]
    assert responses[-1].command.number_of_completed_suboperations == 65535  # WIRE 23: counters saturate
    assert store.data == {f"1.2.{n}": b"image %d" % n * 100_000 for n in range(3)}


def test_a_cancel_that_comes_where_a_store_response_is_awaited_is_noted(serve: Serve) -> None:
    def get(assoc: Association, message: Message) -> None:
        message.read()
        sent = 0
        while not assoc.is_cancelled(message):
            assoc.c_store(
                context=context(assoc, CT_IMAGE_STORAGE), sop_class_uid="1.2", sop_instance_uid="1.2.3", data=b"image"
            )
            sent += 1
        assoc.respond(message, CANCELLED, completed=sent)

    def cancel_first(assoc: Association, message: Message) -> None:
        message.read()
        if message.command.message_id == 3:
            responses.cancel()  # before the C-STORE response
        assoc.respond(message, 0)

    running = serve(services=services(get, STUDY_ROOT_GET))
    with associated(running, roles={CT_IMAGE_STORAGE: (False, True)}) as assoc:
        responses = assoc.c_get(context=context(assoc, STUDY_ROOT_GET), identifier=b"study", on_store=cancel_first)
        (last,) = list(responses)
    assert (last.status, last.command.number_of_completed_suboperations) == (CANCELLED, 3)


def test_c_move_names_its_destination(serve: Serve) -> None:
    def move(assoc: Association, message: Message) -> None:
        message.read()
        assoc.respond(message, 0 if message.command.move_destination == "VIEWER" else 0xA801)

    with associated(serve(services=services(move, STUDY_ROOT_MOVE))) as assoc:
        (response,) = assoc.c_move(context=context(assoc, STUDY_ROOT_MOVE), destination="VIEWER", identifier=b"study")
    assert response.status == 0
