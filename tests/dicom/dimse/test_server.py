"""Caps and drain of the threaded server."""

import threading
import time
from contextlib import ExitStack

import pytest

from dicom.dimse import (
    Association,
    AssociationAborted,
    AssociationEnded,
    AssociationRejected,
    ConnectFailed,
    Message,
    ThreadedServer,
    Timeouts,
    associate,
)
from tests.campaigns.wire import ABORT, COMMAND, LAST, Ended, Line, echo, echo_rq, p_data
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import IMPLICIT, VERIFICATION, Recorder, Running, wait_for


def call(running: Running) -> Association:
    return associate(
        *running.address,
        calling_ae_title="ME",
        called_ae_title="YOU",
        contexts=[(VERIFICATION, [IMPLICIT])],
        timeouts=Timeouts(connect=5, acse=5, dimse=5),
    )


def test_one_association_too_many_is_rejected_for_now_and_welcome_later(serve: Serve) -> None:
    running = serve(maximum_associations=2)
    with ExitStack() as stack:
        first, _ = (stack.enter_context(call(running)) for _ in range(2))
        with pytest.raises(AssociationRejected) as rejected:
            call(running)
        assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (2, 3, 2)
        first.release()
        wait_for(lambda: "released" in running.acceptor.outcomes)
        assert stack.enter_context(call(running)).c_echo().status == 0


def test_who_has_released_may_call_again_at_once(serve: Serve) -> None:
    running = serve(maximum_associations=1)
    for _ in range(50):
        with call(running) as assoc:
            assert assoc.c_echo().status == 0


def test_silent_connections_take_no_associations_place(serve: Serve) -> None:
    running = serve(maximum_associations=1)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Line(running.address))
        echo(running.address, timeout=20)


def test_connections_over_their_cap_are_closed_and_associations_do_not_count(serve: Serve) -> None:
    running = serve(maximum_connections=3)
    with ExitStack() as stack:
        associations = [stack.enter_context(call(running)) for _ in range(5)]
        lines = [stack.enter_context(Line(running.address)) for _ in range(4)]
        with pytest.raises(Ended):
            lines[-1].read()
        assert [assoc.c_echo().status for assoc in associations] == [0] * 5


def test_associations_are_counted_down_however_they_end(serve: Serve) -> None:
    running = serve(maximum_associations=1)
    for n in range(6):
        wait_for(lambda: running.server._associations == 0)
        assoc = call(running)
        if n % 3 == 0:
            assoc.abort()
        elif n % 3 == 1:
            assoc.close()
        else:
            assoc.release()
    wait_for(lambda: running.server._associations == 0)
    assert sorted(set(running.acceptor.outcomes)) == ["aborted by peer", "connection lost", "released"]


def test_a_hundred_associations_at_once_are_served(serve: Serve) -> None:
    running = serve(maximum_associations=100)
    with ExitStack() as stack:
        associations = [stack.enter_context(call(running)) for _ in range(100)]
        assert {assoc.c_echo().status for assoc in associations} == {0}
    wait_for(lambda: len(running.acceptor.outcomes) == 100)
    assert set(running.acceptor.outcomes) == {"released"}


class Slow(Recorder):
    def __init__(self) -> None:
        super().__init__({VERIFICATION: ([IMPLICIT], self.slow)})
        self.begun, self.go_on = threading.Event(), threading.Event()

    def slow(self, assoc: Association, message: Message) -> None:
        self.begun.set()
        self.go_on.wait(60)
        assoc.respond(message, 0)


def test_a_running_message_finishes_before_the_association_is_ended(serve: Serve) -> None:
    acceptor = Slow()
    running = serve(acceptor)
    assoc = call(running)
    stopping = threading.Thread(target=running.server.stop)
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(assoc.c_echo().status))
    asking.start()
    acceptor.begun.wait(60)
    stopping.start()
    time.sleep(0.2)
    acceptor.go_on.set()
    asking.join()
    assert statuses == [0]
    with pytest.raises(AssociationAborted), assoc:
        assoc.c_echo()
    stopping.join()
    assert acceptor.outcome() == "stopped"


def test_a_message_that_has_begun_to_arrive_finishes_as_well(serve: Serve) -> None:
    running = serve()
    with Line(running.address) as line:
        line.associate((VERIFICATION, [IMPLICIT]))
        line.send(p_data(1, COMMAND, echo_rq()[:20]))
        time.sleep(0.1)
        stopping = threading.Thread(target=running.server.stop)
        stopping.start()
        time.sleep(0.7)
        line.send(p_data(1, COMMAND | LAST, echo_rq()[20:]))
        assert line.status() == 0
        assert line.read().kind == ABORT
    stopping.join()
    assert running.acceptor.outcome() == "stopped"


def test_idle_associations_and_silent_connections_are_ended_at_once_by_a_stop(serve: Serve) -> None:
    running = serve(timeouts=Timeouts(idle=None, acse=None))
    with Line(running.address), ExitStack() as stack:
        associations = [call(running) for _ in range(10)]
        for assoc in associations:
            stack.callback(assoc.close)
            assert assoc.c_echo().status == 0
        stopping = threading.Thread(target=running.server.stop)
        stopping.start()
        for assoc in associations:
            with pytest.raises(AssociationEnded):
                assoc.serve(10)
        stopping.join(60)
        assert not stopping.is_alive()
    wait_for(lambda: len(running.acceptor.outcomes) == 11)
    assert set(running.acceptor.outcomes) == {"stopped"}


def test_who_waits_for_the_server_waits_until_it_is_stopped(serve: Serve) -> None:
    running = serve()
    waiting = threading.Thread(target=running.server.wait)
    waiting.start()
    with call(running) as assoc:
        assert assoc.c_echo().status == 0 and waiting.is_alive()
    running.server.stop()
    waiting.join(20)
    assert not waiting.is_alive()


def test_nobody_is_accepted_after_the_stop(serve: Serve) -> None:
    running = serve()
    running.server.stop()
    with pytest.raises(ConnectFailed):
        call(running)


def test_a_port_that_is_taken_is_said_at_the_start(serve: Serve) -> None:
    running = serve()
    with pytest.raises(OSError, match="in use"):
        ThreadedServer(running.address, Recorder()).start()


def test_a_server_listens_on_ipv6_too() -> None:
    with ThreadedServer(("::1", 0), Recorder()) as server:
        assoc = associate(
            "::1",
            server.port,
            calling_ae_title="ME",
            called_ae_title="YOU",
            contexts=[(VERIFICATION, [IMPLICIT])],
        )
        with assoc:
            assert assoc.c_echo().status == 0
