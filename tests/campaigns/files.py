"""Every file that pydicom ships, sent by storescu and by us: `python -m tests.campaigns.files`.

What was on the wire is stored bit by bit, or refused for a reason that pydicom sees in the file too.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pydicom
from blake3 import blake3
from pydicom.data.data_manager import DATA_ROOT
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_file_meta_info, read_preamble

from benchmarks.processes import debian
from tests.campaigns.verify import settled
from tests.node import Node, free_port, listens, wait_for

# storescu proposes one family of transfer syntaxes at a time.
PROPOSALS = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
IDENTIFYING = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
NOT_IMAGES = (".py", ".pyc", ".json", ".md", ".txt")


def bundled() -> list[Path]:
    """Broken ones and some that are no DICOM at all included."""
    found = (path for path in Path(DATA_ROOT).rglob("*") if path.is_file() and path.suffix not in NOT_IMAGES)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file as pydicom reads it."""

    path: Path
    transfer_syntax_uid: str = ""
    sop_instance_uid: str = ""
    missing: tuple[str, ...] = IDENTIFYING  # of the UIDs that identify an instance

    @classmethod
    def read(cls, path: Path) -> "Shipped":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ds = pydicom.dcmread(path, force=True, stop_before_pixels=True)
                missing = tuple(keyword for keyword in IDENTIFYING if not ds.get(keyword))
                syntax = str(getattr(ds.file_meta, "TransferSyntaxUID", ""))
                return cls(path, syntax, str(ds.get("SOPInstanceUID", "")), missing)
            except (InvalidDicomError, OSError, ValueError, KeyError, EOFError, AttributeError):
                return cls(path)

    def fault(self) -> str:
        """Why an archive may refuse it, as others see it; empty when there is no reason."""
        if self.missing:
            return f"without {', '.join(self.missing)}"
        read = subprocess.run([debian("dcmdump"), "-q", str(self.path)], capture_output=True, timeout=60)
        return "which dcmdump cannot read" if read.returncode else ""

    def digest(self) -> str:
        """Of the data set: all that follows the file meta group."""
        with self.path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_preamble(file, force=True)
            _read_file_meta_info(file)
            return blake3(file.read()).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What storescu says: the status of the response, None when it sent nothing."""

    status: int | None
    said: str


def storescu(shipped: Shipped, port: int, ae_title: str) -> Outcome:
    proposal = PROPOSALS.get(shipped.transfer_syntax_uid, "-x=")
    argv = [debian("storescu"), "-d", "-R", proposal, "-aec", ae_title, "127.0.0.1", str(port), str(shipped.path)]
    done = subprocess.run(
        argv, env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True, text=True, errors="replace", timeout=60
    )
    said = done.stdout + done.stderr
    statuses = re.findall(r"DIMSE Status\s*: 0x([0-9a-fA-F]{4})", said)
    return Outcome(int(statuses[-1], 16) if statuses else None, said)


@dataclass
class Oracle:
    """DCMTK's storescp, bit preserving: what storescu makes of a file on the wire."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path) -> "Oracle":
        folder.mkdir(parents=True)
        port = free_port()
        argv = [debian("storescp"), "-q", "+B", "+xa", "-pm", "-aet", "ORACLE", "-od", str(folder), str(port)]
        made = cls(folder, port, subprocess.Popen(argv))
        wait_for(lambda: listens(port), what="storescp")
        return made

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def received(self, shipped: Shipped) -> str | None:
        """Digest of the data set that came; None when nothing did."""
        for old in self.folder.iterdir():
            old.unlink()
        storescu(shipped, self.port, "ORACLE")
        for path in self.folder.iterdir():
            meta = read_file_meta_info(path)
            return blake3(memoryview(path.read_bytes())[144 + meta.FileMetaInformationGroupLength :]).hexdigest()
        return None


REFUSALS = {0xA9, 0xC0, 0x01}  # A9xx, Cxxx of what is missing, and 0122


class Judge:
    """Of what a sender was told about each file; an assertion error for what must not be."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.stored: set[str] = set()  # SOP Instance UIDs
        self._kept: dict[str, str] = {}  # digest of each file in the archive, by its path

    def refused(self, shipped: Shipped, status: int) -> str:
        assert status >> 8 in REFUSALS, f"{shipped.path}: refused with {status:04X}"
        assert shipped.fault(), f"{shipped.path}: refused with {status:04X}, and nothing is wrong with it"
        return f"refused with {status:04X}, {shipped.fault()}"

    def kept(self, shipped: Shipped, digest: str) -> str:
        again = shipped.sop_instance_uid in self.stored
        self.stored.add(shipped.sop_instance_uid)
        if digest in self._digests().values():
            return "stored bit by bit" + " as another version" * again
        # WIRE 16: an equal object in another encoding is the same object, and is kept once.
        assert again, f"{shipped.path}: acknowledged, and not stored as it was sent"
        return "known already, equal but for its encoding"

    def still_kept(self) -> None:
        """What came later has changed none of the files."""
        before = self._digests()
        self._kept = {}
        assert self._digests() == before

    def _digests(self) -> dict[str, str]:
        """Of all the archive holds, as its files say; quarantined versions too."""
        settled(self.node)
        for table in ("storage_instance", "storage_quarantinedinstance"):
            for path, offset, digest in self.node.sql(f"SELECT path, dataset_offset, digest FROM {table}"):
                if path not in self._kept:
                    content = memoryview((self.node.data / "archive" / path).read_bytes())[offset:]
                    self._kept[path] = blake3(content).hexdigest()
                assert self._kept[path] == digest, f"{path} differs from its row"
        return self._kept


def by_storescu(node: Node, folder: Path, paths: Sequence[Path]) -> Iterator[str]:
    """A line for each file."""
    oracle, judge = Oracle.start(folder / "oracle"), Judge(node)
    try:
        with ThreadPoolExecutor(1) as beside:
            for path in paths:
                shipped = Shipped.read(path)
                expected = beside.submit(oracle.received, shipped)
                outcome = storescu(shipped, node.dimse_port, node.ae_title)
                yield f"{path.name}: {_verdict(judge, shipped, expected.result(), outcome)}"
        judge.still_kept()
    finally:
        oracle.stop()


def _verdict(judge: Judge, shipped: Shipped, expected: str | None, outcome: Outcome) -> str:
    if outcome.status is None:
        # DCMTK cannot read or encode it, and the oracle got nothing either; or it is of a class that we do not take.
        assert expected is None or "No presentation context" in outcome.said, f"{shipped.path}: {outcome.said[-2000:]}"
        return "not sent"
    if outcome.status != 0:
        return judge.refused(shipped, outcome.status)
    assert expected is not None, f"{shipped.path}: stored, and storescp got nothing"
    return judge.kept(shipped, expected)


def by_ours(node: Node, paths: Sequence[Path]) -> Iterator[str]:
    """`manage.py dicom store` sends them as they are on disk; a line for each file."""
    target = f"{node.ae_title}@{node.host}:{node.dimse_port}"
    said = node.manage("dicom", "store", target, "--json", *map(str, paths), check=False).stdout
    records = {record["path"]: record for record in map(json.loads, said.splitlines()) if "path" in record}
    assert set(records) == set(map(str, paths)), "not a word about some"
    judge = Judge(node)
    for path in paths:
        shipped, record = Shipped.read(path), records[str(path)]
        if "error" in record:
            assert shipped.fault(), f"{path}: {record['error']}"
            verdict = f"left out, {shipped.fault()}: {record['error']}"
        elif record["status"] == "0000":
            verdict = judge.kept(shipped, shipped.digest())
        else:
            verdict = judge.refused(shipped, int(record["status"], 16))
        yield f"{path.name}: {verdict}"
    judge.still_kept()


def summary(lines: Sequence[str]) -> str:
    counted = Counter(line.partition(": ")[2].partition(", ")[0] for line in lines)
    return f"{len(lines)} files: " + ", ".join(f"{verdict} {count}" for verdict, count in counted.most_common())


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pacs-files-") as folder:
        for sender in ("storescu", "ours"):
            with Node(Path(folder)) as node:
                node.start()
                paths = bundled()
                lines = []
                for line in by_storescu(node, Path(folder), paths) if sender == "storescu" else by_ours(node, paths):
                    lines.append(line)
                    sys.stdout.write(f"{line}\n")
                sys.stdout.write(f"{sender}: {summary(lines)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
