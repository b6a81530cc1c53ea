"""Who waits for a response: what he does meanwhile, and what he serves."""

import threading
from collections.abc import Callable

import pytest

from dicom.dimse import Association, AssociationAborted, Message, Response, TimedOut
from tests.dicom.dimse.calls import associated, context, services
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import BRISK, CT_IMAGE_STORAGE, wait_for


def stored(assoc: Association, uid: str, meanwhile: Callable[[], object]) -> Response:
    return assoc.c_store(
        context=context(assoc, CT_IMAGE_STORAGE),
        sop_class_uid=CT_IMAGE_STORAGE,
        sop_instance_uid=uid,
        data=bytes(1000),
        meanwhile=meanwhile,
    )


def test_what_is_done_meanwhile_is_done_after_all_is_sent_and_before_the_response_is_awaited(serve: Serve) -> None:
    prepared = threading.Event()

    def store(assoc: Association, message: Message) -> None:
        message.read()
        assoc.respond(message, 0 if prepared.wait(60) else 0xA700)

    with associated(serve(services=services(store))) as assoc:
        assert stored(assoc, "1.2.3", prepared.set).status == 0


def test_what_fails_meanwhile_gives_the_response_up_and_the_association_lives_on(serve: Serve) -> None:
    with associated(serve()) as assoc:
        with pytest.raises(ZeroDivisionError):
            stored(assoc, "1.2.3", lambda: 1 // 0)
        assert stored(assoc, "1.2.4", lambda: None).status == 0


def test_an_abort_meanwhile_by_either_side_is_seen_where_the_response_is_awaited(serve: Serve) -> None:
    def never(assoc: Association, message: Message) -> None:
        message.read()
        wait_for(assoc.peer_is_gone)
        assoc.respond(message, 0)

    with pytest.raises(AssociationAborted), associated(serve(services=services(never))) as assoc:
        stored(assoc, "1.2.3", assoc.abort)
    running = serve()
    with pytest.raises(AssociationAborted), associated(running) as assoc:
        assert assoc.c_echo().status == 0
        stored(assoc, "1.2.3", running.acceptor.associations[0].abort)
        assoc.c_echo()  # where the response was quicker


def test_a_report_that_comes_while_something_is_done_meanwhile_is_served_before_the_response(serve: Serve) -> None:
    events: list[str] = []
    reported = threading.Event()

    def store(assoc: Association, message: Message) -> None:
        message.read()
        threading.Timer(0.05, reported.set).start()
        response = assoc.n_event_report(
            context=message.context, sop_class_uid="1.2.3", sop_instance_uid="1.2.4", event_type_id=1
        )
        assoc.respond(message, response.status)

    def on_request(assoc: Association, message: Message) -> None:
        events.append("report")
        assoc.respond(message, 0)

    def meanwhile() -> None:
        assert reported.wait(60)
        events.append("meanwhile")

    with associated(serve(services=services(store)), on_request=on_request) as assoc:
        assert stored(assoc, "1.2.3", meanwhile).status == 0
    assert events == ["meanwhile", "report"]


def test_serving_an_idle_association_ends_when_its_time_is_up_and_it_lives_on(serve: Serve) -> None:
    with associated(serve()) as assoc:
        assoc.serve(0.1)
        assert assoc.c_echo().status == 0


def test_a_thread_that_waits_while_another_reads_is_timed_out(serve: Serve) -> None:
    running = serve(timeouts=BRISK)
    with associated(running) as assoc:
        assert assoc.c_echo().status == 0
        (theirs,) = running.acceptor.associations
        with pytest.raises(TimedOut):  # nobody serves it on the other side
            theirs.c_echo(context=theirs.contexts[1])
    assert running.acceptor.outcome() == "timed out: a response"


def test_a_request_without_anybody_to_serve_it_is_answered_0211(serve: Serve) -> None:
    statuses: list[int] = []

    def ask_back(assoc: Association, message: Message) -> None:
        statuses.append(assoc.c_echo(context=message.context).status)
        assoc.respond(message, 0)

    with associated(serve(services=services(ask_back))) as assoc:
        assert assoc.c_echo().status == 0
    assert statuses == [0x0211]


def test_requests_inside_requests_come_to_an_end(serve: Serve) -> None:
    def ask_back(assoc: Association, message: Message) -> None:
        assoc.respond(message, assoc.c_echo(context=message.context).status)

    with associated(serve(services=services(ask_back)), on_request=ask_back) as assoc:
        assert assoc.c_echo().status == 0x0213
