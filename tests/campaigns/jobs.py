"""Jobs while everything around them dies: `python -m tests.campaigns.jobs --jobs 1000 --database postgresql`.

Several workers, killed with SIGKILL at random (at each step of each kind of job: `job_kills`); the broker flushed,
killed and away; PostgreSQL restarted; jobs longer than the lease and than the broker's visibility timeout. Each job
ends, none is lost, no item that was recorded as done is done again, and the jobs of the dead are taken over within a
minute.
"""

import argparse
import contextlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.campaigns.kill import node_on
from tests.campaigns.postgresql import PostgreSQL
from tests.campaigns.receiving import Receiver
from tests.console import files
from tests.node import COMMANDS, Node, drop_databases, free_port, listens, wait_for

Say = Callable[[str], None]

STUDIES = 8
IMAGES = 4
LONG = 1.5  # times the lease that one item of a long job takes
TAKEN_OVER = 60.0  # seconds
# Steps that every job goes through, and those of its kind.
STEPS = ("job.claimed", "job.recording", "job.recorded", "job.ending", "job.ended")
OF_SEND = ("job.planning", "send.planned", "send.answered", "send.recorded", "send.finished")
POINTS: Mapping[str, Sequence[str]] = {
    "steps": STEPS,
    "send": ("job.claimed", *OF_SEND, "job.ending", "job.ended"),
}


class Redis:
    """A broker of the campaign's own, with nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([program, *options], cwd=self._folder, stdout=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port), what="the broker answers")

    def flush(self) -> None:
        subprocess.run(["redis-cli", "-p", str(self.port), "FLUSHALL"], check=True, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None


@dataclass
class Campaign:
    """An installation of single processes, which we start again as a supervisor would."""

    node: Node
    server: PostgreSQL | None
    broker: Redis | None
    seed: int = 1
    workers: int = 3
    kills: Counter[str] = field(default_factory=Counter)
    # By job and claim: when its worker was killed.
    killed: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    @property
    def lease(self) -> float:
        return float(self.node.environment.get("PACS_JOB_LEASE", 45))

    def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Once there is a database."""

        def asked() -> list[tuple[Any, ...]] | None:
            with contextlib.suppress(psycopg.OperationalError):
                return [*self.node.sql(query, parameters), ("end",)]
            return None

        rows: list[tuple[Any, ...]] = wait_for(asked, what="the database answers")
        return rows[:-1]

    # Processes

    def start_worker(self, number: int, failpoint: str = "") -> str:
        name = f"worker{number}"
        self.node.environment["PACS_FAILPOINT"] = failpoint
        self.node.run(name, [*COMMANDS["worker"], "-n", f"{name}@%h"])
        self.node.environment["PACS_FAILPOINT"] = ""
        return name

    def kill_worker(self) -> None:
        number = self.chance.randrange(self.workers)
        name = f"worker{number}"
        pid = self.node.processes[name].pid
        self.node.kill(name)
        self.note_killed(pid)
        time.sleep(self.chance.choice((0, 0, 1, 5)))
        self.start_worker(number)

    def note_killed(self, pid: int) -> None:
        now = time.time()
        running = "SELECT id, lease FROM jobs_job WHERE state = 'running' AND worker LIKE %s"
        for job, lease in self.sql(running, [f"%:{pid}:%"]):
            self.killed[job, lease] = now

    # What happens to them

    def flush_broker(self) -> None:
        assert self.broker
        self.broker.flush()

    def restart_broker(self) -> None:
        assert self.broker
        self.broker.kill()
        time.sleep(self.chance.uniform(0, 3))
        self.broker.start()

    def restart_database(self) -> None:
        assert self.server
        self.server.stop(self.chance.choice(("fast", "immediate")))
        time.sleep(self.chance.uniform(0, 3))
        self.server.start()

    def chaos(self, most: int, pause: tuple[float, float], say: Say) -> None:
        """Until so much has happened or all jobs have ended."""
        acts: dict[str, Callable[[], None]] = {"a worker killed": self.kill_worker}
        weights = [6]
        if self.broker:
            acts |= {"the broker flushed": self.flush_broker, "the broker killed": self.restart_broker}
            weights += [2, 2]
        if self.server:
            acts["PostgreSQL restarted"] = self.restart_database
            weights.append(1)
        # Each of them once, the rest by chance.
        names = [*acts, *self.chance.choices([*acts], weights, k=max(0, most - len(acts)))]
        for name in names:
            time.sleep(self.chance.uniform(*pause))
            if not self.left():
                return
            acts[name]()
            self.kills[name] += 1
            if self.kills.total() % 10 == 0:
                say(f"{dict(self.kills)}, {self.left()} jobs left")

    # Jobs

    def left(self) -> int:
        return int(self.sql("SELECT count(*) FROM jobs_job WHERE state IN ('queued', 'running')")[0][0])

    def settle(self, timeout: float) -> None:
        """Every job has ended; what is due later than the campaign lasts is tried at once."""
        hurry = "UPDATE jobs_job SET due_at = created_at WHERE state = 'queued' AND attempts > 0"

        def none_left() -> bool:
            self.sql(hurry)
            return not self.left()

        wait_for(none_left, timeout=timeout, every=1, what="every job ends")

    def check(self) -> str:
        """Nothing lost, nothing twice. Raises AssertionError."""
        wrong = self.sql("SELECT id, kind, state, error FROM jobs_job WHERE state <> 'succeeded'")
        assert not wrong, f"{len(wrong)} jobs did not end well: {wrong[:5]}"
        recorded = "SELECT count(*) FROM jobs_jobitem i WHERE i.job_id = j.id AND i.state = 'succeeded'"
        for job, done, total, items in self.sql(f"SELECT j.id, j.done, j.total, ({recorded}) FROM jobs_job j"):
            assert done == total == items or not items, f"job {job}: {done} of {total}, {items} items"
        begun, repeated = self._ledger()
        late = self.takeovers()
        assert all(seconds < TAKEN_OVER for seconds in late), f"taken over after {max(late):.0f} s"
        taken = f"median {statistics.median(late):.1f} s, longest {max(late):.1f} s" if late else "none"
        again = f"{begun} items begun, {repeated} of them again after a kill, none after it was done"
        return f"{again}; takeovers: {len(late)}, {taken}"

    def _ledger(self) -> tuple[int, int]:
        path = self.node.data / "ledger.txt"
        done: set[tuple[str, str]] = set()
        begun: Counter[tuple[str, str]] = Counter()
        for line in path.read_text().splitlines() if path.exists() else []:
            what, job, key, _ = line.split()
            if what == "begin":
                assert (job, key) not in done, f"item {key} of job {job} was done, and is done again"
                begun[job, key] += 1
            else:
                assert (job, key) not in done, f"item {key} of job {job} was done twice"
                done.add((job, key))
        return len(begun), sum(count - 1 for count in begun.values())

    def takeovers(self) -> list[float]:
        """Seconds from each kill to the line that says who goes on."""
        lines: dict[int, list[float]] = {}
        for job, at in self.sql("SELECT job_id, at FROM jobs_jobline WHERE text LIKE 'Taken over%%' ORDER BY id"):
            moment = datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
            lines.setdefault(job, []).append(moment.timestamp())
        found = []
        for (job, _), killed in self.killed.items():
            later = [at for at in lines.get(job, []) if at >= killed]
            if later:
                found.append(min(later) - killed)
        return found


def submit(campaign: Campaign, jobs: int, sends: int, port: int) -> None:
    long, seconds = max(1, jobs // 200), campaign.lease * LONG
    campaign.node.shell(
        "from tests.campaigns import job_requests\n"
        f"job_requests.fill({jobs=}, {long=}, long_seconds={seconds}, {sends=}, studies={STUDIES}, {port=})"
    )


def stored(node: Node, folder: Path, *, root: str = "1.2.9", studies: int = STUDIES) -> None:
    folder.mkdir()
    for study in range(studies):
        for image in range(1, IMAGES + 1):
            files.write(folder / f"{study}-{image}.dcm", uid=f"{root}.{study}", number=image)
    node.manage("import", str(folder))


def arrived(receiver: Receiver, sends: int) -> str:
    """Every instance of every study, whole; how many were sent more than once."""
    expected = min(STUDIES, sends) * IMAGES
    assert len(receiver.arrived) == expected, f"{len(receiver.arrived)} of {expected} instances arrived"
    assert len(receiver.data_sets) == expected, "an instance came in two versions"
    return f"{receiver.arrived.total()} instances arrived of {sends * IMAGES} sent, the rest again after kills"


def at_failpoints(campaign: Campaign, port: int, wanted: Mapping[str, Sequence[str]], say: Say) -> None:
    """A worker dies at each step of each of these kinds; another one ends the job."""
    for kind, points in wanted.items():
        for point in points:
            _die_at(campaign, kind, point, f"{kind!r}, {port=}")
        say(f"{kind}: killed at {', '.join(points)}; ended each time")


def _die_at(campaign: Campaign, kind: str, point: str, arguments: str) -> None:
    asked = f"from tests.campaigns import job_requests; print(job_requests.one({arguments}))"
    job = int(campaign.node.shell(asked).splitlines()[-1])
    name = campaign.start_worker(0, f"{point}:kill:1")
    process = campaign.node.processes[name]
    code = process.wait(180)
    assert code == -signal.SIGKILL, f"{kind} at {point}: {campaign.node.log_text()[-2000:]}"
    campaign.note_killed(process.pid)
    campaign.kills[f"{kind} at {point}"] += 1
    campaign.node.processes.pop(name)
    name = campaign.start_worker(0)
    campaign.settle(300)
    campaign.node.kill(name)
    state, done, total = campaign.sql("SELECT state, done, total FROM jobs_job WHERE id = %s", [job])[0]
    assert (state, done) == ("succeeded", total), f"{kind} killed at {point}: {state}, {done} of {total}"


@contextlib.contextmanager
def campaign_on(database: str, folder: Path, *, seed: int = 1, **environment: str) -> Iterator[Campaign]:
    with contextlib.ExitStack() as stack:
        broker = None
        if database == "postgresql":
            broker = Redis(folder)
            broker.start()
            stack.callback(broker.kill)
            environment["CELERY_BROKER_URL"] = broker.url
        node, server = stack.enter_context(
            node_on(database, folder, DJANGO_SETTINGS_MODULE="tests.campaigns.job_settings", **environment)
        )
        node.manage("prepare")
        stored(node, folder / "files")
        yield Campaign(node, server, broker, seed=seed)


def run(
    campaign: Campaign,
    receiver: Receiver,
    *,
    jobs: int,
    acts: int,
    pause: tuple[float, float],
    timeout: float,
    say: Say,
) -> str:
    """All that happens at random, while so many jobs are done. The result in words."""
    sends = max(2, jobs // 20)
    began = time.monotonic()
    submit(campaign, jobs, sends, receiver.port)
    for number in range(campaign.workers):
        campaign.start_worker(number)
    campaign.chaos(acts, pause, say)
    campaign.settle(timeout)
    seconds = time.monotonic() - began
    for number in range(campaign.workers):
        campaign.node.kill(f"worker{number}")
    result = campaign.check()
    return f"{jobs} jobs in {seconds:.0f} s, {dict(campaign.kills)}; {result}; {arrived(receiver, sends)}"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--acts", type=int, default=40, help="kills, flushes, restarts (40)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql", help="and its broker")
    parser.add_argument("--failpoints", action="store_true", help="also kills at each step, lease 3 s")
    parser.add_argument("--kinds", nargs="*", choices=list(POINTS), help="of these only")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    chosen = options(arguments)

    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201

    with tempfile.TemporaryDirectory(prefix="pacs-jobs-") as folder:
        if chosen.jobs:
            (Path(folder) / "random").mkdir()
            with (
                campaign_on(chosen.database, Path(folder) / "random", seed=chosen.seed) as campaign,
                Receiver() as receiver,
            ):
                say(run(campaign, receiver, jobs=chosen.jobs, acts=chosen.acts, pause=(1, 6), timeout=1200, say=say))
        if chosen.failpoints:
            (Path(folder) / "points").mkdir()
            with (
                campaign_on(chosen.database, Path(folder) / "points", PACS_JOB_LEASE="3") as campaign,
                Receiver() as receiver,
            ):
                chosen_points = {kind: POINTS[kind] for kind in chosen.kinds or POINTS}
                at_failpoints(campaign, receiver.port, chosen_points, say)
                say(f"{campaign.kills.total()} kills at steps; {campaign.check()}")
    drop_databases()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
