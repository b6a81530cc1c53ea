"""Kill the listeners after each acknowledged N-CREATE and N-SET: `python -m tests.campaigns.mpps_kill --kills 200`.

What was acknowledged is the state of the performed step and of its scheduled one ever after; it never goes backwards.
A third of the kills come before the acknowledgement, within the transaction: the modality reports again, as it would.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from dicom.datasets import SYNTAXES, encode
from dicom.dimse import DimseError, associate
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from tests.campaigns.kill import node_on
from tests.mpps.reporting import begun, ended, scheduled
from tests.node import COMMANDS, Node, wait_for, wait_gone

ORDER = {"IN PROGRESS": 1, "COMPLETED": 2, "DISCONTINUED": 2}
SCHEDULED = {"IN PROGRESS": "STARTED", "COMPLETED": "COMPLETED", "DISCONTINUED": "DISCONTINUED"}


@dataclass
class Campaign:
    node: Node
    acknowledged: dict[str, str] = field(default_factory=dict)  # state by UID
    kills: int = 0

    def start(self, failpoint: str = "") -> None:
        self.node.environment["PACS_FAILPOINT"] = failpoint
        self.node.run("listeners", COMMANDS["listeners"])
        wait_for(self.node.answers, what="the listeners answer")

    def kill(self) -> None:
        """All of them, at once, whatever they are doing."""
        below = self.node.descendants("listeners")
        for process in below:
            process.kill()
        self.node.kill("listeners")
        wait_gone(below)
        self.kills += 1

    def report(self, number: int, state: str) -> bool:
        """An N-CREATE or the final N-SET of a modality; whether it was acknowledged, or had been done before."""
        uid = f"1.2.9.{number}"
        contexts = [(MPPS, SYNTAXES)]
        try:
            with associate(
                self.node.host,
                self.node.dimse_port,
                calling_ae_title="CT1",
                called_ae_title=self.node.ae_title,
                contexts=contexts,
            ) as assoc:
                context = assoc.accepted_context(MPPS)
                if state == "IN PROGRESS":
                    item = scheduled(StudyInstanceUID=f"1.2.826.{number}", ScheduledProcedureStepID=f"S{number}")
                    data = encode(begun(item, PatientID=f"P{number}"), context.transfer_syntax)
                    status = assoc.n_create(context=context, sop_class_uid=MPPS, sop_instance_uid=uid, data=data).status
                    done = status in (0x0000, 0x0111)
                else:
                    data = encode(ended(state, f"1.5.{number}"), context.transfer_syntax)
                    status = assoc.n_set(context=context, sop_class_uid=MPPS, sop_instance_uid=uid, data=data).status
                    done = status in (0x0000, 0x0110)
                assert done, f"{uid} {state}: {status:04X}"
                self.acknowledged[uid] = state
                self.kill()  # before the modality can release
        except DimseError:
            pass  # the association went with the listeners
        return uid in self.acknowledged and self.acknowledged[uid] == state

    def check(self) -> None:
        """The rows say what was acknowledged, or, where the answer was lost, what came after it."""
        for uid, state, revision in self.node.sql(
            "SELECT sop_instance_uid, status, revision FROM mpps_performedprocedurestep"
        ):
            known = self.acknowledged.get(uid)
            assert known is None or ORDER[state] >= ORDER[known], f"{uid}: {known} became {state}"
            assert revision == ORDER[state], f"{uid}: revision {revision} of {state}"
        rows = dict(self.node.sql("SELECT sop_instance_uid, status FROM mpps_performedprocedurestep"))
        steps = dict(self.node.sql("SELECT scheduled_procedure_step_id, status FROM worklist_scheduledprocedurestep"))
        for uid in self.acknowledged:
            assert uid in rows, f"{uid} is lost"
            step = f"S{uid.rpartition('.')[2]}"
            assert steps[step] == SCHEDULED[rows[uid]], f"{step} is {steps[step]}, {uid} is {rows[uid]}"


def run(node: Node, kills: int, say: Callable[[str], None]) -> Campaign:
    steps = kills // 2 + 1
    node.shell(
        "from apps.accounts.principal import system\n"
        "from apps.worklist import schedule\n"
        "from apps.worklist.order import Order\n"
        f"for number in range({steps}):\n"
        "    schedule.schedule(principal=system('test'), order=Order(patient_id=f'P{number}', patient_name='Doe', "
        "scheduled_procedure_step_id=f'S{number}', study_instance_uid=f'1.2.826.{number}'))\n"
    )
    campaign = Campaign(node)
    finals = itertools.cycle(["COMPLETED", "DISCONTINUED"])
    for number in range(steps):
        for point, state in (("mpps.create", "IN PROGRESS"), ("mpps.set", next(finals))):
            before = campaign.kills % 3 == 2
            campaign.start(f"{point}:kill:1" if before else "")
            if not campaign.report(number, state):  # killed before the answer: it is not there
                campaign.kill()
                campaign.check()
                campaign.start()
                assert campaign.report(number, state)
            campaign.check()
            if campaign.kills >= kills:
                return campaign
        say(f"{campaign.kills} kills")
    return campaign


def print_line(where: TextIO, text: str) -> None:
    where.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pacs-mpps-") as folder,
        node_on(chosen.database, Path(folder), PACS_PROCESSES="1") as (node, _),
    ):
        node.manage("prepare")
        campaign = run(node, chosen.kills, lambda line: print_line(sys.stderr, line))
        print_line(
            sys.stdout, f"{campaign.kills} kills, {len(campaign.acknowledged)} steps: every acknowledged state survived"
        )


if __name__ == "__main__":
    main()
