"""Kill our processes while four senders store: `python -m tests.campaigns.kill --kills 200 --database postgresql`.

First a kill at every failpoint of intake and index, then at random; with `--outages` the database goes away now and
then, with `--no-broker` there never is a message broker. What was answered with Success must be there afterwards.
"""

import argparse
import contextlib
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import data
from tests.campaigns import verify, wire
from tests.campaigns.ingest import Feeder, Ledger, study_of
from tests.campaigns.postgresql import PostgreSQL
from tests.node import COMMANDS, Databases, Node, wait_for

ROLES = ("listeners", "indexer", "worker")


@dataclass
class Campaign:
    """A node of single processes, which we start again as a supervisor would, and its senders."""

    node: Node
    seed: int
    senders: int = 4
    ledger: Ledger = field(default_factory=Ledger)
    kills: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.feeders: list[Feeder] = []

    def run_role(self, role: str, failpoint: str = "") -> None:
        self.node.environment["PACS_FAILPOINT"] = failpoint
        self.node.run(role, COMMANDS[role])

    def start(self) -> None:
        for role in ROLES:
            self.run_role(role)
        wait_for(self.node.answers, timeout=60, what="the listeners answer")

    @contextlib.contextmanager
    def feeding(self) -> Iterator[None]:
        """Senders at work, until the block ends."""
        address = (self.node.host, self.node.dimse_port)
        seeds = [self.chance.randrange(1 << 30) for _ in range(self.senders)]
        self.feeders = [
            Feeder(where=lambda: address, ledger=self.ledger, number=number, seed=seed)
            for number, seed in enumerate(seeds)
        ]
        for feeder in self.feeders:
            feeder.start()
        try:
            yield
        finally:
            for feeder in self.feeders:
                feeder.stopping.set()
            for feeder in self.feeders:
                feeder.join()

    def settle(self, *roles: str) -> None:
        """Those who receive and index, or these of them, run anew without failpoints, and all received is indexed."""
        for role in roles or ("listeners", "indexer"):
            if role in self.node.processes:
                self.node.kill(role)
            self.run_role(role)
        wait_for(self.node.answers, timeout=60, what="the listeners answer")
        verify.settled(self.node)

    # At failpoints

    def at_failpoint(self, role: str, name: str, times: int) -> int:
        """Run `role` so that it dies at this step again and again, `times` altogether."""
        nth = self.chance.randint(1, 7)
        before = self._deaths_of_children()
        self.node.kill(role)
        self.run_role(role, f"{name}:kill:{nth}")
        died = 0
        deadline = time.monotonic() + 60 + times * 10
        with self.feeding():
            while died < times:
                assert time.monotonic() < deadline, f"{name}: only {died} kills, is it ever reached?"
                time.sleep(0.05)
                if role == "listeners":
                    died = self._deaths_of_children() - before
                elif self.node.processes[role].poll() is not None:
                    died += 1
                    self.run_role(role, f"{name}:kill:{self.chance.randint(1, 7)}")
        self.kills += died
        # An indexer that starts looks at once for what a dead listener left.
        self.settle(*(["indexer"] if role == "indexer" else []))
        verify.index_is_true(self.node, self.ledger)
        return died

    def _deaths_of_children(self) -> int:
        return (self.node.directory / "listeners.out").read_text(errors="replace").count("ended (SIGKILL)")

    # At random

    def at_random(self, times: int, say: Callable[[str], None]) -> None:
        actions = {
            "a listener process": (self._kill_a_child, 5),
            "all listeners": (self._kill_listeners, 2),
            "the indexer": (self._kill_indexer, 5),
            "the worker": (self._kill_worker, 1),
            "listeners in the middle of a data set, the indexer first back": (self._kill_mid_data_set, 2),
        }
        names = list(actions)
        weights = [weight for _, weight in actions.values()]
        done = dict.fromkeys(names, 0)
        with self.feeding():
            while sum(done.values()) < times:
                time.sleep(self.chance.uniform(0.05, 1.5))
                name = self.chance.choices(names, weights)[0]
                actions[name][0]()
                done[name] += 1
                if sum(done.values()) % 25 == 0:
                    say(f"{sum(done.values())} random kills, {len(self.ledger.acknowledged)} acknowledged")
        self.kills += times
        say("random kills of " + ", ".join(f"{name}: {count}" for name, count in done.items()))

    def _kill_a_child(self) -> None:
        children = psutil.Process(self.node.processes["listeners"].pid).children()
        if children:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.chance.choice(children).kill()

    def _kill_listeners(self) -> None:
        self._end_listeners()
        self.run_role("listeners")

    def _end_listeners(self) -> None:
        """The parent and its children, as when a container is killed."""
        parent = psutil.Process(self.node.processes["listeners"].pid)
        children = parent.children()
        self.node.kill("listeners")
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=10)

    def _kill_indexer(self) -> None:
        self.node.kill("indexer")
        time.sleep(self.chance.choice((0, 0, 1)))
        self.run_role("indexer")

    def _kill_worker(self) -> None:
        self.node.kill("worker")
        self.run_role("worker")

    def _kill_mid_data_set(self) -> None:
        """Half an instance has come when the listeners die; the indexer is back before them and must not take it."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, wire.Ended):
                line = stack.enter_context(wire.Line((self.node.host, self.node.dimse_port), timeout=10))
                self._send_half(line)
            self._kill_listeners_and_indexer()

    def _send_half(self, line: wire.Line) -> None:
        template = data.ct_512k()
        values = study_of(f"9{data.new_run()[1:]}", 1)[0]
        data_set = bytes(template.filled(values)[template.dataset_offset :])
        line.associate((template.sop_class_uid, [wire.EXPLICIT]), calling="TORN")
        line.send(wire.p_data(1, wire.COMMAND | wire.LAST, wire.store_rq(values.sop_instance_uid)))
        for start in range(0, len(data_set) // 2, 16000):
            line.send(wire.p_data(1, 0, data_set[start : start + 16000]))

    def _kill_listeners_and_indexer(self) -> None:
        self._end_listeners()
        self.node.kill("indexer")
        self.run_role("indexer")
        time.sleep(self.chance.uniform(0.5, 2))
        self.run_role("listeners")

    # The database away

    def without_database(
        self, times: int, away: Callable[[], contextlib.AbstractContextManager[None]], *, seconds: float = 12
    ) -> None:
        """Senders go on being acknowledged while there is no database, for up to so long."""
        with self.feeding():
            for _ in range(times):
                self._acknowledged(20)
                with away():
                    time.sleep(self.chance.uniform(seconds / 2, seconds))
                    self._acknowledged(20)
            self._acknowledged(20)

    def _acknowledged(self, number: int) -> None:
        """Waits for so many more."""
        enough = len(self.ledger.acknowledged) + number
        wait_for(lambda: len(self.ledger.acknowledged) >= enough, what=f"{number} more are acknowledged")


def failpoints(node: Node) -> dict[str, tuple[str, ...]]:
    """The steps that each role may be killed at, as the product names them."""
    said = node.shell("from apps.storage import index, intake; print(*intake.STEPS); print(*index.STEPS)").splitlines()
    return {"listeners": tuple(said[-2].split()), "indexer": tuple(said[-1].split())}


@contextlib.contextmanager
def sqlite_locked(node: Node) -> Iterator[None]:
    """Nobody else reads or writes the database."""
    path = node.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def postgresql_stopped(server: PostgreSQL, mode: str) -> Iterator[None]:
    server.stop(mode)
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def node_on(database: str, folder: Path, **environment: str) -> Iterator[tuple[Node, PostgreSQL | None]]:
    """A node whose database can be taken away."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(PostgreSQL()) if database == "postgresql" else None
        databases = Databases(server.url if server else None)
        stack.callback(databases.close)
        scratch = folder / "database"
        scratch.mkdir()
        yield stack.enter_context(Node(folder, database_url=databases.create(scratch), **environment)), server


def run(chosen: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> None:
    environment = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"} if chosen.no_broker else {}
    with node_on(chosen.database, folder, PACS_PROCESSES="4", **environment) as (node, server):
        node.manage("prepare")
        campaign = Campaign(node, chosen.seed)
        campaign.start()
        if chosen.per_failpoint:
            for role, names in failpoints(node).items():
                for name in names:
                    say(f"{name}: {campaign.at_failpoint(role, name, chosen.per_failpoint)} kills")
        if chosen.kills:
            campaign.at_random(chosen.kills, say)
        for number in range(chosen.outages):
            if server is None:
                campaign.without_database(1, lambda: sqlite_locked(node))
            else:
                mode = ("fast", "immediate")[number % 2]
                campaign.without_database(1, lambda mode=mode: postgresql_stopped(server, mode))  # type: ignore[misc]
            say(f"outage {number + 1}: {len(campaign.ledger.acknowledged)} acknowledged")
        campaign.settle()
        say(f"{campaign.kills} kills; {verify.everything(node, campaign.ledger, folder)}")


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="at random (200)")
    parser.add_argument("--per-failpoint", type=int, default=20, help="kills at each step (20)")
    parser.add_argument("--outages", type=int, default=0, help="times the database goes away (0)")
    parser.add_argument("--no-broker", action="store_true", help="a broker is configured, and never there")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="pacs-kill-") as folder:
        run(options(arguments), Path(folder), lambda line: print(line, flush=True))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
