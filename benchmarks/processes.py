"""Programs under measurement: started in a temporary folder, watched as a tree of processes, ended by their id."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TICK = os.sysconf("SC_CLK_TCK")


class PeerMissing(Exception):
    """A program of the comparison is not installed, did not start or failed."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def debian(program: str) -> str:
    """Path of a program outside our virtual environment, where pynetdicom puts its own storescu, findscu, ..."""
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != own)
    found = shutil.which(program, path=path + os.pathsep + "/usr/sbin")
    if not found:
        raise PeerMissing(f"{program} is not installed (apt-get install dcmtk orthanc orthanc-dicomweb)")
    return found


def version(program: str) -> str:
    """First line of what a program says about itself, shortened."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    words = [word for word in said.splitlines()[0].replace("$", " ").split() if not word.startswith("dcmtk:")]
    return f"{Path(program).name} {words[1]}"


@dataclass
class Program:
    """One server process and its descendants."""

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def tree(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """User and system time of the tree, of its ended and awaited children too."""
        return sum(_ticks(process.pid) for process in self.tree()) / TICK

    def resident_bytes(self) -> int:
        """Proportional set sizes: a page that forked processes share counts once."""
        return sum(_pss(process.pid) for process in self.tree())

    def forget_peak(self) -> None:
        for process in self.tree():
            try:
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            except OSError:
                continue

    def peak_bytes(self) -> int:
        """Sum of the peaks of resident memory since `forget_peak`; forked processes' shared pages count in each."""
        return sum(_peak(process.pid) for process in self.tree())

    def settle(self, seconds: float = 10.0) -> None:
        """Wait until the tree does next to nothing, so that work put off by one run is not in the next one's time."""
        deadline, before = time.monotonic() + seconds, self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(0.25)
            now = self.cpu_seconds()
            if now - before < 0.03:
                return
            before = now

    def stop(self, seconds: float = 15.0) -> None:
        tree = self.tree()
        if self.process is None or not tree:
            return
        self.process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(tree[:1], timeout=seconds)
        for process in {*left, *tree[1:]}:
            if process.is_running():
                process.kill()
        self.process.wait()
        self.process = None

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(value) for value in fields[11:15])  # utime stime cutime cstime


def _peak(pid: int) -> int:
    return _kilobytes(f"/proc/{pid}/status", "VmHWM:")


def _pss(pid: int) -> int:
    return _kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:")


def _kilobytes(path: str, key: str) -> int:
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
