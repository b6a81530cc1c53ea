"""Query and retrieve against the processes as they run, with DCMTK's programs as the other side."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.qr import scu
from apps.qr.attributes import FIND, InformationModel
from dicom.dimse import associate
from dicom.part10 import meta_group
from tests.node import Node, run_node, wait_for
from tests.peers import peer
from tests.qr.files import assert_same, received
from tests.qr.receiver import Receiver
from tests.storage.made import CT, EXPLICIT, data_set

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

STUDY_ROOT = InformationModel.STUDY_ROOT
KEPT = {f"1.2.3.1.{number}": data_set(sop=f"1.2.3.1.{number}", number=number) for number in range(1, 6)}
STUDY = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An installation that has been sent one study of five images."""
    folder = tmp_path_factory.mktemp("live")
    paths = []
    for uid, data in KEPT.items():
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        paths.append(folder / f"{uid}.dcm")
        paths[-1].write_bytes(meta + data)
    with run_node(folder) as node:
        run("storescu", node, *map(str, paths))
        yield node


def run(program: str, node: Node, *arguments: str, options: list[str] | None = None) -> str:
    command = [peer(program), *(options or []), "-aec", node.ae_title, node.host, str(node.dimse_port), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_was_stored_is_found(running: Node) -> None:
    said = run("findscu", running, options=[*STUDY, "-k", "NumberOfStudyRelatedInstances", "-v"])
    assert "IS [5" in said
    assert "Received Final Find Response (Success)" in said


def test_what_was_stored_is_got_back_bit_for_bit(running: Node, tmp_path: Path) -> None:
    run("getscu", running, options=[*STUDY, "-B", "-od", str(tmp_path)])
    assert_same(KEPT, received(tmp_path))


def test_what_was_stored_is_moved_to_a_peer_made_a_moment_ago(running: Node) -> None:
    with Receiver() as receiver:
        running.manage("peer", f"DEST@127.0.0.1:{receiver.port}")
        command = [peer("movescu"), *STUDY, "-v", "-aem", "DEST", "-aec", "PACS", "127.0.0.1", str(running.dimse_port)]

        def moved() -> bool:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            return "Received Final Move Response (Success)" in done.stdout + done.stderr

        wait_for(moved, what="the listeners, which look each second, know the peer")
    assert {one.sop_instance_uid: one.data_set for one in receiver.arrived} == KEPT


def test_a_query_sees_what_its_own_association_has_just_sent(running: Node) -> None:
    contexts = [*scu.contexts(FIND[STUDY_ROOT]), (CT, [EXPLICIT])]
    with associate(
        running.host, running.dimse_port, calling_ae_title="X", called_ae_title="PACS", contexts=contexts
    ) as assoc:
        context = assoc.context_for(CT)
        assert context is not None
        for number in range(20):
            study = f"5.6.{number}"
            data = data_set(sop=f"{study}.1.1", series=f"{study}.1", study=study)
            stored = assoc.c_store(context=context, sop_class_uid=CT, sop_instance_uid=f"{study}.1.1", data=data)
            assert stored.status == 0
            keys = scu.request("IMAGE", {"StudyInstanceUID": study, "SOPInstanceUID": ""})
            assert [answer.text(0x00080018) for answer in scu.find(assoc, STUDY_ROOT, keys)] == [f"{study}.1.1"]
