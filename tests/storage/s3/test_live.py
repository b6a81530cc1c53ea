"""An installation whose archive is a bucket: by the programs of others, over the wire, and killed for real."""

import json
import shutil
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path

import pytest

from dicom import part10
from tests.node import Node, wait_for
from tests.peers import peer
from tests.storage.made import CT, EXPLICIT, data_set
from tests.storage.s3.bucket import BUCKET, PREFIX, Server

ROLES = ("listeners", "indexer", "web")
STUDY = "1.2.77"


def files(folder: Path, numbers: range) -> dict[str, bytes]:
    """Part 10 files to be sent: SOP Instance UID -> data set."""
    folder.mkdir()
    made = {}
    for number in numbers:
        uid = f"{STUDY}.1.{number}"
        values = {"sop": uid, "study": STUDY, "series": f"{STUDY}.1", "number": str(number)}
        made[uid] = data_set(**values, pixels=bytes([number % 256]) * 30_000)
        meta = part10.meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        (folder / f"{number}.dcm").write_bytes(meta + made[uid])
    return made


def node_of(server: Server, directory: Path) -> Node:
    return Node(
        directory,
        PACS_ARCHIVE=f"s3://{BUCKET}/{PREFIX}",
        PACS_PROCESSES="1",
        PACS_READY_ROLES="listeners,indexer",
        **server.environment,
    )


def send(node: Node, folder: Path) -> None:
    command = [peer("storescu"), "-aec", "PACS", "+sd", node.host, str(node.dimse_port), str(folder)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)


def got(node: Node, folder: Path) -> dict[str, bytes]:
    """By getscu, which names files by UID: SOP Instance UID -> data set."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command = [peer("getscu"), "-S", "-aec", "PACS", "-k", "QueryRetrieveLevel=STUDY"]
    command += ["-k", f"StudyInstanceUID={STUDY}", "+B", "-od", str(folder), node.host, str(node.dimse_port)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return {path.name: _data_set(path.read_bytes()) for path in folder.iterdir()}


def _data_set(whole: bytes) -> bytes:
    return whole[part10.read_meta(whole).dataset_offset :]


def asked(node: Node, path: str, accept: str) -> tuple[str, bytes]:
    password = b64encode(f"admin:{node.admin_password}".encode()).decode()
    headers = {"Authorization": f"Basic {password}", "Accept": accept}
    request = urllib.request.Request(f"http://{node.host}:{node.http_port}/dicomweb{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read()


def retrieved(node: Node) -> set[bytes]:
    """By WADO-RS: the data sets."""
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    content_type, body = asked(node, f"/studies/{STUDY}", accept)
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    whole = BytesParser(policy=HTTP).parsebytes(head + body)
    return {_data_set(bytes(part.get_payload(decode=True))) for part in whole.iter_parts()}


def found(node: Node) -> int:
    _, body = asked(node, f"/studies/{STUDY}/instances", "application/dicom+json")
    return len(json.loads(body or b"[]"))


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Nobody listens yet."""
    with Server(tmp_path_factory.mktemp("s3")) as made:
        yield made


def test_images_wait_for_the_bucket_are_served_from_it_and_indexed_from_it_alone(
    empty_server: Server, tmp_path: Path
) -> None:
    server = empty_server
    sent = files(tmp_path / "images", range(1, 21))
    with node_of(server, tmp_path) as node:
        node.manage("prepare")
        node.start(*ROLES, wait=False)
        wait_for(node.answers, what="the listener")
        send(node, tmp_path / "images")  # all acknowledged, though the bucket is away
        status, why = wait_for(lambda: node.get("/health/ready") if node.get("/health/live")[0] == 200 else None)
        assert status == 503
        assert f"bucket {BUCKET}: Could not connect" in json.loads(why)["failing"]["archive"]
        server.start()
        wait_for(lambda: found(node) == 20, what="the images are in the index")
        assert len(server.images()) == 20
        assert node.get("/health/ready")[0] == 200
        assert not (node.data / "archive").exists()
        shutil.rmtree(node.data / "cache")  # as another machine sees it
        assert got(node, tmp_path / "got") == sent
        shutil.rmtree(node.data / "cache")
        assert retrieved(node) == set(sent.values())
        wait_for(lambda: not list((node.data / "spool" / "main" / "ready").iterdir()))
    (tmp_path / "second").mkdir()
    with node_of(server, tmp_path / "second") as other:
        other.manage("prepare")
        assert "20 files indexed" in other.manage("reindex").stdout
        other.start("listeners")
        assert got(other, tmp_path / "got") == sent
        server.empty()


def test_an_indexer_that_is_killed_between_upload_and_commit_loses_nothing(server: Server, tmp_path: Path) -> None:
    sent = files(tmp_path / "images", range(1, 9))
    with node_of(server, tmp_path) as node:
        node.manage("prepare")
        node.start("listeners")
        node.environment["PACS_FAILPOINT"] = "index.placed:kill:1"
        indexer = node.start("indexer", wait=False).processes["indexer"]
        send(node, tmp_path / "images")
        assert indexer.wait(timeout=60) == -9
        node.processes.pop("indexer")
        del node.environment["PACS_FAILPOINT"]
        node.start("indexer")
        ready = node.data / "spool" / "main" / "ready"
        wait_for(lambda: not list(ready.iterdir()), what="the spool is empty")
        assert got(node, tmp_path / "got") == sent
        assert len(server.images()) == 8
        server.empty()
