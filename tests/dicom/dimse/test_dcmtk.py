"""DCMTK's programs as the peer, in both roles."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pynetdicom.dsutils import encode

from dicom.dimse import (
    Association,
    AssociationAborted,
    AssociationRejected,
    ConnectFailed,
    Message,
    associate,
)
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import (
    CT_IMAGE_STORAGE,
    EXPLICIT,
    IMPLICIT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Running,
)
from tests.peers import peer

CT_FILE = get_testdata_file("CT_small.dcm")
CT = dcmread(CT_FILE)


def run(*command: str, cwd: Path | None = None, nodelay: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [peer(command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={"TCP_NODELAY": "1"} if nodelay else {},
        check=False,
    )


def where(running: Running) -> tuple[str, str]:
    return "127.0.0.1", str(running.port)


def data_set_of(path: Path) -> bytes:
    """The bytes behind the file meta group."""
    raw = path.read_bytes()
    return raw[144 + int.from_bytes(raw[140:144], "little") :]


def test_echoscu(serve: Serve) -> None:
    running = serve()
    done = run("echoscu", "--repeat", "3", *where(running))
    assert done.returncode == 0, done.stderr
    assert running.acceptor.outcome() == "released"


@pytest.mark.parametrize("contexts", [1, 64, 128])
def test_echoscu_with_many_contexts_of_one_class(serve: Serve, contexts: int) -> None:
    done = run("echoscu", "-ppc", str(contexts), *where(serve()))
    assert done.returncode == 0, done.stderr


def test_echoscu_that_aborts(serve: Serve) -> None:
    running = serve()
    run("echoscu", "--abort", *where(running))
    assert running.acceptor.outcome() == "aborted by peer"


@pytest.mark.parametrize("nodelay", [True, False])
@pytest.mark.parametrize("longest", ["4096", "16384", "131072"])
def test_storescu_stores_what_it_reads(serve: Serve, longest: str, nodelay: bool) -> None:
    running = serve()
    done = run(
        "storescu", "-R", "-xe", "--max-send-pdu", longest, "--repeat", "3", *where(running), CT_FILE, nodelay=nodelay
    )
    assert done.returncode == 0, done.stderr
    (data,) = running.acceptor.store.data.values()
    assert CT.PixelData in data


def test_storescu_is_told_that_a_syntax_is_not_taken(serve: Serve) -> None:
    running = serve()
    done = run("storescu", "-R", "-xd", *where(running), CT_FILE)  # deflated: not in the table
    assert done.returncode == 0 or "No Acceptable Presentation Contexts" in done.stderr
    assert all(syntax in (EXPLICIT, IMPLICIT) for syntax in running.acceptor.store.contexts.values())


def match(name: str) -> bytes:
    ds = Dataset()
    ds.QueryRetrieveLevel = "STUDY"
    ds.PatientName = name
    encoded = encode(ds, True, True)
    assert encoded is not None
    return bytes(encoded)


def test_findscu_gets_its_matches(serve: Serve) -> None:
    def find(assoc: Association, message: Message) -> None:
        assert b"STUDY" in message.read()
        for n in range(5):
            assoc.respond(message, 0xFF00, data_set=match(f"DOE^NUMBER{n}"))
        assoc.respond(message, 0)

    running = serve(services={STUDY_ROOT_FIND: ([IMPLICIT], find)})
    done = run(
        "findscu", "-v", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=", "-k", "StudyInstanceUID=",
        *where(running),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [n for n in range(9) if f"DOE^NUMBER{n}" in done.stderr + done.stdout] == [0, 1, 2, 3, 4]


def test_findscu_cancels(serve: Serve) -> None:
    cancelled: list[bool] = []

    def endless(assoc: Association, message: Message) -> None:
        message.read()
        for _ in range(1000):
            if assoc.is_cancelled(message):
                break
            assoc.respond(message, 0xFF00, data_set=match("DOE"))
            time.sleep(0.002)
        cancelled.append(assoc.is_cancelled(message))
        assoc.respond(message, 0xFE00)

    running = serve(services={STUDY_ROOT_FIND: ([IMPLICIT], endless)})
    done = run("findscu", "-S", "--cancel", "3", "-k", "QueryRetrieveLevel=STUDY", *where(running))
    assert done.returncode == 0, done.stderr
    assert cancelled == [True]


def test_getscu_gets_its_instances(serve: Serve, tmp_path: Path) -> None:
    data = data_set_of(Path(CT_FILE))

    def get(assoc: Association, message: Message) -> None:
        message.read()
        storage = assoc.context_for(CT_IMAGE_STORAGE)
        assert storage is not None
        for n in range(3):
            assoc.c_store(
                context=storage,
                sop_class_uid=CT_IMAGE_STORAGE,
                sop_instance_uid=CT.SOPInstanceUID,
                data=data,
            )
            assoc.respond(message, 0xFF00, remaining=2 - n, completed=n + 1, failed=0, warning=0)
        assoc.respond(message, 0, completed=3, failed=0, warning=0)

    running = serve(services={STUDY_ROOT_GET: ([IMPLICIT], get)})
    done = run("getscu", "-v", "-S", "-od", str(tmp_path), "-k", "StudyInstanceUID=1.2", *where(running))
    assert done.returncode == 0, done.stderr
    (received,) = tmp_path.iterdir()
    assert dcmread(received).PixelData == CT.PixelData


def test_movescu_is_sent_pending_responses_and_the_instances_come_to_its_port(
    serve: Serve, tmp_path: Path, free_port: int
) -> None:
    data = data_set_of(Path(CT_FILE))

    def move(assoc: Association, message: Message) -> None:
        message.read()
        with associate(
            "127.0.0.1",
            free_port,
            calling_ae_title=assoc.called_ae_title,
            called_ae_title=message.command.move_destination,
            contexts=[(CT_IMAGE_STORAGE, [EXPLICIT])],
        ) as destination:
            storage = destination.context_for(CT_IMAGE_STORAGE)
            assert storage is not None
            for n in range(2):
                stored = destination.c_store(
                    context=storage,
                    sop_class_uid=CT_IMAGE_STORAGE,
                    sop_instance_uid=CT.SOPInstanceUID,
                    data=data,
                    move_originator=(assoc.calling_ae_title, message.command.message_id),
                )
                assoc.respond(message, 0xFF00, remaining=1 - n, completed=n + 1, failed=0, warning=0)
        assoc.respond(message, stored.status, completed=2, failed=0, warning=0)

    running = serve(services={STUDY_ROOT_MOVE: ([IMPLICIT], move)})
    done = run(
        "movescu", "-v", "-S", "-aet", "MOVER", "-aem", "MOVER", "+P", str(free_port), "-od", str(tmp_path),
        "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2", *where(running),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (received,) = tmp_path.iterdir()
    assert dcmread(received, force=True).PixelData == CT.PixelData


# Ours calls


@pytest.fixture
def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def storescp(request: pytest.FixtureRequest, free_port: int, tmp_path: Path) -> Iterator[int]:
    options = getattr(request, "param", [])
    process = subprocess.Popen(
        [peer("storescp"), *options, "--bit-preserving", "-od", str(tmp_path), str(free_port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield free_port
    process.terminate()
    process.wait()


def when_up(port: int, *contexts: tuple[str, list[str]]) -> Association:
    deadline = time.monotonic() + 60
    while True:
        try:
            return associate(
                "127.0.0.1", port, calling_ae_title="OURS", called_ae_title="STORESCP", contexts=list(contexts)
            )
        except ConnectFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("storescp", [["-pdu", "4096"], ["-pdu", "131072"], ["+xe"]], indirect=True)
def test_storescp_keeps_what_we_send_bit_exact(storescp: int, tmp_path: Path) -> None:
    data = data_set_of(Path(CT_FILE))
    with when_up(storescp, (VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT])) as assoc:
        storage = assoc.context_for(CT_IMAGE_STORAGE)
        assert storage is not None
        for n in range(1, 20):
            uid = f"1.2.826.0.1.3680043.10.1461.{n}"
            stored = assoc.c_store(context=storage, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=uid, data=data)
            assert stored.status == 0
        assert assoc.c_echo().status == 0
    files = list(tmp_path.iterdir())
    assert len(files) == 19
    assert {data_set_of(file) for file in files} == {data}


@pytest.mark.parametrize("storescp", [["--refuse"]], indirect=True)
def test_storescp_that_refuses(storescp: int) -> None:
    with pytest.raises(AssociationRejected):
        when_up(storescp, (VERIFICATION, [IMPLICIT]))


@pytest.mark.parametrize("storescp", [["--abort-during"]], indirect=True)
def test_storescp_that_aborts_in_the_middle(storescp: int) -> None:
    data = data_set_of(Path(CT_FILE)) * 100
    with pytest.raises(AssociationAborted), when_up(storescp, (CT_IMAGE_STORAGE, [EXPLICIT])) as assoc:
        storage = assoc.context_for(CT_IMAGE_STORAGE)
        assert storage is not None
        assoc.c_store(context=storage, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid="1.2.3", data=data)
