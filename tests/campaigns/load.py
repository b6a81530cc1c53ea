"""Many at once: `python -m tests.campaigns.load`; a hundred associations store two hundred instances each."""

import argparse
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from benchmarks import data
from benchmarks.data import Values, new_run
from dicom.dimse import DimseError
from tests.campaigns import verify
from tests.campaigns.ingest import Ledger, store, study_of, to_store
from tests.node import Node


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


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.load", description=__doc__)
    parser.add_argument("--associations", type=int, default=100)
    parser.add_argument("--instances", type=int, default=200)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacs-load-") as folder, Node(Path(folder)) as node:
        node.start()
        said = many_associations(node, associations=chosen.associations, instances=chosen.instances)
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
