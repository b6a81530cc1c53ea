"""The four modes of deployment, started as the compose files start them, on PostgreSQL and Redis of their own."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom.dimse import AssociationEnded, associate
from dicom.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from tests.docker.compose import DOCKER
from tests.docker.mode import Mode
from tests.haproxy import Balancer
from tests.node import Node, free_port, wait_for
from tests.peers import peer
from tests.qr.receiver import Receiver
from tests.redis import Redis

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("DATABASE_URL", "").startswith("postgres"),
        reason="several processes share a PostgreSQL server",
    ),
]
CT = Path(str(get_testdata_file("CT_small.dcm")))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path) as made:
        yield made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with Redis(tmp_path) as redis:
        yield redis.url


def consecutive_ports(count: int) -> int:
    """The first of so many that are free."""
    while True:
        first = free_port()
        if all(_is_free(first + number) for number in range(1, count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def refused(port: int) -> bool:
    """Whether a query finds no service there."""
    query = ["-S", "-aec", "PACS", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"]
    done = subprocess.run([peer("findscu"), *query, "127.0.0.1", str(port)], capture_output=True, timeout=60)
    return done.returncode != 0


def works(node: Node, *, store: int, find: int) -> None:
    """An image goes in, is found by DIMSE and by DICOMweb, and is sent on by a job."""
    study = str(dcmread(CT, stop_before_pixels=True).StudyInstanceUID)
    subprocess.run([peer("storescu"), "-aec", "PACS", node.host, str(store), CT], check=True, timeout=60)
    query = ["-S", "-aec", "PACS", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    found = subprocess.run(
        [peer("findscu"), *query, "-k", "PatientID", node.host, str(find)], capture_output=True, text=True, timeout=60
    )
    assert "1CT1" in found.stdout + found.stderr
    web = f"http://{node.host}:{node.http_port}"
    with requests.Session() as session:
        session.auth = ("admin", node.admin_password)
        answer = session.get(f"{web}/dicomweb/studies", params={"PatientID": "1CT1"}, timeout=30)
        assert [each["0020000D"]["Value"] for each in answer.json()] == [[study]]
        with Receiver() as receiver:
            row: dict[str, Any] = {"name": "scp", "ae_title": "STORESCP", "host": node.host, "port": receiver.port}
            assert session.post(f"{web}/api/peers/", json=row, timeout=30).status_code == 201
            job: dict[str, Any] = {"kind": "send", "peer": "scp", "study_instance_uids": [study]}
            submitted = session.post(f"{web}/api/jobs/", json=job, timeout=30).json()
            address = f"{web}/api/jobs/{submitted['id']}/"
            ended = ("succeeded", "failed", "cancelled")
            done = wait_for(lambda: (it := session.get(address, timeout=30).json())["state"] in ended and it)
            assert (done["state"], done["done"], done["total"]) == ("succeeded", 1, 1)
            assert [each.sop_instance_uid for each in receiver.arrived] == [str(dcmread(CT).SOPInstanceUID)]


def test_standalone(node: Node, broker: str, tmp_path: Path) -> None:
    mode = Mode("standalone", tmp_path, node, broker)
    mode.run()
    works(node, store=node.dimse_port, find=node.dimse_port)
    assert mode.stop() == {"web": 0}


def test_distributed(node: Node, broker: str, tmp_path: Path) -> None:
    mode = Mode("distributed", tmp_path, node, broker)
    mode.run()
    works(node, store=node.dimse_port, find=node.dimse_port)
    assert mode.stop() == {"web": 0, "dimse": 0, "indexer": 0, "jobs": 0}


def test_microservice(node: Node, broker: str, tmp_path: Path) -> None:
    port = consecutive_ports(7)
    mode = Mode("microservice", tmp_path, node, broker, PACS_PORT=str(port), PACS_ADDRESS=node.host)
    mode.run()
    works(node, store=port, find=port + 1)
    assert refused(port)
    assert not refused(port + 1)
    assert set(mode.stop().values()) == {0}


def test_hybrid(node: Node, broker: str, tmp_path: Path) -> None:
    second, query = free_port(), free_port()
    mode = Mode("hybrid", tmp_path, node, broker, PACS_PORT=str(query), PACS_ADDRESS=node.host)
    # One machine has each port once: what is the same row in two containers is two rows here.
    rows = f"docker/run/rows-hybrid 127.0.0.1 && python manage.py listener b PACS@{node.host}:{second} --services store"
    mode.run(
        ("rows", ["sh", "-c", f"{rows} --balancers 127.0.0.1"]),
        ("dimse-b", ["docker/run/dimse", "b"]),
    )
    node.manage("peer", "STORESCU@127.0.0.1:104", "--services=store")
    node.manage("peer", "FINDSCU@127.0.0.1:104", "--services=find")
    places = {"dimse-a:11112": f"127.0.0.1:{node.dimse_port}", "dimse-b:11112": f"127.0.0.1:{second}"}
    with Balancer(tmp_path, []).like((DOCKER / "haproxy.cfg").read_text(), places) as balancer:
        wait_for(lambda: balancer.servers() == ["UP", "UP"], what="both nodes are up")
        works(node, store=balancer.port, find=query)
        subprocess.run([peer("storescu"), "-aec", "PACS", node.host, str(balancer.port), CT], check=True, timeout=60)
        served = (
            "SELECT DISTINCT node, peer FROM network_associationlog WHERE calling_ae_title = 'STORESCU' ORDER BY node"
        )
        both = [("a", "STORESCU"), ("b", "STORESCU")]
        wait_for(lambda: node.sql(served) == both, what="an association at each node")
        assert_aborted_from_elsewhere(node, balancer.port)
    assert node.sql("SELECT count(*) FROM storage_instance") == [(1,)]
    assert set(mode.stop().values()) == {0}


def assert_aborted_from_elsewhere(node: Node, port: int) -> None:
    """An association at a receiving node is ended by who looks at the list on another one."""
    contexts = [(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])]
    assoc = associate(node.host, port, calling_ae_title="STORESCU", called_ae_title="PACS", contexts=contexts)
    alive = "SELECT node FROM network_associationlog WHERE ended_at IS NULL"
    assert wait_for(lambda: node.sql(alive))[0][0] in ("a", "b")
    node.shell(
        "from apps.accounts.principal import system; from apps.network import log\n"
        "from apps.network.models import AssociationLog\n"
        "log.request_abort(AssociationLog.objects.get(ended_at=None), principal=system('test'))"
    )
    wait_for(lambda: node.sql(alive) == [], what="it is over")
    with pytest.raises(AssociationEnded):
        assoc.c_echo()
    assoc.close()
