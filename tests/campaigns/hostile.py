"""Peers that break the rules; while they do, a neighbour's C-ECHO is answered: `python -m tests.campaigns.hostile`."""

import argparse
import contextlib
import random
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns import wire
from tests.campaigns.wire import COMMAND, LAST, P_DATA, Ended, Line, p_data, pdu
from tests.node import Node

ENDED = {"aborted", "closed", "rejected"}


@dataclass(frozen=True, slots=True)
class Pace:
    """Deadlines of the listener under attack, and how slow the attackers are; seconds."""

    acse: int = 30
    pdu: int = 30
    dimse: int = 60
    drip: float = 5.0
    echo: float = 1.0

    @property
    def patience(self) -> float:
        """By when the server must have ended what breaks any of its deadlines."""
        return max(self.acse, self.pdu, self.dimse) * 2 + 10


BRISK = Pace(acse=2, pdu=2, dimse=2, drip=0.4, echo=5.0)  # in the suite, on a machine busy with other tests


@dataclass(frozen=True, slots=True)
class Target:
    address: tuple[str, int]
    pace: Pace

    def line(self) -> Line:
        return Line(self.address, timeout=self.pace.patience)

    @contextlib.contextmanager
    def associated(self, *contexts: tuple[str, list[str]]) -> Iterator[Line]:
        with self.line() as line:
            accepted = line.associate(*contexts)
            if accepted.kind != wire.ASSOCIATE_AC:
                raise AssertionError(f"not accepted: {accepted}")
            yield line


def is_ended(line: Line) -> None:
    fate = line.fate()
    if fate not in ENDED:
        raise AssertionError(f"the server left it {fate}")


def says_nothing(target: Target) -> None:
    with target.line() as line:
        is_ended(line)


def says_one_byte(target: Target) -> None:
    with target.line() as line:
        line.send(b"\x01")
        is_ended(line)


def drips(target: Target, data: bytes, line: Line) -> None:
    with contextlib.suppress(Ended):
        for number in range(len(data)):
            line.send(data[number : number + 1])
            time.sleep(target.pace.drip)
    is_ended(line)


def drips_an_association_request(target: Target) -> None:
    with target.line() as line:
        drips(target, wire.associate_rq([(wire.VERIFICATION, [wire.IMPLICIT])])[:60], line)


def drips_a_message(target: Target) -> None:
    with target.associated() as line:
        drips(target, p_data(1, COMMAND | LAST, wire.echo_rq())[:60], line)


def stops_in_the_middle_of_a_message(target: Target) -> None:
    """The command has come, the data set never does."""
    with target.associated((wire.STUDY_ROOT_FIND, [wire.IMPLICIT])) as line:
        line.send(p_data(1, COMMAND | LAST, wire.find_rq()))
        is_ended(line)


def connects_five_hundred_times(target: Target) -> None:
    lines = []
    try:
        for _ in range(500):
            # More than the server holds may be turned away, but it must say so.
            with contextlib.suppress(ConnectionResetError):
                lines.append(target.line())
        for line in lines:
            is_ended(line)
    finally:
        for line in lines:
            line.close()


def claims_no_length(target: Target) -> None:
    for kind in range(1, 8):
        with target.line() as line:
            line.send(pdu(kind, b""))
            is_ended(line)
    with target.associated() as line:
        line.send(pdu(P_DATA, b""))
        is_ended(line)


def claims_four_gigabytes(target: Target) -> None:
    for kind in (wire.ASSOCIATE_RQ, P_DATA):
        with target.line() as line:
            line.send(pdu(kind, b"", 0xFFFFFFFF))
            is_ended(line)
    with target.associated() as line:
        with contextlib.suppress(Ended):
            line.send(pdu(P_DATA, b"", 0xFFFFFFFF))
            for _ in range(64):
                line.send(bytes(65536))
        is_ended(line)
    for length in (0, 1, 0xFFFFFFFF):  # of the PDV inside
        with target.associated() as line:
            line.send(pdu(P_DATA, struct.pack(">IBB", length, 1, COMMAND) + bytes(100)))
            is_ended(line)


def never_ends_a_command(target: Target) -> None:
    for data in (bytes(8192), b""):
        with target.associated() as line:
            with contextlib.suppress(Ended):
                for _ in range(200_000):
                    line.send(p_data(1, COMMAND, data) * 8)
            is_ended(line)


def never_ends_an_identifier(target: Target) -> None:
    with target.associated((wire.STUDY_ROOT_FIND, [wire.IMPLICIT])) as line:
        with contextlib.suppress(Ended):
            line.send(p_data(1, COMMAND | LAST, wire.find_rq()))
            for _ in range(8192):
                line.send(p_data(1, 0, bytes(16000)))
        is_ended(line)


def speaks_out_of_turn(target: Target) -> None:
    request = wire.associate_rq([(wire.VERIFICATION, [wire.IMPLICIT])])
    echo = p_data(1, COMMAND | LAST, wire.echo_rq())
    for first in (echo, pdu(wire.ASSOCIATE_AC, request[6:]), pdu(wire.RELEASE_RQ, bytes(4)), pdu(9, bytes(4))):
        with target.line() as line:
            line.send(first)
            is_ended(line)
    for second in (request, pdu(wire.ASSOCIATE_AC, request[6:]), pdu(wire.RELEASE_RP, bytes(4)), pdu(0, b"")):
        with target.associated() as line:
            line.send(second)
            is_ended(line)
    with target.associated() as line:  # data of a message of which there was no command
        line.send(p_data(1, LAST, bytes(100)))
        is_ended(line)


def sends_garbage(target: Target) -> None:
    chance = random.Random(7)
    for _ in range(20):
        with target.line() as line:
            with contextlib.suppress(Ended):
                line.send(chance.randbytes(2000))
            line.sock.shutdown(1)
            is_ended(line)
    for _ in range(20):
        with target.associated() as line:
            with contextlib.suppress(Ended):
                line.send(p_data(1, COMMAND | LAST, chance.randbytes(500)))
                line.send(chance.randbytes(500))
                line.sock.shutdown(1)
            is_ended(line)


def uses_a_context_never_negotiated(target: Target) -> None:
    for context in (3, 0, 2, 255):
        with target.associated() as line:
            line.send(p_data(context, COMMAND | LAST, wire.echo_rq()))
            is_ended(line)


def speaks_http(target: Target) -> None:
    for request in (
        b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
    ):
        with target.line() as line:
            line.send(request)
            is_ended(line)


BAD_UIDS = (
    "../../x",
    "1.2.3/../../../../etc/passwd",
    "1." + "2" * 64,
    "",
    "1.2.\0.3",
    "1.2.x",
    "%2e%2e%2f",
    "1.2;DROP TABLE",
)


def names_bad_uids(target: Target) -> None:
    """In the negotiation, in the command and in the data set."""
    with target.line() as line:
        fate = line.associate(*((bad, [bad]) for bad in BAD_UIDS))
        if fate.kind not in (wire.ASSOCIATE_AC, wire.ASSOCIATE_RJ, wire.ABORT):
            raise AssertionError(f"answered with {fate}")
    with target.associated((wire.CT_IMAGE_STORAGE, [wire.EXPLICIT])) as line:
        good = "1.2.826.0.1.3680043.10.1461.9.9.1"
        for bad in BAD_UIDS:
            for affected, in_data_set in ((bad, bad), (bad, good), (good, bad)):
                status = store(line, wire.store_rq(affected), ct_with(in_data_set))
                if status == 0 or status >> 8 not in (0xA9, 0xC0, 0x01):
                    raise AssertionError(f"{affected!r} with {in_data_set!r} answered {status:04X}")


def store(line: Line, command: bytes, data_set: bytes) -> int:
    line.send(p_data(1, COMMAND | LAST, command))
    for start in range(0, len(data_set), 16000):
        last = LAST if start + 16000 >= len(data_set) else 0
        line.send(p_data(1, last, data_set[start : start + 16000]))
    return line.status()


def _explicit(tag: int, vr: str, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def ct_with(sop_instance_uid: str, rest: bytes = b"") -> bytes:
    """A data set in Explicit VR Little Endian that has what identifies an image, and `rest` behind it."""
    return (
        _explicit(0x00080016, "UI", wire.uid(wire.CT_IMAGE_STORAGE))
        + _explicit(0x00080018, "UI", wire.uid(sop_instance_uid))
        + _explicit(0x00100010, "PN", b"Nested^Deep ")
        + _explicit(0x00100020, "LO", b"HOSTILE1")
        + _explicit(0x0020000D, "UI", wire.uid("1.2.826.0.1.3680043.10.1461.9.9.10"))
        + _explicit(0x0020000E, "UI", wire.uid("1.2.826.0.1.3680043.10.1461.9.9.11"))
        + rest
    )


def nests_ten_thousand_deep(target: Target) -> None:
    undefined = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    with target.associated((wire.CT_IMAGE_STORAGE, [wire.EXPLICIT])) as line:
        for number, rest in enumerate((undefined * 10_000 + ends * 10_000, undefined * 10_000)):
            name = f"1.2.826.0.1.3680043.10.1461.9.9.2.{number + 1}"
            store(line, wire.store_rq(name, message_id=number + 1), ct_with(name, rest))
        name = "1.2.826.0.1.3680043.10.1461.9.9.3"
        if store(line, wire.store_rq(name), ct_with(name)) != 0:
            raise AssertionError("a good instance after the nested ones was refused")
    implicit = struct.pack("<HHI", 0x0040, 0x0275, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    identifier = wire.element(0x00080052, b"STUDY ") + implicit * 10_000 + ends * 10_000
    with target.associated((wire.STUDY_ROOT_FIND, [wire.IMPLICIT])) as line:
        status = store(line, wire.find_rq(), identifier)
        if status == 0xFF00:
            raise AssertionError("an identifier nested 10,000 deep has matches")


ATTACKS: tuple[Callable[[Target], None], ...] = (
    says_nothing,
    says_one_byte,
    drips_an_association_request,
    drips_a_message,
    stops_in_the_middle_of_a_message,
    connects_five_hundred_times,
    claims_no_length,
    claims_four_gigabytes,
    never_ends_a_command,
    never_ends_an_identifier,
    speaks_out_of_turn,
    sends_garbage,
    uses_a_context_never_negotiated,
    speaks_http,
    names_bad_uids,
    nests_ten_thousand_deep,
)


def endure(target: Target, attack: Callable[[Target], None]) -> list[float]:
    """Run an attack; the seconds of a neighbour's C-ECHOs meanwhile and afterwards, each of which must be in time."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            attack(target)
        except (AssertionError, OSError, Ended) as error:
            failures.append(error)

    attacker = threading.Thread(target=run, name=attack.__name__)
    attacker.start()
    echoes = []
    while attacker.is_alive():
        echoes.append(wire.echo(target.address, timeout=target.pace.echo))
        attacker.join(0.2)
    echoes.append(wire.echo(target.address, timeout=target.pace.echo))
    if failures:
        raise AssertionError(f"{attack.__name__}: {failures[0]!r}") from failures[0]
    return echoes


def start(node: Node, pace: Pace) -> None:
    """Its listeners have the deadlines of the pace."""
    node.manage("prepare")
    values = [pace.acse, pace.pdu, pace.dimse]
    node.sql("UPDATE network_listener SET acse_timeout = %s, pdu_timeout = %s, dimse_timeout = %s", values)
    node.sql("UPDATE network_configversion SET version = version + 1")
    node.start()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.hostile", description=__doc__)
    parser.add_argument("--brisk", action="store_true", help="short deadlines, as in the suite")
    parser.add_argument("attacks", nargs="*", help="all when none is named")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder)) as node:
        pace = BRISK if chosen.brisk else Pace()
        start(node, pace)
        for attack in ATTACKS:
            if not chosen.attacks or attack.__name__ in chosen.attacks:
                echoes = endure(Target((node.host, node.dimse_port), pace), attack)
                print(f"{attack.__name__}: {len(echoes)} echoes, slowest {max(echoes) * 1000:.0f} ms", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
