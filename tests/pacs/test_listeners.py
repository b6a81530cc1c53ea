"""The process that owns the DIMSE sockets, over the wire."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.dimse import Association, AssociationRejected, DimseError, UserIdentity, associate
from dicom.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN, STUDY_ROOT_FIND, VERIFICATION
from tests.certificates import Certificate
from tests.node import Node, free_port, listens, wait_for, wait_gone
from tests.peers import peer

pytestmark = pytest.mark.live

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Listeners alone: what happens before and beside the archive. One process, so that a change holds everywhere."""
    with Node(tmp_path_factory.mktemp("listeners"), PACS_PROCESSES="1") as node:
        node.manage("prepare")
        yield node.start("listeners")


def connected(node: Node, *abstract_syntaxes: str, calling: str = "TEST", called: str = "PACS") -> Association:
    contexts = [(uid, [IMPLICIT_VR_LITTLE_ENDIAN]) for uid in abstract_syntaxes or (VERIFICATION,)]
    return associate(node.host, node.dimse_port, calling_ae_title=calling, called_ae_title=called, contexts=contexts)


def rejection(node: Node, *abstract_syntaxes: str, calling: str = "TEST", called: str = "PACS") -> tuple[int, int, int]:
    with pytest.raises(AssociationRejected) as rejected:
        connected(node, *abstract_syntaxes, calling=calling, called=called)
    return rejected.value.result, rejected.value.source, rejected.value.reason


def is_let_in(node: Node, **titles: str) -> bool:
    try:
        with connected(node, **titles) as assoc:
            return assoc.c_echo().status == 0
    except DimseError:
        return False


def peer_of(node: Node, calling: str) -> str:
    """Whom an association of this caller is logged for, the last one."""
    is_let_in(node, calling=calling)
    query = "SELECT peer FROM network_associationlog WHERE calling_ae_title = %s ORDER BY id DESC"
    rows = node.sql(query, [calling])
    return str(rows[0][0]) if rows else ""


def change(node: Node, code: str) -> None:
    """A change of the configuration, by its verb, as the console does it."""
    node.shell(
        "from apps.accounts.principal import system; from apps.network import config;"
        f"from apps.network.models import Listener, Peer, RefusedCaller; who = system('test'); {code}"
    )


def test_dcmtk_gets_an_echo(running: Node) -> None:
    command = [peer("echoscu"), "-aec", "PACS", running.host, str(running.dimse_port)]
    assert subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def test_another_called_ae_title_is_rejected(running: Node) -> None:
    assert rejection(running, called="OTHER") == (1, 1, 7)


def test_a_probe_leaves_no_trace_in_the_log(running: Node) -> None:
    prober = "127.0.0.9"  # an address of its own: other tests are refused without an AE title too
    with socket.create_connection((running.host, running.dimse_port), source_address=(prober, 0)):
        pass
    assert is_let_in(running, calling="AFTERPROBE")
    wait_for(lambda: running.sql("SELECT 1 FROM network_associationlog WHERE calling_ae_title = 'AFTERPROBE'"))
    assert running.sql("SELECT 1 FROM network_associationlog WHERE address = %s", [prober]) == []
    assert running.sql("SELECT 1 FROM network_refusedcaller WHERE address = %s", [prober]) == []


def test_a_listener_with_a_certificate_talks_tls_and_nothing_else(running: Node, tmp_path: Path) -> None:
    ours, callers = Certificate.make(tmp_path, "ours"), Certificate.make(tmp_path, "callers")
    port = free_port()

    def echoes(*options: object) -> bool:
        command = [peer("echoscu"), "-to", "20", "-ta", "20", "-aec", "PACS", *map(str, options)]
        return subprocess.run([*command, running.host, str(port)], capture_output=True, timeout=60).returncode == 0

    pair = {"certificate": ours.certificate, "private_key": ours.private_key}
    own = {"name": "tls", "ae_title": "PACS", "host": running.host, "port": port, **pair}
    change(running, f"config.save(Listener(**{own}), principal=who)")
    wait_for(lambda: listens(port), what="the new listener")
    assert echoes("+tla", "+cf", ours.pem)
    assert not echoes("+tla", "+cf", callers.pem)
    assert not echoes()
    reasons = "SELECT reason FROM network_refusedcaller WHERE reason LIKE %s"
    wait_for(lambda: running.sql(reasons, ["%handshake%"]), what="the one without TLS is listed")
    trust = f"row.client_certificate_authority = {callers.certificate!r}"
    change(running, f"row = Listener.objects.get(name='tls'); {trust}; config.save(row, principal=who)")
    wait_for(lambda: not echoes("+tla", "+cf", ours.pem), what="callers need a certificate")
    assert echoes("+tls", callers.key, callers.pem, "+cf", ours.pem)


def test_an_association_is_logged_with_its_end(running: Node) -> None:
    assert is_let_in(running, calling="LOGGED")
    query = "SELECT listener, peer, outcome FROM network_associationlog WHERE calling_ae_title = 'LOGGED'"
    wait_for(lambda: [row for row in running.sql(query) if row[2]])
    assert running.sql(query) == [("default", "loopback", "released")]


def test_a_wrong_password_is_rejected_as_such_and_the_right_one_lets_in(running: Node) -> None:
    def sign_in(password: bytes) -> int:
        with associate(
            running.host,
            running.dimse_port,
            calling_ae_title="TEST",
            called_ae_title="PACS",
            contexts=[(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])],
            user_identity=UserIdentity(2, b"admin", password),
        ) as assoc:
            return assoc.c_echo().status

    with pytest.raises(AssociationRejected) as rejected:
        sign_in(b"wrong")
    assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 2, 1)
    assert sign_in(running.admin_password.encode()) == 0


def test_a_refused_caller_is_recorded_and_gets_in_once_accepted(running: Node) -> None:
    change(running, "config.delete(Peer.objects.get(name='loopback'), principal=who)")
    try:
        wait_for(lambda: not is_let_in(running, calling="STRANGER"), what="the loopback row is gone")
        assert rejection(running, calling="STRANGER") == (1, 1, 3)
        wait_for(lambda: running.sql("SELECT 1 FROM network_refusedcaller WHERE calling_ae_title = 'STRANGER'"))
        change(running, "config.accept(RefusedCaller.objects.get(calling_ae_title='STRANGER'), principal=who)")
        wait_for(lambda: is_let_in(running, calling="STRANGER"), what="the accepted caller gets in")
        assert rejection(running, calling="STRANGER2") == (1, 1, 3)
    finally:
        change(
            running,
            "config.save(Peer(name='loopback', ae_title='*', address_ranges='127.0.0.0/8',"
            "services=['echo', 'store', 'find', 'move', 'get']), principal=who)",
        )
        wait_for(lambda: is_let_in(running, calling="ANYONE"), what="the loopback row is back")


def test_a_right_withdrawn_ends_at_once_on_an_open_association(running: Node) -> None:
    make = "config.save(Peer(name='p', ae_title='WITHDRAWN', address_ranges='127.0.0.1',services={}), principal=who)"
    change(running, make.format("['echo', 'store', 'find']"))
    try:
        wait_for(lambda: peer_of(running, "WITHDRAWN") == "p", what="the new peer is known")
        with connected(running, CT, VERIFICATION, calling="WITHDRAWN") as assoc:
            context = assoc.context_for(CT)
            assert context is not None

            def store() -> int:
                return assoc.c_store(
                    context=context, sop_class_uid=CT, sop_instance_uid="1.2.3", data=b"\0" * 64
                ).status

            assert store() != 0x0124
            change(running, "p = Peer.objects.get(name='p'); p.services = ['echo']; config.save(p, principal=who)")
            wait_for(lambda: store() == 0x0124, what="not authorized")
            assert assoc.c_echo().status == 0
    finally:
        change(running, "config.delete(Peer.objects.get(name='p'), principal=who)")


def test_a_new_listener_opens_its_port_and_a_disabled_one_closes(running: Node) -> None:
    port = free_port()
    change(
        running,
        f"config.save(Listener(name='second', ae_title='SECOND', host='127.0.0.1', port={port},"
        "services=['echo', 'store']), principal=who)",
    )

    wait_for(lambda: listens(port), what="the second port")
    contexts = [(uid, [IMPLICIT_VR_LITTLE_ENDIAN]) for uid in (VERIFICATION, STUDY_ROOT_FIND)]
    with associate(running.host, port, calling_ae_title="TEST", called_ae_title="SECOND", contexts=contexts) as assoc:
        assert assoc.accept.results[1][0] == 0
        assert assoc.accept.results[3][0] == 3  # find is not offered on this one
    change(running, "x = Listener.objects.get(name='second'); x.enabled = False; config.save(x, principal=who)")
    wait_for(lambda: not listens(port), what="the second port closes")
    assert is_let_in(running)


def test_associations_over_the_limit_are_rejected_for_now_and_silent_connections_do_not_count(running: Node) -> None:
    limit = "x = Listener.objects.get(name='default'); x.maximum_associations = {}; config.save(x, principal=who)"
    change(running, limit.format(2))
    try:
        with contextlib.ExitStack() as silent:
            for _ in range(20):
                silent.enter_context(socket.create_connection((running.host, running.dimse_port)))

            wait_for(lambda: third_is(running, (2, 3, 2)), what="the third association is rejected")
            with connected(running), connected(running) as second:
                assert second.c_echo().status == 0
    finally:
        change(running, limit.format(200))
        wait_for(lambda: third_is(running, None), what="there is room again")


def third_is(node: Node, expected: tuple[int, int, int] | None) -> bool:
    """Whether the third association at once is let in (None), or rejected so."""
    with contextlib.ExitStack() as open_:
        try:
            for _ in range(3):
                open_.enter_context(connected(node))
        except AssociationRejected as rejected:
            return (rejected.result, rejected.source, rejected.reason) == expected
        return expected is None


def test_a_connection_that_waits_too_long_in_a_crowd_makes_room_for_others(running: Node) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(700):
            crowd.enter_context(socket.create_connection((running.host, running.dimse_port)))
        with connected(running) as assoc:
            assert assoc.c_echo().status == 0


def test_a_listener_process_that_dies_is_replaced(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.manage("prepare")
        node.start("listeners")

        def processes() -> set[int]:
            return {child.pid for child in node.descendants("listeners")}

        before = wait_for(lambda: processes() if len(processes()) == 2 else set(), what="two processes")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(processes() - before) == 2, what="two others")
        assert wait_for(lambda: is_let_in(node))
        assert "another takes its place" in node.log_text()


def test_places_of_a_dead_process_are_free_again(tmp_path: Path) -> None:
    with Node(tmp_path, PACS_PROCESSES="1") as node:
        node.manage("prepare")
        change(node, "x = Listener.objects.get(); x.maximum_associations = 2; config.save(x, principal=who)")
        node.start("listeners")
        held = [connected(node), connected(node)]
        assert rejection(node) == (2, 3, 2)
        for child in node.descendants("listeners"):
            child.kill()
        wait_for(lambda: is_let_in(node), what="a place")
        for assoc in held:
            assoc.close()


def test_no_process_is_left_when_the_parent_is_killed(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.manage("prepare")
        node.start("listeners")
        wait_for(lambda: len(node.descendants("listeners")) == 2)
        children = node.descendants("listeners")
        with connected(node):
            node.kill("listeners", signal.SIGKILL)
            wait_gone(children)
        assert not node.answers()


@pytest.mark.parametrize("times", [1, 5])  # as of a parent with so many threads that was killed
def test_sigterm_lets_a_running_store_finish(tmp_path: Path, times: int) -> None:
    with Node(tmp_path) as node:
        node.manage("prepare")
        node.start("listeners")
        go_on = threading.Event()
        begun = threading.Event()
        arriving = node.data / "spool" / "main" / "tmp"

        def slowly() -> Iterator[bytes]:
            for _ in range(1000):  # what is small may wait in our own buffers
                yield b"\0" * 100_000
                if arriving.is_dir() and any(arriving.iterdir()):
                    break
            begun.set()
            assert go_on.wait(30)
            yield b"\0" * 100_000

        statuses: list[int] = []

        def send() -> None:
            with connected(node, CT) as assoc:
                context = assoc.context_for(CT)
                assert context is not None
                answer = assoc.c_store(context=context, sop_class_uid=CT, sop_instance_uid="1.2.3", data=slowly())
                statuses.append(answer.status)

        sender = threading.Thread(target=send)
        sender.start()
        assert begun.wait(30)
        for _ in range(times):
            node.processes["listeners"].terminate()
            time.sleep(0.01)
        wait_for(lambda: not node.answers(), what="the port closes")
        go_on.set()
        sender.join(30)
        assert node.processes["listeners"].wait(timeout=30) == 0
        assert len(statuses) == 1  # an answer, and not a broken connection


def test_listeners_start_and_answer_while_the_database_is_away(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.manage("prepare")
        node.environment["DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
        node.start("listeners")
        wait_for(lambda: is_let_in(node))
        assert rejection(node, called="OTHER") == (1, 1, 7)


def test_a_process_may_run_some_of_the_listeners_only(tmp_path: Path) -> None:
    with Node(tmp_path, PACS_PROCESSES="1") as node:
        node.manage("prepare")
        port = free_port()
        change(
            node,
            f"config.save(Listener(name='second', ae_title='SECOND', host='127.0.0.1', port={port},"
            "services=['echo']), principal=who)",
        )
        node.run("second", ["manage.py", "listeners", "--names=second"])
        wait_for(lambda: listens(port))
        assert not node.answers()


def test_log_lines_are_json_with_the_association_they_are_about(tmp_path: Path) -> None:
    with Node(tmp_path, PACS_LOG_FORMAT="json") as node:
        node.manage("prepare")
        node.start("listeners")
        assert wait_for(lambda: is_let_in(node, calling="JSON"))
        file = node.data / "logs" / "pacs.log"
        lines = wait_for(lambda: [json.loads(line) for line in file.read_text().splitlines() if "JSON" in line])
        assert re.fullmatch(r"[0-9a-f]{16}", lines[0]["association"])
        assert lines[0]["logger"] == "pacs.listeners"


def test_the_environment_wins_over_the_row_of_the_default_listener(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.manage("prepare")
        port = free_port()
        node.manage("prepare", PACS_DIMSE=f"127.0.0.1:{port}", PACS_AE_TITLE="RENAMED")
        query = "SELECT ae_title, host, port FROM network_listener WHERE name = 'default'"
        assert node.sql(query) == [("RENAMED", "127.0.0.1", port)]


@pytest.mark.parametrize("ae_title", ["X" * 17, "A\\B", "  "])
def test_an_ae_title_that_cannot_be_is_refused_at_the_command_line(running: Node, ae_title: str) -> None:
    wrong = running.manage("peer", f"{ae_title}@localhost:104", check=False)
    assert wrong.returncode != 0
    assert wrong.stderr.startswith("CommandError")
