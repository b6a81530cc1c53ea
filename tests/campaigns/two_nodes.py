"""Two receiving nodes and two job nodes on one PostgreSQL and one archive: `python -m tests.campaigns.two_nodes`.

New studies begin on both nodes at the same moment, patient, study and series unknown; then one and the same instance
comes to both at once. What the two wrote is one row each, and one file. Then the job nodes share out sends of studies.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import data
from benchmarks.data import Values, new_run
from dicom.dimse import DimseError
from tests.campaigns import verify
from tests.campaigns.ingest import Ledger, store, study_of, to_store
from tests.campaigns.postgresql import PostgreSQL
from tests.campaigns.receiving import Receiver
from tests.node import COMMANDS, Databases, Node, wait_for
from tests.redis import Redis

PAIRS = 4  # associations to each node
TITLES = ("one", "two")
JOB_NODES = ("three", "four")


@contextmanager
def installed(folder: Path, server_url: str) -> Iterator[list[Node]]:
    """Real processes: listeners and an indexer on each receiving node, which are given, a worker on each job node."""
    with ExitStack() as running:
        shared = {
            "PACS_ARCHIVE": str(folder / "archive"),
            "CELERY_BROKER_URL": running.enter_context(Redis(folder)).url,
            "PACS_LOG_FILE": "off",
        }
        databases = running.enter_context(closing(Databases(server_url)))
        (folder / "database").mkdir()
        url = databases.create(folder / "database")
        nodes = {
            name: running.enter_context(Node(folder, database_url=url, PACS_NODE=name, **shared))
            for name in (*TITLES, *JOB_NODES)
        }
        receiving = [nodes[name] for name in TITLES]
        nodes["one"].manage("prepare")
        nodes["one"].manage("listener", "default", "--delete")
        for node in receiving:
            name = node.environment["PACS_NODE"]
            node.manage("listener", name, f"PACS@{node.host}:{node.dimse_port}")
            node.run("listeners", [*COMMANDS["listeners"], "--names", name])
            node.run("indexer", COMMANDS["indexer"])
        for name in JOB_NODES:
            nodes[name].start("worker", wait=False)
        for node in nodes.values():
            node.wait_ready()
        yield receiving


@dataclass
class Senders:
    """Pairs of associations, one to each node, that store at the same moment."""

    nodes: Sequence[Node]
    ledger: Ledger = field(default_factory=Ledger)
    failures: list[str] = field(default_factory=list)

    def round(self, studies: Sequence[Sequence[Values]]) -> None:
        """Of each study: its first image to the first node and its second to the other, then its third to both."""
        threads = []
        for pair in range(PAIRS):
            gate = threading.Barrier(len(self.nodes), timeout=120)
            work = studies[pair::PAIRS]
            threads += [threading.Thread(target=self._send, args=(n, gate, work)) for n in range(len(self.nodes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.failures, self.failures[:5]

    def _send(self, number: int, gate: threading.Barrier, work: Sequence[Sequence[Values]]) -> None:
        node, template = self.nodes[number], data.tiny()
        try:
            with to_store((node.host, node.dimse_port), calling=f"SENDER{number}") as assoc:
                for study in work:
                    for values in (study[number], study[2]):
                        gate.wait()
                        store(assoc, template, values, self.ledger)
        except (DimseError, OSError, threading.BrokenBarrierError) as error:
            self.failures.append(f"{number}: {error!r}")
            gate.abort()


def began_once(receiving: Sequence[Node], *, rounds: int, studies: int) -> tuple[str, list[str]]:
    """What to report, and the studies of the last round."""
    senders = Senders(receiving)
    began = time.monotonic()
    made: list[list[Values]] = []
    for _ in range(rounds):
        run = int(new_run())
        made = [study_of(f"{run + number}", 3) for number in range(studies)]
        senders.round(made)
    for node in receiving:
        verify.settled(node, timeout=3600)
    seconds = time.monotonic() - began
    first, total = receiving[0], rounds * studies
    for table in ("patient", "study", "series"):
        assert first.sql(f"SELECT count(*) FROM storage_{table}") == [(total,)], table
    assert senders.ledger.statuses == {0: 4 * total}, senders.ledger.statuses
    assert verify.index_is_true(first, senders.ledger) == 3 * total
    assert not list((verify.spool(receiving[1]) / "failed").iterdir())
    wrong = first.sql("SELECT count(*) FROM storage_study WHERE number_of_study_related_instances <> 3")
    assert wrong == [(0,)], f"{wrong[0][0]} studies miscounted"
    verify.one_file_each(first)
    # Resolved by trying again; there should be none, as all lock in one order.
    deadlocks = first.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0]
    said = (
        f"{rounds} rounds of {studies} new studies begun on two nodes at the same moment: {total} patients, studies and"
        f" series; {4 * total} images acknowledged, {total} of them by both nodes at once: {3 * total} instances, each"
        f" in one file; {deadlocks} deadlocks resolved; {4 * total / seconds:.0f} images/s"
    )
    return said, [study[0].study_instance_uid for study in made]


def shared_out(first: Node, studies: Sequence[str]) -> str:
    """A job for each study, by whichever job node comes first; what they send is counted by who gets it."""
    with Receiver() as receiver:
        asked = (
            "from apps.accounts.principal import system; from apps.jobs import kind; from apps.network import config\n"
            "from apps.network.models import Peer; who = system('campaign')\n"
            f"config.save(Peer(name='sink', ae_title='SINK', host='127.0.0.1', port={receiver.port}, jobs_at_once=8),"
            " principal=who)\n"
            f"for uid in {list(studies)!r}:\n"
            "    asked = {'peer': 'sink', 'study_instance_uids': [uid]}\n"
            "    kind.request('send', principal=who, arguments=asked)\n"
        )
        first.manage("shell", "-v0", "-c", asked, timeout=1200)
        left = "SELECT count(*) FROM jobs_job WHERE kind = 'send' AND state IN ('queued', 'running')"
        wait_for(lambda: first.sql(left) == [(0,)], timeout=3600, every=0.5, what="all is sent")
    rows = first.sql("SELECT state, attempts, worker FROM jobs_job WHERE kind = 'send'")
    assert {(state, attempts) for state, attempts, _ in rows} == {("succeeded", 1)}, rows[:5]
    arrived = receiver.arrived
    assert len(arrived) == 3 * len(studies)
    assert set(arrived.values()) == {1}, "sent twice"
    by_node = Counter(str(worker).partition(":")[0] for _, _, worker in rows)
    assert set(by_node) == set(JOB_NODES), f"one job node did nothing: {by_node}"
    others = first.sql("SELECT kind, error FROM jobs_job WHERE state = 'failed'")
    assert not others, others[:5]
    shares = " and ".join(f"{count} on {name}" for name, count in sorted(by_node.items()))
    return f"{len(studies)} send jobs, {shares}, each done once: {len(arrived)} instances arrived once"


def run(folder: Path, server_url: str, *, rounds: int, studies: int) -> Iterator[str]:
    """Lines for a report."""
    with installed(folder, server_url) as receiving:
        said, last = began_once(receiving, rounds=rounds, studies=studies)
        yield said
        yield shared_out(receiving[0], last)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.two_nodes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--studies", type=int, default=200)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacs-two-nodes-") as folder, PostgreSQL() as server:
        for line in run(Path(folder), server.url, rounds=chosen.rounds, studies=chosen.studies):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
