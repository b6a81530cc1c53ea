"""The whole archive from one command, as its users see it."""

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydicom.data import get_testdata_file

from tests.node import Node, free_port, wait_for, wait_gone
from tests.peers import peer

pytestmark = pytest.mark.live

CT = str(get_testdata_file("CT_small.dcm"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("standalone")) as node:
        yield node.start()


def echo(node: Node) -> bool:
    command = [peer("echoscu"), "-aec", node.ae_title, node.host, str(node.dimse_port)]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def failing(node: Node) -> set[str]:
    """What /health/ready complains about."""
    status, body = node.get("/health/ready")
    if status == 200:
        return set()
    return set(json.loads(body)["failing"]) if body else {"web"}


def test_what_dcmtk_stores_dcmtk_finds(running: Node) -> None:
    called = ["-aec", running.ae_title, running.host, str(running.dimse_port)]
    assert subprocess.run([peer("storescu"), *called, CT], capture_output=True, timeout=60).returncode == 0
    keys = [
        word
        for key in ("QueryRetrieveLevel=STUDY", "PatientID=1CT1", "StudyInstanceUID", "NumberOfStudyRelatedInstances")
        for word in ("-k", key)
    ]

    def found() -> bool:
        command = [peer("findscu"), "-v", "-S", *keys, *called]
        done = subprocess.run(command, capture_output=True, timeout=60, encoding="latin-1")
        assert done.returncode == 0
        said = done.stdout + done.stderr
        is_there = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322" in said
        return is_there and bool(re.search(r"\[1 \]\s*#.*NumberOfStudyRelatedInstances", said))

    # At once, unless another test has just stopped the indexer or taken the archive away from it.
    wait_for(found, what="the study is found")


def test_the_start_page_leads_to_the_sign_in_with_its_style(running: Node) -> None:
    status, page = running.get("/")
    assert status == 200
    assert "password" in page
    style = re.search(r'href="(/static/[^"]+\.css)"', page)
    assert style is not None
    assert running.get(style[1])[0] == 200


def test_an_answer_bears_the_identity_that_its_log_lines_have(running: Node) -> None:
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"http://{running.host}:{running.http_port}/nowhere", timeout=30)
    with missing.value as answer:
        identity = answer.headers["X-Request-Id"]
    assert re.fullmatch(r"\w{16}", identity)
    wait_for(lambda: f"request={identity}" in running.log_text(), what="the log line")


@pytest.mark.parametrize("words", [("indexer",), ("celery",), ("gunicorn",), ("manage.py", "listeners")], ids=" ".join)
def test_whatever_process_is_killed_comes_back(running: Node, words: tuple[str, ...]) -> None:
    killed = running.descendants("standalone", *words)[0]
    family = [killed, *killed.children(recursive=True)]
    killed.kill()
    wait_gone(family)  # its orphans still answer for a moment
    running.sql("DELETE FROM network_node")  # nor is the last sign of life of who is dead one of who comes
    wait_for(lambda: running.descendants("standalone", *words), what=f"{words} is back")
    wait_for(lambda: not failing(running), what="all is well again")
    wait_for(lambda: echo(running), what="an echo")


def test_health_names_a_process_that_hangs(running: Node) -> None:
    indexer = running.descendants("standalone", "indexer")[0]
    indexer.suspend()
    try:
        wait_for(lambda: failing(running) == {"indexer"}, what="health notices")
    finally:
        indexer.resume()
        wait_for(lambda: not failing(running), what="all is well again")
    assert running.get("/health/live")[0] == 200


def test_health_names_an_archive_that_cannot_be_written(running: Node) -> None:
    archive = running.data / "archive"
    kept = archive.rename(archive.with_name("elsewhere"))
    try:
        wait_for(lambda: failing(running) == {"archive"}, what="health notices")
    finally:
        kept.rename(archive)
        wait_for(lambda: not failing(running), what="all is well again")


def test_the_first_start_prints_a_password_once_and_keeps_it_nowhere(tmp_path: Path) -> None:
    with Node(tmp_path, PACS_ADMIN_PASSWORD="") as node:
        node.start()
        found = re.search(r"password\s+(\S+)", node.log_text())
        assert found is not None
        password = found[1]
        sign_in = f"authenticate(username='admin', password={password!r})"
        assert node.shell(f"from django.contrib.auth import authenticate; print({sign_in})") == "admin"
        assert f"{node.ae_title}@{node.host}:{node.dimse_port}" in node.log_text()
        assert f"http://{node.host}:{node.http_port}/" in node.log_text()
        node.stop()
        for path in node.data.rglob("*"):
            assert not path.is_file() or password.encode() not in path.read_bytes(), path
        assert node.log_text().count(password) == 1
        node.start()
        assert node.log_text().count(password) == 1
        assert len(re.findall(r"DICOM\s+PACS@", node.log_text())) == 2


def test_a_given_password_is_not_printed(running: Node) -> None:
    assert running.admin_password not in running.log_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_everything_and_nothing_is_left(number: signal.Signals, tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.start()
        below = node.descendants()
        assert len(below) >= 6
        node.kill("standalone", number)
        assert node.processes["standalone"].wait(timeout=60) == 0
        wait_gone(below)
        assert not node.answers()


def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.start()
        below = node.descendants()
        node.kill("standalone", signal.SIGKILL)
        wait_gone(below)


def test_all_processes_together_idle_within_600_mb(running: Node) -> None:
    def resident() -> int:
        processes = [psutil.Process(running.processes["standalone"].pid), *running.descendants()]
        return sum(process.memory_info().rss for process in processes)

    wait_for(lambda: resident() < 600_000_000, every=1, what="what others asked for is done and given back")


def test_a_second_server_on_the_same_data_is_refused(running: Node) -> None:
    second = running.manage("standalone", check=False)
    assert second.returncode != 0
    assert "Another server runs on" in second.stderr
    wait_for(lambda: not failing(running), what="the first goes on")


def test_the_listeners_do_not_need_the_broker(tmp_path: Path) -> None:
    with Node(tmp_path, CELERY_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0") as node:
        node.manage("prepare")
        node.start("dimse")
        wait_for(lambda: echo(node))
        listeners = node.descendants("dimse", "listeners")
        node.stop()
        wait_gone(listeners)


def test_a_start_with_a_wrong_setting_fails_with_a_hint(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        wrong = node.manage("standalone", check=False, PACS_AE_TITLE="MUCH-TOO-LONG-A-TITLE")
        assert wrong.returncode != 0
        assert "pacs.E003" in wrong.stderr
        wrong = node.manage("standalone", check=False, CELERY_BROKER_URL="carrier-pigeon://loft")
        assert "pacs.E006" in wrong.stderr


def test_an_archive_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        (node.data / "archive").write_text("a file in its place")
        wrong = node.manage("standalone", check=False)
        assert wrong.returncode != 0
        assert "pacs.E001" in wrong.stderr


def test_processes_started_one_by_one_make_the_same_whole(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.manage("prepare")
        node.start("web", "dimse", "worker", "indexer")
        wait_for(lambda: not failing(node), what="all is well")
        assert echo(node)
