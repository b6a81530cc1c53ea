"""Commitment of many references: `python -m tests.campaigns.commitment --references 5000 --many 100000`.

An archive of so many files with one flipped bit, asked for all of them by a modality that waits on its association and
by one that has released; then a request of a hundred thousand references, and what that costs the listener in memory.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psutil

from dicom import commitment, status
from dicom.commitment import INSTANCE, Commitment, Reference
from dicom.datasets import SYNTAXES, data_set, encode
from dicom.dimse import Association, Limits, Message, SimpleAcceptor, ThreadedServer, associate
from dicom.part10 import meta_group
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN as EXPLICIT
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from tests.campaigns.kill import node_on
from tests.node import Node, wait_for

CT = "1.2.840.10008.5.1.4.1.1.2"
LIMITS = Limits(identifier_cap=64 << 20)


@dataclass
class Outcome:
    """Seconds are from the N-ACTION to the report; memory is what the listener's child grew by, in MiB."""

    references: int
    route: str
    acknowledged: float
    seconds: float
    failed: dict[str, int]
    growth: int


class Modality:
    """Asks, and keeps what it is told; on a port of its own too."""

    def __init__(self) -> None:
        self.reports: dict[str, Commitment] = {}
        self.server = ThreadedServer(("127.0.0.1", 0), SimpleAcceptor({PUSH: (SYNTAXES, self.take)}), limits=LIMITS)

    def take(self, assoc: Association, message: Message) -> None:
        report = commitment.read(message.read(), message.context.transfer_syntax, most=1_000_000)
        self.reports[report.transaction_uid] = report
        assoc.respond(message, status.SUCCESS)

    def ask(self, node: Node, transaction: str, references: list[Reference], *, waits: bool, timeout: float) -> Outcome:
        child = max((process for process in node.descendants("standalone", "listeners")), key=_memory)
        before = _memory(child)
        began = time.monotonic()
        with associate(
            node.host,
            node.dimse_port,
            calling_ae_title="CT1",
            called_ae_title=node.ae_title,
            contexts=[(PUSH, SYNTAXES)],
            limits=LIMITS,
            on_request=self.take,
        ) as assoc:
            context = assoc.accepted_context(PUSH)
            data = commitment.request(transaction, references, context.transfer_syntax)
            answer = assoc.n_action(
                context=context, sop_class_uid=PUSH, sop_instance_uid=INSTANCE, action_type_id=1, data=data
            )
            answer.check()
            acknowledged = time.monotonic() - began
            if waits:
                assoc.serve(timeout, until=lambda: transaction in self.reports)
        wait_for(lambda: transaction in self.reports, timeout=timeout, what="the report")
        report = self.reports[transaction]
        assert [each.sop_instance_uid for each in report.references if not each.reason] or len(references) == 1
        assert len(report.references) == len(references)
        return Outcome(
            references=len(references),
            route="the same association" if waits else "a new association",
            acknowledged=acknowledged,
            seconds=time.monotonic() - began,
            failed={each.sop_instance_uid: each.reason for each in report.references if each.reason},
            growth=(max(_memory(process) for process in node.descendants("standalone", "listeners")) - before) >> 20,
        )


def _memory(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def fill(node: Node, folder: Path, number: int) -> list[Reference]:
    folder.mkdir()
    uids = [f"1.2.3.1.{each}" for each in range(1, number + 1)]
    for uid in uids:
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        image = data_set(
            SOPClassUID=CT,
            SOPInstanceUID=uid,
            PatientID="P1",
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.3.1",
            InstanceNumber=uid.rpartition(".")[2],
        )
        image.add_new(0x7FE00010, "OW", bytes(8192))
        (folder / uid).write_bytes(meta + encode(image, EXPLICIT))
    node.manage("import", str(folder), timeout=1800)
    return [Reference(CT, uid) for uid in uids]


def flip(node: Node, uid: str) -> None:
    """One bit of its pixels."""
    ((place,),) = node.sql("SELECT path FROM storage_instance WHERE sop_instance_uid = %s", [uid])
    path = node.data / "archive" / place
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def run(node: Node, folder: Path, *, references: int, many: int, timeout: float = 600) -> list[Outcome]:
    """The node's settings: PACS_COMMITMENT_WAIT=0."""
    kept = fill(node, folder, references)
    broken = kept[len(kept) // 2].sop_instance_uid
    flip(node, broken)
    modality = Modality()
    outcomes = []
    with modality.server:
        node.manage("peer", f"CT1@127.0.0.1:{modality.server.port}")
        for number, waits in enumerate((True, False)):
            outcome = modality.ask(node, f"1.2.9.{number}", kept, waits=waits, timeout=timeout)
            assert outcome.failed == {broken: status.PROCESSING_FAILURE}, outcome.failed
            outcomes.append(outcome)
        lots = kept + [Reference(CT, f"1.2.4.{each}") for each in range(many - len(kept))]
        outcome = modality.ask(node, "1.2.9.9", lots, waits=True, timeout=timeout)
        assert len(outcome.failed) == many - len(kept) + 1
        outcomes.append(outcome)
    ((found,),) = node.sql("SELECT COUNT(*) FROM storage_damagedfile WHERE sop_instance_uid = %s", [broken])
    assert found == 1, "the damaged file is not listed"
    return outcomes


def print_line(where: TextIO, text: str) -> None:
    where.write(f"{text}\n")


def tell(outcomes: list[Outcome], say: Callable[[str], None]) -> None:
    for each in outcomes:
        say(
            f"{each.references} references on {each.route}: answered after {each.acknowledged:.2f} s, reported after "
            f"{each.seconds:.1f} s, {len(each.failed)} not committed, the listener grew by {each.growth} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=5000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pacs-commitment-") as folder,
        node_on(chosen.database, Path(folder), PACS_PROCESSES="1", PACS_COMMITMENT_WAIT="0") as (node, _),
    ):
        node.start()
        outcomes = run(node, Path(folder) / "files", references=chosen.references, many=chosen.many)
        tell(outcomes, lambda line: print_line(sys.stdout, line))


if __name__ == "__main__":
    main()
