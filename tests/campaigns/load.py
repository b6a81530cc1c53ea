"""Many at once: `python -m tests.campaigns.load associations` and `python -m tests.campaigns.load indexers`.

A hundred associations store two hundred instances each; two nodes on one PostgreSQL get the first images of the same
new studies at the same moment.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import data
from benchmarks.data import Values, new_run
from dicom.dimse import DimseError
from tests.campaigns import verify
from tests.campaigns.ingest import Ledger, store, study_of, to_store
from tests.campaigns.postgresql import PostgreSQL
from tests.node import COMMANDS, Databases, Node, wait_for


class Senders:
    """One thread for each association; all begin together."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.failures: list[str] = []

    def send(self, work: Sequence[tuple[Node, Sequence[Values]]]) -> None:
        template = data.tiny()
        gate = threading.Barrier(len(work))

        def run(number: int, node: Node, values: Sequence[Values]) -> None:
            try:
                with to_store((node.host, node.dimse_port), calling=f"LOAD{number}") as assoc:
                    gate.wait()
                    for each in values:
                        store(assoc, template, each, self.ledger)
            except (DimseError, OSError, threading.BrokenBarrierError) as error:
                self.failures.append(f"{number}: {error!r}")
                gate.abort()

        threads = [threading.Thread(target=run, args=(n, node, values)) for n, (node, values) in enumerate(work)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.failures, self.failures[:5]


def many_associations(node: Node, *, associations: int, instances: int) -> str:
    """All at once, each its own study; acknowledged, present, counted."""
    ledger = Ledger()
    run = new_run()
    work = [(node, study_of(f"{int(run) + number}", instances)) for number in range(associations)]
    Senders(ledger).send(work)
    expected = associations * instances
    assert len(ledger.acknowledged) == expected, f"{len(ledger.acknowledged)} of {expected}: {ledger.statuses}"
    assert verify.index_is_true(node, ledger) == expected
    verify.findable(node, ledger.studies())
    return f"{expected} of {expected} acknowledged and present over {associations} associations"


def two_nodes(first: Node, second: Node, *, rounds: int, studies: int, log: Callable[[], str]) -> str:
    """Both get an image of each new study, in different order, at the same moment."""
    ledger = Ledger()
    for _ in range(rounds):
        run = new_run()
        pairs = [study_of(f"{int(run) + number}", 2) for number in range(studies)]
        ones = [pair[0] for pair in pairs]
        others = [pair[1] for pair in pairs]
        Senders(ledger).send([(first, ones), (second, list(reversed(others)))])
    for node in (first, second):
        verify.settled(node)
        assert not list((verify.spool(node) / "failed").iterdir())
    expected = rounds * studies
    for table in ("patient", "study", "series"):
        assert first.sql(f"SELECT count(*) FROM storage_{table}") == [(expected,)], table
    assert first.sql("SELECT count(*) FROM storage_instance") == [(2 * expected,)]
    assert len(ledger.acknowledged) == 2 * expected, ledger.statuses
    wrong = first.sql("SELECT count(*) FROM storage_study WHERE number_of_study_related_instances <> 2")
    assert wrong == [(0,)], f"{wrong[0][0]} studies miscounted"
    deadlocks = log().count("deadlock detected")
    return (
        f"{expected} studies begun on two nodes at once: one patient, study, series each; {deadlocks} deadlocks logged"
    )


def with_two_nodes(folder: Path, *, rounds: int, studies: int) -> str:
    with PostgreSQL(folder) as server:
        databases = Databases(server.url)
        scratch = folder / "database"
        scratch.mkdir()
        url = databases.create(scratch)
        with (
            Node(folder, database_url=url, PACS_NODE="one") as first,
            Node(folder, database_url=url, PACS_NODE="two") as second,
        ):
            first.manage("prepare")
            first.sql("DELETE FROM network_listener")
            for node in (first, second):
                listen(node)
            for node in (first, second):
                wait_for(node.answers, timeout=60, what="the listeners answer")
            answer = two_nodes(first, second, rounds=rounds, studies=studies, log=server.log)
        databases.close()
        return answer


def listen(node: Node) -> None:
    """A listener of the node's own, and the processes that receive and index."""
    name = node.environment["PACS_NODE"]
    node.shell(
        "from apps.accounts.principal import system; from apps.network import config\n"
        "from apps.network.models import Listener; from dicom.sop_classes import Service\n"
        f"config.save(Listener(name='{name}', ae_title='PACS', host='127.0.0.1', port={node.dimse_port},"
        " services=[str(s) for s in Service]), principal=system('campaign'))"
    )
    node.run("listeners", [*COMMANDS["listeners"], "--names", name])
    node.run("indexer", COMMANDS["indexer"])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.load", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    associations = commands.add_parser("associations")
    associations.add_argument("--associations", type=int, default=100)
    associations.add_argument("--instances", type=int, default=200)
    indexers = commands.add_parser("indexers")
    indexers.add_argument("--rounds", type=int, default=50)
    indexers.add_argument("--studies", type=int, default=200)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacs-load-") as folder:
        if chosen.command == "indexers":
            said = with_two_nodes(Path(folder), rounds=chosen.rounds, studies=chosen.studies)
        else:
            with Node(Path(folder)) as node:
                node.start()
                said = many_associations(node, associations=chosen.associations, instances=chosen.instances)
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
