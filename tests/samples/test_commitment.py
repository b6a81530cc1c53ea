"""The samples of storage commitment: with each other, and against pynetdicom in both roles."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from dicom.commitment import INSTANCE
from dicom.part10 import meta_group
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from tests.commitment.asking import ROLE, Told, ask, asked, reference
from tests.node import free_port, wait_for
from tests.samples.programs import HOST, sample, serving
from tests.storage.made import CT, EXPLICIT, data_set

pytestmark = pytest.mark.live


@pytest.fixture
def paths(tmp_path: Path) -> Sequence[Path]:
    """Of two instances."""
    folder = tmp_path / "kept"
    folder.mkdir()
    for uid in ("1.5.1", "1.5.2"):
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        (folder / uid).write_bytes(meta + data_set(sop=uid))
    return sorted(folder.iterdir())


def test_the_two_samples_know_each_other(paths: Sequence[Path], tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "one.dcm").write_bytes(paths[0].read_bytes())
    with serving("commit_scp", here) as port:
        done = sample("commit_scu", HOST, port, *paths)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["1.5.1 committed", "1.5.2 0112 No such object instance"] or (
        done.stdout.splitlines() == ["1.5.2 0112 No such object instance", "1.5.1 committed"]
    )


def test_the_scp_tells_pynetdicom(paths: Sequence[Path]) -> None:
    told = Told()
    with serving("commit_scp", paths[0].parent) as port:
        ae = AE("CT1")
        ae.add_requested_context(PUSH)
        assoc = ae.associate(HOST, port, evt_handlers=told.handlers)
        assert ask(assoc, asked("1.2.9", reference("1.5.1"), reference("1.5.2", "1.2.3"))).Status == 0x0000
        wait_for(lambda: told.reports)
        assert ask(assoc, asked("1.2.9")).Status == 0x0110
        assoc.release()
    assert told.reports == [("1.2.9", 2, ["1.5.1"], {"1.5.2": 0x0119})]


@pytest.fixture
def archive() -> Iterator[tuple[int, int]]:
    """pynetdicom that reports on an association of its own: its port, and the one it calls."""
    calls = free_port()

    def act(event: Any) -> tuple[int, Dataset | None]:
        thread = threading.Thread(target=report, args=(event.action_information,))
        threads.append(thread)
        thread.start()
        return 0x0000, None

    def report(ds: Dataset) -> None:
        caller = AE("LTA")
        caller.add_requested_context(PUSH)
        assoc = caller.associate(HOST, calls, ext_neg=[ROLE])
        assoc.send_n_event_report(ds, 1, PUSH, INSTANCE)
        assoc.release()

    threads: list[threading.Thread] = []
    ae = AE("LTA")
    ae.add_supported_context(PUSH)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, act)])
    try:
        yield server.socket.getsockname()[1], calls
    finally:
        server.shutdown()
        for thread in threads:
            thread.join(30)


def test_the_scu_takes_a_report_on_another_association(archive: tuple[int, int], paths: Sequence[Path]) -> None:
    port, listens = archive
    done = sample("commit_scu", HOST, port, *paths, "--listen", listens)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["1.5.1 committed", "1.5.2 committed"]


def test_the_scu_says_that_nothing_came(paths: Sequence[Path]) -> None:
    ae = AE("LTA")
    ae.add_supported_context(PUSH)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, lambda event: (0x0000, None))])
    try:
        done = sample("commit_scu", HOST, server.socket.getsockname()[1], *paths, "--wait", "0.5")
    finally:
        server.shutdown()
    assert done.stdout.splitlines() == ["no report"]
