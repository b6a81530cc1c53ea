"""Images in by storescu, on by the rules, out to storescp: programs of others at both ends."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.node import Node, free_port, listens, wait_for
from tests.peers import peer

pytestmark = pytest.mark.live

CT = str(get_testdata_file("CT_small.dcm"))
MR = str(get_testdata_file("MR_small.dcm"))
PREPARE = """
from apps.accounts.principal import Kind, Principal
from apps.network import config
from apps.network.config import ACCEPTED_SERVICES
from apps.network.models import Peer
from apps.routing.rules import Draft, save
admin = Principal(kind=Kind.USER, name="admin", administers=True)
for name, port in PORTS.items():
    row = Peer(name=name, ae_title=name, host="127.0.0.1", port=port, services=ACCEPTED_SERVICES)
    config.save(row, principal=admin)
for rule in RULES:
    save(Draft.read(rule), principal=admin)
"""
RUN = """
from apps.jobs import outbox
from apps.jobs.models import Job
from apps.jobs.runner import run_due
outbox.dispatch()
Job.objects.filter(kind="route").update(due_at="2020-01-01T00:00Z")
Job.objects.filter(kind="route", state="running").update(lease_until="2020-01-01T00:00Z")
run_due()
"""
Receive = Callable[[], tuple[int, Path]]


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Receive]:
    """`receive()` starts storescp; its port, and where what it gets is kept."""
    with ExitStack() as stack:

        def start() -> tuple[int, Path]:
            folder = tmp_path / f"received-{len(list(tmp_path.glob('received-*')))}"
            folder.mkdir()
            port = free_port()
            stack.enter_context(storescp(port, folder))
            return port, folder

        yield start


@contextmanager
def storescp(port: int, folder: Path) -> Iterator[None]:
    process = subprocess.Popen([peer("storescp"), "-od", str(folder), str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), what="storescp")
        yield
    finally:
        process.kill()
        process.wait(60)


def storescu(node: Node, *files: str, aet: str = "CT1") -> None:
    called = ["-aet", aet, "-aec", node.ae_title, node.host, str(node.dimse_port)]
    done = subprocess.run([peer("storescu"), *called, *files], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


def got(folder: Path) -> list[str]:
    return sorted(str(dcmread(path).Modality) for path in folder.iterdir())


def prepare(node: Node, ports: dict[str, int], *rules: dict[str, object]) -> None:
    node.shell(f"PORTS = {ports!r}\nRULES = {list(rules)!r}\n{PREPARE}")


def test_images_go_to_whom_the_rules_name_and_not_back(node: Node, receive: Receive) -> None:
    node.start()
    (reading, at_reading), (archive, at_archive), (scanner, at_scanner) = receive(), receive(), receive()
    condition = {"attribute": "called_ae_title", "operator": "is", "values": [node.ae_title]}
    prepare(
        node,
        {"READING": reading, "ARCHIVE": archive, "CT1": scanner},
        {
            "name": "at once",
            "when": "image",
            "destinations": ["READING", "CT1"],
            "conditions": [{"attribute": "modality", "operator": "is", "values": ["CT"]}, condition],
        },
        {"name": "quiet", "when": "quiet", "quiet_seconds": 1, "destinations": ["ARCHIVE", "CT1"]},
    )
    storescu(node, MR)
    wait_for(lambda: got(at_archive) == ["MR"], what="the study that was quiet")
    storescu(node, CT)
    wait_for(lambda: got(at_reading) == ["CT"], what="the image at once")
    wait_for(lambda: got(at_archive) == ["CT", "MR"], what="both studies")
    storescu(node, MR, aet="OTHER")  # again: nothing new
    wait_for(
        lambda: (
            not node.sql("SELECT 1 FROM jobs_job WHERE kind IN ('send', 'route') AND state IN ('queued', 'running')")
        ),
        what="the end of the jobs",
    )
    assert got(at_scanner) == []
    assert got(at_reading) == ["CT"]
    assert got(at_archive) == ["CT", "MR"]
    assert node.sql("SELECT name, fired, images FROM routing_routingrule ORDER BY name") == [
        ("at once", 1, 1),
        ("quiet", 2, 2),
    ]
    (path,) = at_reading.iterdir()
    assert dcmread(path).PixelData == dcmread(CT).PixelData


def test_a_worker_killed_between_decision_and_sending_loses_nothing(node: Node, receive: Receive) -> None:
    port, folder = receive()
    node.manage("prepare")
    node.start("listeners", "indexer")
    prepare(node, {"WS": port}, {"name": "quiet", "quiet_seconds": 1, "destinations": ["WS"]})
    for number, (step, path) in enumerate((("routing.marked", CT), ("routing.sent", MR)), 1):
        storescu(node, path)
        wait_for(lambda step=step: _killed(node, step), every=0.5, what="a killed worker")  # type: ignore[misc]
        node.manage("shell", "-v0", "-c", RUN)
        assert len(got(folder)) == number
        assert node.sql("SELECT count(*) FROM jobs_job WHERE kind = 'send'") == [(number,)]
        assert node.sql("SELECT count(*) FROM routing_routedinstance") == [(number,)]


def _killed(node: Node, step: str) -> bool:
    """While the study is not quiet for long enough, the worker has nothing to do and lives."""
    done = node.manage("shell", "-v0", "-c", RUN, check=False, PACS_FAILPOINT=f"{step}:kill:1")
    return done.returncode == -9
