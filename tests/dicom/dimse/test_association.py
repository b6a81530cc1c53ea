"""DIMSE-C and DIMSE-N in both directions at any time, between two sides of ours."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dicom.dimse import (
    Association,
    AssociationAborted,
    AssociationEnded,
    AssociationRejected,
    AssociationReleased,
    Command,
    CommandField,
    ConnectFailed,
    ConnectionLost,
    Failed,
    Limits,
    Message,
    NotAccepted,
    ProtocolError,
    Reject,
    Response,
    TimedOut,
    Timeouts,
    associate,
)
from dicom.dimse.negotiation import Accept, AssociateRequest, Context
from tests.dicom.dimse.conftest import BarePeer, Serve
from tests.dicom.dimse.sides import (
    BRISK,
    COMMITMENT_INSTANCE,
    CT_IMAGE_STORAGE,
    EXPLICIT,
    HURRIED,
    IMPLICIT,
    PROCEDURE_STEP,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Handler,
    Recorder,
    Running,
    Store,
    wait_for,
)

PENDING, CANCELLED = 0xFF00, 0xFE00
ALL = (
    VERIFICATION,
    CT_IMAGE_STORAGE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    STUDY_ROOT_GET,
    STORAGE_COMMITMENT,
    PROCEDURE_STEP,
)


def services(handler: Handler, *classes: str) -> dict[str, tuple[list[str], Handler]]:
    return {uid: ([IMPLICIT, EXPLICIT], handler) for uid in classes or ALL}


@contextmanager
def associated(running: Running | BarePeer, **options: object) -> Iterator[Association]:
    with associate(
        *running.address,
        calling_ae_title="ME",
        called_ae_title="YOU",
        contexts=[(uid, [IMPLICIT]) for uid in ALL],
        **options,  # type: ignore[arg-type]
    ) as assoc:
        yield assoc


def context(assoc: Association, uid: str, role: str = "scu") -> Context:
    found = assoc.context_for(uid, role=role)
    assert found is not None
    return found


def find(assoc: Association, **options: object) -> Iterator[Response]:
    return assoc.c_find(context=context(assoc, STUDY_ROOT_FIND), identifier=b"query", **options)  # type: ignore[arg-type]


# C-FIND, C-MOVE, C-GET


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


# DIMSE-N


def test_every_n_service_carries_what_it_should_and_its_response_repeats_it(serve: Serve) -> None:
    seen: list[tuple[str, str, str, bytes]] = []

    def serve_n(assoc: Association, message: Message) -> None:
        command = message.command
        uid = command.requested_sop_instance_uid or command.affected_sop_instance_uid
        extra = command.action_type_id or command.event_type_id or list(command.attribute_identifier_list)
        seen.append((command.name, uid, str(extra), message.read()))
        assoc.respond(message, 0, data_set=b"result")

    with associated(serve(services=services(serve_n))) as assoc:
        step = context(assoc, PROCEDURE_STEP)
        same = {"context": step, "sop_class_uid": PROCEDURE_STEP, "sop_instance_uid": "1.2.3"}
        answers = [
            assoc.n_create(**same, data=b"new"),  # type: ignore[arg-type]
            assoc.n_set(**same, data=b"changed"),  # type: ignore[arg-type]
            assoc.n_get(**same, attributes=[0x00100010, 0x00400100]),  # type: ignore[arg-type]
            assoc.n_action(**same, action_type_id=1, data=b"do"),  # type: ignore[arg-type]
            assoc.n_event_report(**same, event_type_id=2, data=b"done"),  # type: ignore[arg-type]
            assoc.n_delete(**same),  # type: ignore[arg-type]
        ]
    assert seen == [
        ("N-CREATE-RQ", "1.2.3", "[]", b"new"),
        ("N-SET-RQ", "1.2.3", "[]", b"changed"),
        ("N-GET-RQ", "1.2.3", f"{[0x00100010, 0x00400100]}", b""),
        ("N-ACTION-RQ", "1.2.3", "1", b"do"),
        ("N-EVENT-REPORT-RQ", "1.2.3", "2", b"done"),
        ("N-DELETE-RQ", "1.2.3", "[]", b""),
    ]
    for answer in answers:
        assert (answer.status, answer.data_set) == (0, b"result")
        assert answer.command.affected_sop_class_uid == PROCEDURE_STEP
        assert answer.command.affected_sop_instance_uid == "1.2.3"
    assert (answers[3].command.action_type_id, answers[4].command.event_type_id) == (1, 2)


def test_an_instance_uid_that_the_provider_makes_is_in_the_response(serve: Serve) -> None:
    def create(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0, affected_sop_instance_uid="1.2.99")

    with associated(serve(services=services(create))) as assoc:
        response = assoc.n_create(context=context(assoc, PROCEDURE_STEP), sop_class_uid=PROCEDURE_STEP)
    assert response.command.affected_sop_instance_uid == "1.2.99"


def test_a_report_of_the_peer_is_served_while_we_wait_for_a_response(serve: Serve) -> None:
    """PS3.4 J.2.1: N-EVENT-REPORT on the association of the N-ACTION, before its response."""
    reports: list[tuple[int | None, bytes]] = []

    def commit(assoc: Association, message: Message) -> None:
        message.read()
        reported = assoc.n_event_report(
            context=message.context,
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=COMMITMENT_INSTANCE,
            event_type_id=1,
            data=b"committed",
        )
        assoc.respond(message, reported.status)

    def on_request(assoc: Association, message: Message) -> None:
        reports.append((message.command.event_type_id, message.read()))
        assoc.respond(message, 0)

    running = serve(services=services(commit, STORAGE_COMMITMENT))
    with associated(running, on_request=on_request, roles={STORAGE_COMMITMENT: (True, True)}) as assoc:
        response = assoc.n_action(
            context=context(assoc, STORAGE_COMMITMENT),
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=COMMITMENT_INSTANCE,
            action_type_id=1,
            data=b"please",
        )
    assert response.status == 0
    assert reports == [(1, b"committed")]


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


def test_a_report_can_be_sent_on_an_idle_association_in_both_roles(serve: Serve) -> None:
    reports: list[bytes] = []

    def note(assoc: Association, message: Message) -> None:
        reports.append(message.read())
        assoc.respond(message, 0)

    def report(assoc: Association, data: bytes) -> int:
        return assoc.n_event_report(
            context=context(assoc, STORAGE_COMMITMENT),
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=COMMITMENT_INSTANCE,
            event_type_id=1,
            data=data,
        ).status

    statuses: list[int] = []
    running = serve(services=services(note, STORAGE_COMMITMENT))
    with associated(running, on_request=note, roles={STORAGE_COMMITMENT: (True, True)}) as assoc:
        assert report(assoc, b"from requestor") == 0
        (theirs,) = running.acceptor.associations
        # The acceptor's own thread waits for a message; another sends and gets its response all the same.
        thread = threading.Thread(target=lambda: statuses.append(report(theirs, b"from acceptor")))
        thread.start()
        assoc.serve(5, until=lambda: len(reports) == 2)
        thread.join()
    assert reports == [b"from requestor", b"from acceptor"]
    assert statuses == [0]


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


# What handlers do wrong


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


# Ends


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


# Getting through


class Closed(Recorder):
    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        return Reject(1, 1, 7)


def test_a_rejection_says_what_to_do(serve: Serve) -> None:
    with pytest.raises(AssociationRejected, match="called AE title") as rejected, associated(serve(Closed())):
        pass
    assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 1, 7)


def test_a_port_nobody_listens_on_says_where(serve: Serve) -> None:
    running = serve()
    running.server.stop()
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{running.port}"), associated(running):
        pass


def test_a_peer_that_accepts_and_says_nothing_is_timed_out(silent_peer: BarePeer) -> None:
    with pytest.raises(TimedOut, match="association request"), associated(silent_peer, timeouts=HURRIED):
        pass


def test_a_peer_that_is_no_dicom_server_is_named_so(http_peer: BarePeer) -> None:
    with pytest.raises(ProtocolError, match="no DICOM peer"), associated(http_peer, timeouts=Timeouts(acse=5)):
        pass
