"""`manage.py dicom`, against our own listeners and against programs of others."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom import part10
from dicom.encoding import encode_elements, read_identifier
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacs.client import keys
from tests.node import ROOT, Node, free_port, listens, wait_for
from tests.peers import peer
from tests.remotes import deaf

CT = str(get_testdata_file("CT_small.dcm"))
MR = str(get_testdata_file("MR_small.dcm"))
STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
INSTANCE = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("client")) as node:
        node.manage("prepare")
        yield node.start("listeners", "indexer")


def dicom(archive: Node, verb: str, *arguments: str, target: str | None = None) -> subprocess.CompletedProcess[str]:
    target = target or f"PACS@{archive.host}:{archive.dimse_port}"
    return archive.manage("dicom", verb, target, *arguments, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_echo_says_who_answers(archive: Node) -> None:
    done = dicom(archive, "echo")
    assert done.returncode == 0
    assert f"PACS@{archive.host}:{archive.dimse_port} answers" in done.stdout


def test_a_rejection_is_told_in_words_and_by_the_exit_status(archive: Node) -> None:
    done = dicom(archive, "echo", target=f"OTHER@{archive.host}:{archive.dimse_port}")
    assert done.returncode == 2
    assert "called AE title not recognised" in done.stderr


def test_nobody_there_is_told_by_the_exit_status(archive: Node) -> None:
    done = dicom(archive, "echo", target=f"PACS@{archive.host}:{free_port()}")
    assert done.returncode == 2
    assert done.stderr.startswith("CommandError")


@pytest.mark.parametrize("target", ["unheard-of", "PACS@localhost", "PACS@localhost:0", "@localhost:104"])
def test_a_target_that_cannot_be_called_is_told_with_what_it_should_look_like(archive: Node, target: str) -> None:
    done = dicom(archive, "echo", target=target)
    assert done.returncode == 2
    assert "AET@HOST:PORT" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("echo", "--calling", "TOO-LONG-AN-AE-TITLE"),
        ("echo", "--timeout", "-5"),
        ("echo", "--timeout", "nan"),
        ("find", "--limit", "-1"),
        ("move", "--destination", "A\\B", "-k", "StudyInstanceUID=1.2.3"),
        ("commit", CT, "--listen", "70000"),
        ("get", "--to", "/proc/here", "-k", "StudyInstanceUID=1.2.3"),
    ],
)
def test_a_wrong_command_line_is_told_in_words_and_by_the_exit_status(archive: Node, arguments: list[str]) -> None:
    done = dicom(archive, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "rror: " in done.stderr


def test_the_patience_that_was_asked_for_holds_for_the_association_too(archive: Node) -> None:
    with deaf(threading.Event()) as port:
        done = archive.manage("dicom", "echo", f"X@127.0.0.1:{port}", "--timeout", "0.5", check=False, timeout=25)
    assert (done.returncode, done.stderr) == (
        2,
        "CommandError: Timed out waiting for the answer to the association request\n",
    )


def test_who_presses_ctrl_c_is_told_so_and_nothing_of_the_program(archive: Node) -> None:
    heard = threading.Event()
    with deaf(heard) as port:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "dicom", "echo", f"X@127.0.0.1:{port}"],
            cwd=ROOT,
            env=archive.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert heard.wait(60)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, "CommandError: Interrupted\n")


def test_a_pipe_among_the_files_keeps_nobody_waiting(archive: Node, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = archive.manage(
        "dicom", "store", f"PACS@{archive.host}:{archive.dimse_port}", str(tmp_path), "--json", check=False, timeout=60
    )
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[0])["error"] == "No file, but a device, a pipe or a socket"


def test_a_peer_is_called_by_its_name(archive: Node) -> None:
    archive.manage("peer", f"PACS@{archive.host}:{archive.dimse_port}", "--name", "ourselves")
    assert dicom(archive, "echo", target="ourselves").returncode == 0
    assert dicom(archive, "echo", target="PACS").returncode == 0


def test_what_is_stored_is_found_and_what_is_no_image_is_named(archive: Node, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.dcm").write_bytes(Path(CT).read_bytes())
    (tmp_path / "two.dcm").write_bytes(Path(MR).read_bytes())
    done = dicom(archive, "store", str(tmp_path))
    assert done.returncode == 1
    assert "notes.txt: left out" in done.stdout
    assert "2 of 2 stored" in done.stdout
    found = dicom(archive, "find", "-k", "PatientName=compressed*")
    assert found.returncode == 0
    assert STUDY in found.stdout
    assert "CompressedSamples^CT1" in found.stdout


def test_answers_come_as_json_with_keywords_as_names(archive: Node) -> None:
    assert lines(dicom(archive, "store", "--json", CT))[-1] == {"stored": 1, "failed": 0, "left_out": 0}
    answers = lines(dicom(archive, "find", "--json", "-k", f"SOPInstanceUID={INSTANCE}", "-k", "Modality"))
    assert [(answer["SOPInstanceUID"], answer["QueryRetrieveLevel"]) for answer in answers] == [(INSTANCE, "IMAGE")]


def test_a_limit_ends_a_query_early_and_well(archive: Node) -> None:
    assert dicom(archive, "store", CT, MR).returncode == 0
    assert len(lines(dicom(archive, "find", "--json"))) >= 2
    assert len(lines(dicom(archive, "find", "--json", "--limit", "1"))) == 1


def test_what_is_got_is_a_file_with_the_data_set_that_was_stored(archive: Node, tmp_path: Path) -> None:
    assert dicom(archive, "store", CT).returncode == 0
    done = dicom(archive, "get", "--to", str(tmp_path), "-k", f"StudyInstanceUID={STUDY}")
    assert done.returncode == 0, done.stderr
    assert "1 completed" in done.stdout
    files = list(tmp_path.iterdir())
    assert [file.name for file in files] == [f"{INSTANCE}.dcm"]
    assert dcmread(files[0]) == dcmread(CT)


def test_what_is_moved_arrives_at_its_destination(archive: Node, tmp_path: Path) -> None:
    assert dicom(archive, "store", CT).returncode == 0
    port = free_port()
    command = [peer("storescp"), "-od", str(tmp_path), "--fork", str(port)]
    archive.manage("peer", f"STORESCP@{archive.host}:{port}")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as receiver:
        try:
            wait_for(lambda: listens(port))
            keys_ = ["--destination", "STORESCP", "-k", f"StudyInstanceUID={STUDY}"]
            wait_for(lambda: dicom(archive, "move", *keys_).returncode == 0, what="the new destination is known")
        finally:
            receiver.terminate()
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unknown_destination_is_told(archive: Node) -> None:
    assert dicom(archive, "store", CT).returncode == 0
    done = dicom(archive, "move", "--destination", "NOWHERE", "-k", f"StudyInstanceUID={STUDY}")
    assert done.returncode == 1
    assert "A801" in done.stdout


@pytest.mark.parametrize("syntax", [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN])
def test_keys_are_keywords_tags_and_paths_into_sequences(syntax: str) -> None:
    typed = ["PatientName=Müller*", "0008,0020=20240101-", "RequestAttributesSequence.RequestedProcedureID=7", "Rows=9"]
    elements = keys.elements("SERIES", [keys.parse(text) for text in typed])
    asked = read_identifier(encode_elements(elements, syntax), syntax)
    assert asked.text(0x00080052) == "SERIES"
    assert asked.text(0x00100010) == "Müller*"
    assert asked.text(0x00080020) == "20240101-"
    assert asked.items(0x00400275)[0].text(0x00401001) == "7"
    assert asked.text(0x00280010) == "9"
    assert list(asked.elements) == sorted(asked.elements)


@pytest.mark.parametrize("text", ["Nonsense", "PatientID.PatientName=x", "Rows=many"])
def test_a_key_that_cannot_be_asked_for_is_told(text: str) -> None:
    with pytest.raises(keys.InvalidKey):
        keys.elements("STUDY", [keys.parse(text)])


def test_a_received_file_says_whose_implementation_wrote_it(archive: Node, tmp_path: Path) -> None:
    assert dicom(archive, "store", CT).returncode == 0
    assert dicom(archive, "get", "--to", str(tmp_path), "-k", f"StudyInstanceUID={STUDY}").returncode == 0
    meta = part10.read_meta((tmp_path / f"{INSTANCE}.dcm").read_bytes())
    assert meta.sop_instance_uid == INSTANCE
    assert meta.provenance is None
