"""The kind of job "verify": every file that is kept read again and compared with what was received.

Resumable: the row it has reached stands in the job's result. It reads no faster than it is told to, and what it reads
once in a week does not stay in memory.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields
from apps.failpoints import failpoint
from apps.jobs.kind import Planned
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.storage import examining
from apps.storage.models import Instance, QuarantinedInstance, QuarantineState
from apps.storage.store import Away
from dicom.values import is_uid

KIND: Final = "verify"
RATE: Final = 20  # MiB/s
FASTEST: Final = 10_000
PAGE: Final = 500
MOST: Final = 10_000  # studies in one request
SHOWN: Final = 100  # findings in the result
_TOLD: Final = 2.0  # seconds between two notes of how far it is


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """`{"rate": 50, "study_instance_uids": [...]}`: MiB/s, 0 is as fast as the disks are; all studies where none is
    named. Raises InvalidRequest."""
    said = fields(dict(arguments), "rate", "study_instance_uids")
    rate, uids = said.get("rate", RATE), said.get("study_instance_uids", [])
    if type(rate) not in (int, float) or not 0 <= rate <= FASTEST:
        raise InvalidRequest({"rate": f"MiB/s, 0 to {FASTEST}"})
    if not isinstance(uids, list) or len(uids) > MOST or not all(isinstance(uid, str) and is_uid(uid) for uid in uids):
        raise InvalidRequest({"study_instance_uids": f"a list of at most {MOST} UIDs"})
    return Planned({"rate": rate, "study_instance_uids": uids}, key="" if uids else KIND)


def verify(run: JobRun) -> None:
    _Verification(run).carry_out()


class _Verification:
    def __init__(self, run: JobRun) -> None:
        self.run = run
        self.rate = float(run.arguments.get("rate", RATE)) * (1 << 20)
        self.studies = list(run.arguments.get("study_instance_uids") or ())
        # Without a position it was done to its end, and begins anew.
        before = run.job.result if run.job.result.get("position") else {}
        self.table: int
        self.reached: int
        self.table, self.reached = before.get("position") or (0, 0)
        self.checked, self.bytes = before.get("checked", 0), before.get("bytes", 0)
        self.findings = list(before.get("findings", ()))
        self.damaged = before.get("damaged", 0)
        self.told = time.monotonic()

    def carry_out(self) -> None:
        total = self._count()
        for row in self._rows():
            self.run.check()
            began = time.monotonic()
            try:
                fault = examining.examine(row, found_by=f"job {self.run.job.pk}", watch=self.run.check, from_disk=True)
            except Away as error:
                self._tell(total)
                raise TryAgain(str(error)) from error
            self._note(row, fault)
            failpoint("verify.read")
            if time.monotonic() - self.told > _TOLD:
                self._tell(total)
            if self.rate:
                self._rest(row.size / self.rate - (time.monotonic() - began))
        self._tell(total)
        self.run.result(position=None)
        said = f"{self.checked} files read, {self.bytes >> 20} MiB, {self.damaged} damaged"
        self.run.log(said)
        if self.damaged:
            raise JobError(f"{said}: see the damaged files")
        if self.studies and not self.checked:
            raise JobError("Nothing of what was asked for is here")

    def _tables(self) -> list[Any]:
        current = Instance.objects.all()
        others = QuarantinedInstance.objects.exclude(state=QuarantineState.DISCARDED)
        if self.studies:
            current = current.filter(series__study__study_instance_uid__in=self.studies)
            others = others.filter(study_instance_uid__in=self.studies)
        return [current, others]

    def _count(self) -> int:
        return sum(table.count() for table in self._tables())

    def _rows(self) -> Iterator[Instance | QuarantinedInstance]:
        for number, table in enumerate(self._tables()):
            if number < self.table:
                continue
            if number > self.table:
                self.table, self.reached = number, 0
            while page := list(table.filter(pk__gt=self.reached).order_by("pk")[:PAGE]):
                yield from page

    def _note(self, row: Instance | QuarantinedInstance, fault: str) -> None:
        self.reached = row.pk
        self.checked += 1
        self.bytes += row.size
        if fault:
            self.damaged += 1
            if len(self.findings) < SHOWN:
                self.findings.append({"sop_instance_uid": row.sop_instance_uid, "file": row.name, "fault": fault})

    def _tell(self, total: int) -> None:
        self.told = time.monotonic()
        self.run.result(
            position=[self.table, self.reached],
            checked=self.checked,
            bytes=self.bytes,
            damaged=self.damaged,
            findings=self.findings,
        )
        failpoint("verify.told")
        self.run.progress(min(self.checked, total), total)

    def _rest(self, seconds: float) -> None:
        while seconds > 0:
            self.run.rest(min(seconds, 1.0))
            seconds -= 1.0
