"""In which order the listeners speak to the disk and to the sender: `python -m tests.campaigns.fsync_order`.

strace watches. For every stored file: it is made in a directory below `tmp/`, which is fsynced, so that its name is
durable before it is filled; then fdatasync of its bytes, and only then the response. Nothing is written to the file
after its fdatasync, and in the end it is renamed into `ready/`.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import data
from tests.campaigns.ingest import Ledger, store, study_of, to_store
from tests.node import COMMANDS, Node, wait_for

CALLS = "fdatasync,fsync,rename,renameat,renameat2,write,writev,pwrite64,pwritev,sendto,sendmsg,sendfile,openat"


@dataclass(frozen=True, slots=True)
class Call:
    """One system call; `began` and `ended` count lines of the trace."""

    thread: int
    name: str
    arguments: str
    began: int
    ended: int


_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<arguments>.*)")
_UNFINISHED = "<unfinished ...>"


def calls(trace: Path) -> Iterator[Call]:
    """What strace -f wrote, calls that other threads interrupted put together again; in order of their ends."""
    open_calls: dict[int, tuple[str, str, int]] = {}
    with trace.open(errors="replace") as lines:
        for number, line in enumerate(lines):
            parts = _LINE.match(line)
            if parts is None:
                continue
            thread, rest = int(parts["thread"]), parts["rest"]
            if (resumed := _RESUMED.match(rest)) and thread in open_calls:
                name, arguments, began = open_calls.pop(thread)
                yield Call(thread, name, arguments + resumed["arguments"], began, number)
            elif call := _CALL.match(rest):
                if rest.endswith(_UNFINISHED):
                    open_calls[thread] = (call["name"], call["arguments"].removesuffix(_UNFINISHED), number)
                else:
                    yield Call(thread, call["name"], call["arguments"], number, number)


@dataclass(slots=True)
class Stored:
    """What has happened so far to a file that is being stored."""

    named: bool = False
    synced: bool = False
    acknowledged: bool = False
    faults: list[str] = field(default_factory=list)

    def write(self) -> None:
        if self.synced:
            self.faults.append("written after its fdatasync")

    def acknowledge(self) -> None:
        self.acknowledged = True
        if not self.named:
            self.faults.append("no fsync of the directory after the file was made")
        if not self.synced:
            self.faults.append("no fdatasync of the file before its response")


_WRITES = {"write", "writev", "pwrite64", "pwritev"}
_SENDS = {"sendto", "sendmsg", "sendfile"}
_FILE = re.compile(r"^\d+<[^>]*/tmp/(?P<folder>[^/>]+)/(?P<name>[^/>]+)>")
_FOLDER = re.compile(r"^\d+<[^>]*/tmp/(?P<folder>[^/>]+)>")
_MADE = re.compile(r'^\d+<[^>]*/tmp/(?P<folder>[^/>]+)>, "(?P<name>[^"]+)", [^,]*O_CREAT')
_RENAMED = re.compile(r'^\d+<[^>]*/tmp/(?P<folder>[^/>]+)>, "(?P<name>[^"]+)", [^"]*"[^"]*/ready/[^"/]+"')
_TO_SENDER = re.compile(r"^\d+<TCP")


class Judge:
    """Follows the calls of all threads: a thread may fill what another has made."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], Stored] = {}
        self.filled: dict[int, Stored] = {}  # by thread: what it is about to answer for
        self.stored = 0
        self.faults: list[str] = []

    def see(self, call: Call) -> None:
        if call.name == "openat" and (found := _MADE.match(call.arguments)):
            self.files[found["folder"], found["name"]] = Stored()
        elif call.name == "fsync" and (found := _FOLDER.match(call.arguments)):
            for (folder, _), file in self.files.items():
                file.named = file.named or folder == found["folder"]
        elif call.name in {*_WRITES, "fdatasync"} and (found := _FILE.match(call.arguments)):
            file = self.filled[call.thread] = self.files.setdefault((found["folder"], found["name"]), Stored())
            if call.name in _WRITES:
                file.write()
            else:
                file.synced = True
        elif call.thread in self.filled and call.name in _SENDS and _TO_SENDER.match(call.arguments):
            self.filled.pop(call.thread).acknowledge()
        elif call.name.startswith("rename") and (found := _RENAMED.match(call.arguments)):
            file = self.files.pop((found["folder"], found["name"]), Stored())
            self.stored += file.acknowledged
            self.faults += file.faults


def judge(trace: Path) -> tuple[int, list[str]]:
    """How many files were acknowledged, and what was out of order."""
    seen = Judge()
    for call in calls(trace):
        seen.see(call)
    return seen.stored, seen.faults


def watch(folder: Path, *, images: int, failpoint: str = "") -> tuple[int, list[str]]:
    """Store over one association under strace; what `judge` says."""
    strace = shutil.which("strace")
    assert strace, "strace is not installed"
    trace = folder / "trace.txt"
    with Node(folder, PACS_PROCESSES="1", PACS_FAILPOINT=failpoint) as node:
        node.manage("prepare", PACS_FAILPOINT="")
        # -D: the listeners, not strace, are our child and get our signals.
        watched = [strace, "-D", "-f", "-yy", "-e", f"trace={CALLS}", "-s", "0", "-o", str(trace), sys.executable]
        program = f"import os; os.execv({strace!r}, {[*watched, *COMMANDS['listeners']]!r})"
        node.run("listeners", ["-c", program])
        wait_for(node.answers, timeout=60, what="the listeners answer")
        template, ledger = data.ct_8k(), Ledger()
        with to_store((node.host, node.dimse_port), calling="ORDER") as assoc:
            for values in study_of(data.new_run(), images):
                assert store(assoc, template, values, ledger) == 0
            assoc.abort()  # a release would wait for an indexer, and there is none
        end = re.compile(rf"^{node.processes['listeners'].pid} +\+\+\+ exited", re.MULTILINE)
        node.stop()
        wait_for(lambda: end.search(trace.read_text(errors="replace")), what="strace has written all")
    return judge(trace)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.fsync_order", description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument(
        "--failpoint", default="", help="intake.sync:skip or intake.directory_sync:skip: must find faults"
    )
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacs-order-") as folder:
        stored, faults = watch(Path(folder), images=chosen.images, failpoint=chosen.failpoint)
    report = [f"{stored} files acknowledged, {len(faults)} faults", *faults[:10]]
    sys.stdout.write(os.linesep.join(report) + os.linesep)
    return 1 if faults or stored < chosen.images else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
