"""A worker killed with SIGKILL at each step of each kind of job: `python -m tests.campaigns.job_kills`.

Each time another worker ends the job, and then what it was for has happened, and has happened once: instances are at
their destination bit for bit, rows are there once, a ZIP is whole, what was to go is gone.
"""

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import pydicom

from tests.campaigns.job_points import IMAGES, OF_KIND, Kill, all_of, one_of_each
from tests.campaigns.kill import node_on
from tests.campaigns.postgresql import PostgreSQL
from tests.campaigns.receiving import Receiver
from tests.campaigns.told import Modality, Ris, listening
from tests.console import files
from tests.node import ROOT, Node, drop_databases

Say = Callable[[str], None]
OURS, THEIRS, LAID_DOWN = "1.2.9", "1.2.8", "1.2.7"
FROM_OTHERS = ("retrieve", "wado")
TAKEN_OVER = 60.0  # seconds
RESTART_EVERY = 10  # kills
ORDERS = """
from apps.accounts.principal import system
from apps.worklist import schedule
from apps.worklist.order import Order
for number in {numbers}:
    for step in range({steps}):
        schedule.schedule(principal=system("ris"), order=Order(
            patient_id=f"W{{number}}", patient_name="Kill^Test", accession_number=f"W{{number}}",
            scheduled_procedure_step_id=f"W{{number}}-{{step}}", requested_procedure_id=f"W{{number}}-{{step}}"))
"""


class Worker:
    """`tests.campaigns.job_worker` within a node."""

    def __init__(self, node: Node) -> None:
        self._output: IO[bytes] = open(node.directory / "job_worker.out", "ab")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaigns.job_worker"],
            cwd=ROOT,
            env={"DJANGO_SETTINGS_MODULE": "pacs.settings", **node.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            text=True,
            process_group=0,
        )

    def __call__(self, verb: str, **asked: Any) -> dict[str, Any]:
        """`status` of the child that did it, and its `answer`."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps({'do': verb, **asked})}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the worker ended: {self.log()}"
        said: dict[str, Any] = json.loads(line)
        return said

    def answer(self, verb: str, **asked: Any) -> Any:
        """Of what is to come to its end."""
        said = self(verb, **asked)
        assert said["status"] == 0, f"{verb}: {said['answer'] or self.log()}"
        return said["answer"]

    def log(self) -> str:
        return Path(self._output.name).read_text()[-2000:]

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._output.close()


@dataclass
class Kills:
    node: Node
    other: Node
    server: PostgreSQL | None
    worker: Worker
    receiver: Receiver
    ris: Ris
    modality: Modality
    ports: dict[str, int]
    files: dict[str, str] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)
    restarts: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        """What is known outside of the installation."""
        received: dict[str, list[str]] = {}
        for uid, digest in self.receiver.data_sets:
            received.setdefault(uid, []).append(digest)
        return {
            "ports": self.ports,
            "other": self.other.ae_title,
            "web": f"http://{self.other.host}:{self.other.http_port}/dicomweb",
            "password": self.other.admin_password,
            "received": received,
            "steps": self.ris.facts,
            "reports": self.modality.facts,
            "files": self.files,
            "theirs": dict(self.other.sql("SELECT sop_instance_uid, digest FROM storage_instance")),
        }

    # One kill

    def die(self, kill: Kill) -> int:
        """Asks for a job of this kind; its worker dies at this step of it. The job."""
        job = int(self.worker.answer("ask", kind=kill.kind, number=kill.number, facts=self.facts))
        point, _, nth = kill.point.partition(":")
        said = self.worker("work", failpoint=f"{point}:kill:{nth or 1}", seconds=60)
        assert said["status"] == -signal.SIGKILL, f"{kill.kind} did not come to {kill.point}: {said}"
        self.kills[kill.kind] += 1
        return job

    def recover(self, what: str = "a job") -> None:
        """Another worker does what is left."""
        said = self.worker.answer("work", failpoint="", seconds=120)
        assert said == "done", f"{what} does not end: {self._left()}"

    def check(self, kill: Kill, job: int) -> None:
        """What is wrong is kept until all is done."""
        said = self.worker("check", kind=kill.kind, number=kill.number, job=job, facts=self.facts)
        lines = "\n".join(f"  {text}" for (text,) in self.node.sql(_LINES, [job]))
        if said["status"]:
            self.wrong.append(f"{kill.kind} killed at {kill.point}: {said['answer'] or self.worker.log()}\n{lines}")

    def _left(self) -> list[Any]:
        return self.node.sql(
            "SELECT id, kind, state, attempts, error FROM jobs_job WHERE state IN ('queued','running')"
        )

    # All of them

    def one_by_one(self, kills: Sequence[Kill], say: Say) -> None:
        """Each job is taken over when its lease has run out; now and then the database is away in between."""
        for number, kill in enumerate(kills, 1):
            job = self.die(kill)
            died = time.monotonic()
            if self.server and number % RESTART_EVERY == 0:
                self.server.stop(("fast", "immediate")[self.restarts % 2])
                self.server.start()
                self.restarts += 1
            self.recover(f"{kill.kind} killed at {kill.point}")
            self.takeovers.append(time.monotonic() - died)
            self.check(kill, job)
            if number == len(kills) or kills[number].kind != kill.kind:
                say(f"{kill.kind}: {', '.join(each.point for each in kills if each.kind == kill.kind)}")
        assert not self.wrong, "\n".join(self.wrong)
        late = max(self.takeovers)
        assert late < TAKEN_OVER, f"taken over and done after {late:.0f} s"

    def together(self, kills: Sequence[Kill]) -> None:
        """First all die, then their leases end, as if time had passed, and one worker goes on with all of it."""
        jobs = [(kill, self.die(kill)) for kill in kills]
        self.node.sql("UPDATE jobs_job SET lease_until = created_at WHERE state = 'running'")
        self.recover("all")
        for kill, job in jobs:
            self.check(kill, job)
        assert not self.wrong, "\n".join(self.wrong)

    @property
    def result(self) -> str:
        said = f"{self.kills.total()} kills in {len(self.kills)} kinds, each job ended and its effect is there once"
        if self.takeovers:
            median, longest = statistics.median(self.takeovers), max(self.takeovers)
            said += f"; from the kill to the end of the job: median {median:.1f} s, longest {longest:.1f} s"
        return f"{said}; PostgreSQL restarted {self.restarts} times" if self.server else said


_LINES = "SELECT text FROM jobs_jobline WHERE job_id = %s ORDER BY id"


def study(folder: Path, uid: str, number: int, **values: Any) -> Iterator[tuple[str, str]]:
    """Written; SOP Instance UIDs and digests of the data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in range(1, IMAGES + 1):
        path = folder / f"{uid}-{image}.dcm"
        given = {"PatientID": f"K{number}", "PatientName": "Kill^Test", "AccessionNumber": "", **values}
        files.write(path, uid=uid, number=image, **given)
        with path.open("rb") as file:
            meta = pydicom.filereader.read_file_meta_info(path)
            file.seek(144 + int(meta.FileMetaInformationGroupLength))
            yield f"{uid}.1.{image}", sha256(file.read()).hexdigest()


@contextlib.contextmanager
def installed(database: str, folder: Path, kills: Sequence[Kill], **environment: str) -> Iterator[Kills]:
    """A node whose workers die, a second archive, and the others whom jobs are about."""
    laid_down, written = folder / "imports", dict[str, str]()
    for number, kind, _ in kills:
        named = {"AccessionNumber": "ROUTE" if kind == "route" else ""}
        if kind in FROM_OTHERS:
            written |= study(folder / "theirs", f"{THEIRS}.{number}", number)
        elif kind == "import":
            written |= study(laid_down / str(number), f"{LAID_DOWN}.{number}", number)
        else:
            written |= study(folder / "ours", f"{OURS}.{number}", number, **named)
        if kind == "commit":
            written |= study(folder / "theirs", f"{OURS}.{number}", number)
    laid_down.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        ris, modality = Ris(), Modality()
        to_ris, to_modality = stack.enter_context(listening(ris, modality))
        other = stack.enter_context(Node(folder, PACS_PROCESSES="1", PACS_AE_TITLE="OTHER"))
        other.start(wait=False)
        (folder / "node").mkdir()
        node, server = stack.enter_context(
            node_on(database, folder / "node", PACS_IMPORT_FROM=str(laid_down), **environment)
        )
        node.manage("prepare")
        other.wait_ready()
        if (folder / "theirs").exists():
            other.manage("import", str(folder / "theirs"))
        orders = [number for number, kind, _ in kills if kind == "import_worklist"]
        other.shell(ORDERS.format(numbers=orders, steps=IMAGES))
        ports = {"receiver": receiver.port, "ris": to_ris, "modality": to_modality, "other": other.dimse_port}
        worker = Worker(node)
        stack.callback(worker.close)
        made = Kills(node, other, server, worker, receiver, ris, modality, ports, written)
        worker.answer("prepare", facts=made.facts)
        node.start("indexer", "listeners")
        other.manage("peer", f"{node.ae_title}@127.0.0.1:{node.dimse_port}")  # whom it reports to
        if (folder / "ours").exists():
            node.manage("import", str(folder / "ours"))
        yield made


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.job_kills", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--lease", type=int, default=2, help="seconds (2)")
    parser.add_argument("--short", action="store_true", help="one step of each kind only, their leases cut short")
    parser.add_argument("--kinds", nargs="*", choices=list(OF_KIND), help="of these only")
    chosen = parser.parse_args(arguments)
    kinds = chosen.kinds or list(OF_KIND)
    kills = one_of_each(kinds) if chosen.short else all_of(kinds)
    lease = 600 if chosen.short else chosen.lease

    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201

    with (
        tempfile.TemporaryDirectory(prefix="pacs-job-kills-") as folder,
        installed(chosen.database, Path(folder), kills, PACS_JOB_LEASE=str(lease)) as campaign,
    ):
        if chosen.short:
            campaign.together(kills)
        else:
            campaign.one_by_one(kills, say)
        say(campaign.result)
    drop_databases()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
