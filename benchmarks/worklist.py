"""Modality Worklist with a year of steps and many modalities that ask at once, on PostgreSQL and on SQLite:
`python -m benchmarks.worklist [--steps N] [--associations N] [--seconds N] [--database NAME]`.

As many associations as there are modalities stay open; each asks its next question as soon as the last one is answered,
so that all ask at once, for some seconds before they are measured. Kinds of questions are drawn with equal chances. The
time is that from the request to the final response, all answers read; the client reads PDUs and no more, since
modalities are other machines: what it costs on this one is said.
"""

import argparse
import os
import random
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from benchmarks.peers import REPOSITORY, answers_echo
from benchmarks.processes import Program, free_port
from benchmarks.synthetic import GIVEN
from benchmarks.worklist_values import MODALITIES, STATIONS, accession_number, family, patient_id
from dicom.dictionary import dictionary_vr, tag_of
from dicom.dimse import pdu
from dicom.dimse.command import CommandField, Tag, encode, uid, us
from dicom.dimse.negotiation import AssociateRequest, propose
from dicom.encoding import ElementIn, encode_elements
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, MODALITY_WORKLIST_FIND
from dicom.status import is_pending

_STATUS: Final = b"\0\0\0\x09\x02\0\0\0"  # (0000,0900) in a command set
_OUTSIDE: Final = tuple(
    """
    AccessionNumber PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID RequestingPhysician
    RequestedProcedureDescription RequestedProcedureID RequestedProcedurePriority ReferringPhysicianName
    """.split()  # noqa: SIM905
)
_IN_STEP: Final = tuple(
    """
    Modality ScheduledStationAETitle ScheduledProcedureStepStartDate ScheduledProcedureStepStartTime
    ScheduledPerformingPhysicianName ScheduledProcedureStepDescription ScheduledProcedureStepID ScheduledStationName
    ScheduledProcedureStepLocation
    """.split()  # noqa: SIM905
)
Keys = Mapping[str, str]


def kinds(steps: int, today: date) -> Mapping[str, Callable[[random.Random], Keys]]:
    day = {"ScheduledProcedureStepStartDate": f"{today:%Y%m%d}"}
    return {
        "station, today": lambda rng: {"ScheduledStationAETitle": rng.choice(STATIONS), **day},
        "modality, today": lambda rng: {"Modality": rng.choice(MODALITIES), **day},
        "family name and initial*": lambda rng: {"PatientName": f"{family(rng)}^{rng.choice(GIVEN[0])[0]}*"},
        "patient ID": lambda rng: {"PatientID": patient_id(rng.randrange(1, steps * 2 // 5))},
        "accession number": lambda rng: {"AccessionNumber": accession_number(rng.randrange(1, steps))},
    }


def identifier(keys: Keys) -> bytes:
    step = _elements({**dict.fromkeys(_IN_STEP, ""), **{name: keys[name] for name in keys if name in _IN_STEP}})
    outside = {**dict.fromkeys(_OUTSIDE, ""), **{name: keys[name] for name in keys if name not in _IN_STEP}}
    code = (_tag("RequestedProcedureCodeSequence"), "SQ", None)
    sequence = (_tag("ScheduledProcedureStepSequence"), "SQ", [step])
    return encode_elements(sorted([*_elements(outside), code, sequence], key=_by_tag), EXPLICIT_VR_LITTLE_ENDIAN)


def _elements(keys: Keys) -> list[ElementIn]:
    return sorted(((_tag(name), dictionary_vr(_tag(name)), text.encode()) for name, text in keys.items()), key=_by_tag)


def _tag(keyword: str) -> int:
    return tag_of(keyword) or 0


def _by_tag(element: ElementIn) -> int:
    return element[0]


def request(keys: Keys, message_id: int) -> bytes:
    """The PDUs of a C-FIND request."""
    command = encode(
        {
            Tag.AFFECTED_SOP_CLASS_UID: uid(MODALITY_WORKLIST_FIND),
            Tag.COMMAND_FIELD: us(CommandField.C_FIND),
            Tag.MESSAGE_ID: us(message_id),
            Tag.PRIORITY: us(0),
            Tag.COMMAND_DATA_SET_TYPE: us(1),
        }
    )
    parts = ((command, pdu.IS_COMMAND | pdu.IS_LAST), (identifier(keys), pdu.IS_LAST))
    return b"".join(
        pdu.PDATA_HEADER.pack(pdu.P_DATA_TF, 0, len(part) + 6, len(part) + 2, 1, flags) + part for part, flags in parts
    )


class Modality:
    """One association that asks again and again."""

    def __init__(self, port: int, number: int, questions: Mapping[str, Callable[[random.Random], Keys]]) -> None:
        self._random = random.Random(f"modality {number}")
        self._questions = questions
        self._received = bytearray()
        self.kind, self._begun, self._asked = "", 0.0, 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        contexts = propose([(MODALITY_WORKLIST_FIND, [EXPLICIT_VR_LITTLE_ENDIAN])])
        self.socket.sendall(pdu.encode_request(AssociateRequest(STATIONS[number % len(STATIONS)], "PACS", contexts)))
        kind, length = pdu.HEADER.unpack(self.socket.recv(pdu.HEADER.size, socket.MSG_WAITALL))
        if kind != pdu.A_ASSOCIATE_AC:
            raise SystemExit("The association was refused")
        self.socket.recv(length, socket.MSG_WAITALL)

    def ask(self) -> None:
        self.kind, self._asked = self._random.choice(list(self._questions)), self._asked % 0xFFFF + 1
        asked = request(self._questions[self.kind](self._random), self._asked)
        self._begun = time.perf_counter()
        self.socket.sendall(asked)

    def heard(self) -> tuple[float, int] | None:
        """Seconds that the question took and the status of the last response, when that is among what was read."""
        self._received += self.socket.recv(1 << 18)
        position = 0
        final: int | None = None
        while position + pdu.HEADER.size <= len(self._received):
            _, length = pdu.HEADER.unpack_from(self._received, position)
            end = position + pdu.HEADER.size + length
            if end > len(self._received):
                break
            if self._received[position + 11] & pdu.IS_COMMAND:
                at = self._received.rfind(_STATUS, position, end) + len(_STATUS)
                status = int.from_bytes(self._received[at : at + 2], "little")
                final = None if is_pending(status) else status
            position = end
        del self._received[:position]
        return None if final is None else (time.perf_counter() - self._begun, final)


@dataclass(slots=True)
class Measured:
    seconds: float
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: int = 0
    cpu: float = 0.0  # of the client

    def lines(self, database: str, cpu: float) -> list[str]:
        total = sum(map(len, self.took.values()))
        ours, client = (seconds / total * 1000 for seconds in (cpu, self.cpu))
        lines = [
            f"| **{database}**, {total / self.seconds:,.0f} queries/s, {ours:.2f} ms CPU each"
            f" (the client beside it {client:.2f} ms) | | |"
        ]
        for kind, values in sorted(self.took.items()):
            values.sort()
            p50, p95 = (values[int(len(values) * part)] * 1000 for part in (0.5, 0.95))
            lines.append(f"| {kind} | {p50:.1f} | {p95:.1f} |")
        return lines


class Crowd:
    """Modalities that all ask at once, on associations that stay open from one run to the next."""

    def __init__(self, port: int, associations: int, steps: int, today: date) -> None:
        questions = kinds(steps, today)
        self._modalities = [Modality(port, number, questions) for number in range(associations)]
        self._selector = selectors.DefaultSelector()
        for modality in self._modalities:
            self._selector.register(modality.socket, selectors.EVENT_READ, modality)
            modality.ask()

    def run(self, seconds: float) -> Measured:
        measured = Measured(seconds)
        begun, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() < begun + seconds:
            for key, _ in self._selector.select(timeout=1):
                modality = key.data
                answered = modality.heard()
                if answered is not None:
                    measured.took[modality.kind].append(answered[0])
                    measured.failed += answered[1] != 0
                    modality.ask()
        measured.cpu = time.process_time() - cpu
        return measured

    def close(self) -> None:
        self._selector.close()
        for modality in self._modalities:
            modality.socket.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worklist", description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--associations", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), action="append")
    options = parser.parse_args()
    chosen = options.database or ["postgresql", "sqlite"]
    if "postgresql" in chosen and not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        wrapper = [str(REPOSITORY / "script" / "postgres"), sys.executable, "-m", "benchmarks.worklist", *sys.argv[1:]]
        sys.exit(subprocess.run(wrapper, cwd=REPOSITORY).returncode)
    print(
        f"| {options.steps:,} steps, {options.associations} at once | p50, ms | p95, ms |", "|---|---:|---:|", sep="\n"
    )
    for database in chosen:
        with tempfile.TemporaryDirectory(prefix="pacs-worklist-") as folder:
            _measure(database, Path(folder), options)


def _measure(database: str, folder: Path, options: argparse.Namespace) -> None:
    port, today = free_port(), date.today()
    environment = {"PACS_DATA": str(folder), "PACS_DIMSE": f"127.0.0.1:{port}", "PACS_LOG_FILE": "off"}
    environment["DATABASE_URL"] = os.environ["DATABASE_URL"] if database == "postgresql" else ""
    merged = {**os.environ, **environment}
    for command in (["manage.py", "prepare"], ["-m", "benchmarks.worklist_orders", str(options.steps), f"{today}"]):
        subprocess.run([sys.executable, *command], cwd=REPOSITORY, env=merged, check=True, stdout=subprocess.DEVNULL)
    argv = [sys.executable, str(REPOSITORY / "manage.py"), "listeners"]
    server = Program(argv=argv, folder=folder / "listeners", environment=environment)
    server.start()
    try:
        while not answers_echo(port, "PACS"):
            time.sleep(0.2)
        crowd = Crowd(port, options.associations, options.steps, today)
        crowd.run(min(5, options.seconds))
        before = server.cpu_seconds()
        measured = crowd.run(options.seconds)
        print("\n".join(measured.lines(database, server.cpu_seconds() - before)), flush=True)
        if measured.failed:
            raise SystemExit(f"{measured.failed} queries failed")
        crowd.close()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
