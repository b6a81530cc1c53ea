"""What a campaign asks of an archive afterwards: nothing acknowledged is lost, nothing torn is kept."""

import contextlib
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from blake3 import blake3
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE

from apps.storage.blanks import abandoned
from benchmarks.processes import debian
from tests.campaigns.ingest import Ledger
from tests.node import Node, free_port, wait_for

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
SINK = "SINK"


def spool(node: Node) -> Path:
    return node.data / "spool" / node.environment.get("PACS_NODE", "main")


def archive(node: Node) -> Path:
    return Path(node.environment.get("PACS_ARCHIVE", node.data / "archive"))


def settled(node: Node, timeout: float = 120) -> None:
    """Everything received has been indexed or put aside."""
    wait_for(lambda: _is_settled(spool(node)), timeout=timeout, what="the spool is empty")


def _is_settled(root: Path) -> bool:
    """Nothing waits, nor lies in `tmp/` where the indexer will find it, or whence it will be handed over."""
    for path in (root / "tmp").iterdir():
        with contextlib.suppress(FileNotFoundError), abandoned(path) as folder:
            if folder is not None or any(file.stat().st_size for file in path.iterdir()):
                return False
    return not os.listdir(root / "ready")


def index_is_true(node: Node, ledger: Ledger) -> int:
    """Every acknowledged instance once, every row's file whole and as sent; the number of rows."""
    settled(node)
    failed = os.listdir(spool(node) / "failed")
    assert not failed, f"put aside: {failed[:5]} {node.sql('SELECT name, reason FROM storage_failedfile')[:5]}"
    rows = node.sql("SELECT sop_instance_uid, digest, path, dataset_offset, size FROM storage_instance")
    count = Counter(str(row[0]) for row in rows)
    assert not [uid for uid, times in count.items() if times > 1]
    lost = ledger.acknowledged - set(count)
    assert not lost, (
        f"{len(lost)} of {len(ledger.acknowledged)} acknowledged instances are not in the index: {min(lost)}"
    )
    assert node.sql("SELECT count(*) FROM storage_quarantinedinstance") == [(0,)]
    for uid, digest, path, offset, size in rows:
        content = (archive(node) / path).read_bytes()
        assert len(content) == offset + size, f"{uid}: the file has {len(content)} bytes, not {offset} and {size}"
        found = blake3(memoryview(content)[offset:]).hexdigest()
        assert found == digest == ledger.sent[uid].digest, f"{uid}: not what was sent"
    counts_are_true(node, len(rows))
    return len(rows)


def counts_are_true(node: Node, instances: int) -> None:
    for table, column in (
        ("storage_study", "number_of_study_related_instances"),
        ("storage_series", "number_of_series_related_instances"),
    ):
        assert node.sql(f"SELECT COALESCE(SUM({column}), 0) FROM {table}") == [(instances,)]


def one_file_each(node: Node) -> None:
    """No second copy of anything lies in the archive."""
    kept = {path for (path,) in node.sql("SELECT path FROM storage_instance")}
    found = {
        str(path.relative_to(archive(node)))
        for path in (archive(node)).rglob("*")
        if path.is_file() and "records" not in path.parts
    }
    assert kept == found, f"without a row: {sorted(found - kept)[:5]}, without a file: {sorted(kept - found)[:5]}"


def findable(node: Node, studies: Mapping[str, set[str]]) -> None:
    """C-FIND by pynetdicom names exactly these instances (more, where one was stored and its answer lost)."""
    for study, expected in studies.items():
        answers = instances_of(node, study)
        assert len(answers) == len(set(answers)), f"{study}: named twice"
        assert expected <= set(answers), f"{study}: {len(expected - set(answers))} of {len(expected)} not found"


def instances_of(node: Node, study: str) -> list[str]:
    """An association for each query: in a second one pynetdicom's own reactor may take an answer from its caller."""
    ae = AE(ae_title="CHECKER")
    ae.add_requested_context(STUDY_ROOT_FIND)
    assoc = ae.associate(node.host, node.dimse_port, ae_title=node.ae_title)
    assert assoc.is_established
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = study
    query.SeriesInstanceUID = query.SOPInstanceUID = ""
    try:
        return [str(ds.SOPInstanceUID) for _, ds in assoc.send_c_find(query, STUDY_ROOT_FIND) if ds is not None]
    finally:
        assoc.release()


def retrievable_by_get(node: Node, studies: Mapping[str, set[str]], ledger: Ledger, folder: Path) -> None:
    """C-GET by DCMTK brings every byte back."""
    for study, expected in studies.items():
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
        where = ["-aec", node.ae_title, node.host, str(node.dimse_port)]
        run([debian("getscu"), "-S", "+B", "-od", str(emptied(folder)), *where, *keys])
        as_sent(folder, expected, ledger)


def retrievable_by_move(node: Node, studies: Mapping[str, set[str]], ledger: Ledger, folder: Path) -> None:
    """C-MOVE by DCMTK to DCMTK does so too."""
    with sink(node, emptied(folder)):
        for study, expected in studies.items():
            keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
            where = ["-aec", node.ae_title, "-aem", SINK, node.host, str(node.dimse_port)]
            run([debian("movescu"), "-S", *where, *keys])
            as_sent(folder, expected, ledger)
            emptied(folder)


@contextlib.contextmanager
def sink(node: Node, folder: Path) -> Iterator[None]:
    """A destination for C-MOVE that keeps what it gets, bit by bit."""
    port = free_port()
    node.shell(
        "from apps.accounts.principal import system; from apps.network import config\n"
        "from apps.network.models import Peer\n"
        f"peer = Peer.objects.filter(name='sink').first() or Peer(name='sink', ae_title='{SINK}', host='127.0.0.1')\n"
        f"peer.port = {port}; config.save(peer, principal=system('campaign'))"
    )
    options = ["-q", "+B", "-aet", SINK, "-pdu", "131072", "-od", str(folder)]
    process = subprocess.Popen([debian("storescp"), *options, str(port)])
    try:
        time.sleep(2.5)  # a changed peer holds within two seconds
        yield
    finally:
        process.terminate()
        process.wait()


def run(argv: list[str]) -> None:
    done = subprocess.run(argv, env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{argv[0]}: {done.returncode} {done.stdout}{done.stderr}"


def emptied(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


def as_sent(folder: Path, expected: set[str], ledger: Ledger) -> None:
    received = {}
    for path in folder.iterdir():
        meta = read_file_meta_info(path)
        content = memoryview(path.read_bytes())[144 + meta.FileMetaInformationGroupLength :]
        received[str(meta.MediaStorageSOPInstanceUID)] = blake3(content).hexdigest()
    assert expected <= set(received), f"{len(expected - set(received))} of {len(expected)} were not retrieved"
    for uid, digest in received.items():
        assert digest == ledger.sent[uid].digest, f"{uid}: retrieved bytes differ from what was sent"


def everything(node: Node, ledger: Ledger, folder: Path, *, moved_studies: int = 10) -> str:
    """All of the above; a line for the report."""
    rows = index_is_true(node, ledger)
    studies = ledger.studies()
    findable(node, studies)
    retrievable_by_get(node, studies, ledger, folder / "got")
    retrievable_by_move(node, dict(list(studies.items())[:moved_studies]), ledger, folder / "moved")
    one_file_each(node)
    return (
        f"{len(ledger.acknowledged)} acknowledged, {rows} in the index, {len(studies)} studies retrieved bit-exact; "
        f"{ledger.interrupted} associations broken, statuses { {f'{k:04X}': v for k, v in ledger.statuses.items()} }"
    )
