"""DCMTK's worklist server with the items that come with it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.node import free_port, wait_for
from tests.peers import absent, peer

EXAMPLES = Path("/usr/share/doc/dcmtk/examples")
AE_TITLE = "OFFIS"
Plain = dict[str, Any]


@dataclass(slots=True)
class Wlmscpfs:
    """Its folder of items, its port; what the items say of patients, by patient ID, the last one counting."""

    items: Path
    port: int
    patients: dict[str, Plain] = field(default_factory=dict)


@contextmanager
def running(database: Path) -> Iterator[Wlmscpfs]:
    items = database / AE_TITLE
    items.mkdir()
    (items / "lockfile").touch()
    for dump in dumps("wlistdb/OFFIS/wklist"):
        to_dicom(dump, items / f"{dump.name.partition('.')[0]}.wl")
    port = free_port()
    process = subprocess.Popen([peer("wlmscpfs"), "-s", "-dfp", str(database), str(port)])
    try:
        wait_for(lambda: _answers(port), what="wlmscpfs answers")
        yield Wlmscpfs(items, port)
    finally:
        process.terminate()
        process.wait(timeout=20)


def dumps(prefix: str) -> list[Path]:
    """Some distributions compress them."""
    return sorted(EXAMPLES.glob(f"{prefix}*.dump*")) or absent(f"DCMTK's {prefix} is not installed")


def to_dicom(dump: Path, target: Path) -> Path:
    text = target.with_suffix(".dump")
    unpacked = subprocess.run(["zcat", "-f", str(dump)], check=True, capture_output=True, timeout=60)
    text.write_bytes(unpacked.stdout)
    subprocess.run([peer("dump2dcm"), "-q", str(text), str(target)], check=True, timeout=60)
    text.unlink()
    return target


def _answers(port: int) -> bool:
    command = [peer("echoscu"), "-aec", AE_TITLE, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
