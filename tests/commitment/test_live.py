"""The whole of it in processes of its own: Orthanc asks us and is asked, and kills between question and report."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.dataset import Dataset
from pynetdicom import AE

from dicom.part10 import meta_group
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from tests.commitment.asking import Told, ask, asked, modality, reference
from tests.node import COMMANDS, Node, wait_for, wait_gone
from tests.remotes import Remote, orthanc
from tests.storage.made import CT, EXPLICIT, data_set

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

UIDS = [f"1.2.3.1.{number}" for number in range(1, 6)]
NEVER_SENT = "1.2.3.1.999"
T = "1.2.3.99"
# What a worker does, without the seconds that Celery takes to start.
WORKER = [
    "manage.py",
    "shell",
    "-v0",
    "-c",
    "import time\nfrom apps.jobs import runner\nwhile True:\n    runner.run_due()\n    time.sleep(0.1)",
]

ASK = """
from apps.accounts.principal import system
from apps.jobs import kind
kind.request("commit", principal=system("test"), arguments={"peer": "THEM", "study_instance_uids": ["1.2.3"]})
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    folder = tmp_path_factory.mktemp("files")
    for uid in UIDS:
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        (folder / uid).write_bytes(meta + data_set(sop=uid))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("live")
    with Node(folder, PACS_COMMITMENT_WAIT="1", PACS_COMMITMENT_PATIENCE="2", PACS_PROCESSES="1") as node:
        yield node.start()


@pytest.fixture
def other(running: Node, tmp_path: Path) -> Iterator[Remote]:
    with orthanc(tmp_path, {running.ae_title: running.dimse_port}) as remote:
        running.manage("peer", f"{remote.ae_title}@127.0.0.1:{remote.port}")
        yield remote


def of_orthanc(remote: Remote, address: str, document: Any = None) -> Any:
    asking = requests.get if document is None else requests.post
    answer = asking(
        f"{remote.web}{address}",
        auth=("reader", "secret of the reader"),
        timeout=60,
        **({} if document is None else {"json": document}),
    )
    assert answer.ok, answer.text
    return answer.json()


def of_ours(node: Node, address: str, document: Any = None) -> Any:
    asking = requests.get if document is None else requests.post
    answer = asking(
        f"http://{node.host}:{node.http_port}/api/{address}",
        auth=("admin", node.admin_password),
        timeout=60,
        **({} if document is None else {"json": document}),
    )
    assert answer.ok, answer.text
    return answer.json()


def test_orthanc_is_told_what_we_keep_and_what_not(running: Node, other: Remote, files: Sequence[Path]) -> None:
    other.store(*files)
    ours = f"/modalities/{running.ae_title}"
    ids = [row["ID"] for row in of_orthanc(other, "/instances?expand")]
    of_orthanc(other, f"{ours}/store", {"Resources": ids, "Synchronous": True})
    wanted = [[CT, uid] for uid in (*UIDS, NEVER_SENT)]
    asked_for = of_orthanc(other, f"{ours}/storage-commitment", {"DicomInstances": wanted})

    def outcome() -> Any:
        found = of_orthanc(other, asked_for["Path"])
        return found if found["Status"] != "Pending" else None

    told = wait_for(outcome, what="Orthanc has our report")
    assert told["Status"] == "Failure"
    assert sorted(item["SOPInstanceUID"] for item in told["Success"]) == UIDS
    assert [(item["SOPInstanceUID"], item["FailureReason"]) for item in told["Failures"]] == [(NEVER_SENT, 0x0112)]
    listed = of_ours(running, "commitments/?direction=received")["results"]
    assert [(row["peer"], row["state"], row["committed"], row["failed"]) for row in listed] == [
        ("ORTHANC", "reported", 5, 1)
    ]


def test_what_was_sent_to_orthanc_is_asked_for_and_its_report_taken(
    running: Node, other: Remote, files: Sequence[Path]
) -> None:
    running.manage("import", *map(str, files))
    running.sql("UPDATE network_peer SET commits_storage = %s WHERE name = %s", [True, other.ae_title])
    send = of_ours(running, "jobs/", {"kind": "send", "peer": other.ae_title, "study_instance_uids": ["1.2.3"]})

    def ended(key: int) -> Any:
        row = of_ours(running, f"jobs/{key}/")
        return row if row["state"] in ("succeeded", "failed") else None

    sent = wait_for(lambda: ended(send["id"]), what="the send")
    assert sent["state"] == "succeeded", sent
    job = wait_for(lambda: ended(sent["result"]["commit_job"]), what="the report of Orthanc")
    assert (job["state"], job["result"]["committed"], job["done"]) == ("succeeded", 5, 5)
    (study,) = of_orthanc(other, "/studies")
    requests.delete(f"{other.web}/studies/{study}", auth=("reader", "secret of the reader"), timeout=60)
    again = of_ours(running, "jobs/", {"kind": "commit", "peer": other.ae_title, "study_instance_uids": ["1.2.3"]})
    job = wait_for(lambda: ended(again["id"]), what="the second report of Orthanc")
    assert job["state"] == "failed"
    assert "ORTHANC does not keep 5 of 5 instances" in job["error"]


def send_and_ask(node: Node, files: Sequence[Path]) -> Dataset:
    """An image and its request for commitment on one association: the image is indexed before it is looked for."""
    ae = AE("CT1")
    ae.add_requested_context(PUSH)
    ae.add_requested_context(CT, [EXPLICIT])
    assoc = ae.associate(node.host, node.dimse_port, ae_title=node.ae_title)
    assert assoc.is_established
    for path in files:
        assert assoc.send_c_store(str(path)).Status == 0x0000
    status = ask(assoc, asked(T, *(reference(uid) for uid in (*UIDS, NEVER_SENT))))
    assoc.release()
    return status


def kill(node: Node, role: str) -> None:
    below = node.descendants(role)
    for process in below:
        process.kill()
    node.kill(role)
    wait_gone(below)


def run_until_killed(node: Node, step: str) -> None:
    """A worker that ends itself there."""
    node.environment["PACS_FAILPOINT"] = f"{step}:kill:1"
    worker = node.run("worker", WORKER)
    wait_for(lambda: worker.poll() is not None, what=f"the worker ends at {step}")
    node.processes.pop("worker")


def test_a_request_survives_kills_of_listeners_and_worker_until_its_report_is_taken(
    tmp_path: Path, files: Sequence[Path]
) -> None:
    told = Told()
    with (
        Node(tmp_path, PACS_COMMITMENT_WAIT="0", PACS_PROCESSES="1", PACS_JOB_LEASE="1") as node,
        modality(told) as port,
    ):
        node.manage("prepare")
        node.manage("peer", f"CT1@127.0.0.1:{port}")
        node.start("listeners", "indexer")
        assert send_and_ask(node, files).Status == 0x0000
        kill(node, "listeners")
        for step in ("commitment.decided", "commitment.reported"):
            run_until_killed(node, step)
        assert [report[0] for report in told.reports] == [T]
        node.environment["PACS_FAILPOINT"] = ""
        node.run("listeners", COMMANDS["listeners"])
        node.run("worker", WORKER)
        wait_for(
            lambda: node.sql("SELECT state FROM commitment_commitmentrequest") == [("reported",)],
            what="the report is taken",
        )
    assert {(kind, tuple(good), *bad) for _, kind, good, bad in told.reports} == {(2, tuple(UIDS), NEVER_SENT)}
    assert all(report == told.reports[0] for report in told.reports)


@pytest.mark.parametrize("step", ["commitment.asked", "commitment.awaited"])
def test_the_report_is_taken_though_the_worker_that_asked_has_died(
    tmp_path: Path, files: Sequence[Path], step: str
) -> None:
    """Another archive of ours tells it to our listener, once the association it was asked on has ended."""
    (tmp_path / "other").mkdir()
    with (
        Node(tmp_path, PACS_PROCESSES="1", PACS_JOB_LEASE="1", PACS_AE_TITLE="US") as node,
        Node(tmp_path / "other", PACS_PROCESSES="1", PACS_AE_TITLE="THEM") as other,
    ):
        other.start(wait=False)
        node.manage("prepare")
        node.manage("peer", f"THEM@127.0.0.1:{other.dimse_port}")
        node.start("listeners", "indexer")
        node.manage("import", *map(str, files))
        other.wait_ready()
        other.manage("peer", f"US@127.0.0.1:{node.dimse_port}")
        other.manage("import", *map(str, files))
        node.shell(ASK)
        run_until_killed(node, step)
        node.environment["PACS_FAILPOINT"] = ""
        node.run("worker", WORKER)
        wait_for(lambda: node.sql("SELECT state FROM jobs_job WHERE kind = 'commit'") == [("succeeded",)], what="told")
        sent = node.sql("SELECT state, committed, failed FROM commitment_commitmentrequest")
    assert sent == [("reported", len(UIDS), 0)]


def test_a_request_is_not_lost_by_a_kill_before_its_answer(tmp_path: Path, files: Sequence[Path]) -> None:
    with Node(tmp_path, PACS_PROCESSES="1", PACS_FAILPOINT="commitment.received:kill:1") as node:
        node.manage("prepare", PACS_FAILPOINT="")
        node.start("listeners", "indexer")
        assert not send_and_ask(node, files)  # no answer at all
        assert node.sql("SELECT COUNT(*) FROM commitment_commitmentrequest") == [(0,)]
        wait_for(node.answers)  # by another child, whose own first pass kills it, too
        node.environment["PACS_FAILPOINT"] = ""
        kill(node, "listeners")
        node.start("listeners")
        assert send_and_ask(node, files).Status == 0x0000
        assert node.sql("SELECT state FROM commitment_commitmentrequest") == [("asked",)]
