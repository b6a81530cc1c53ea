"""DICOM on a bare socket (PS3.8 9.3, PS3.7 E): every byte is ours to get wrong, and nothing of the product is used."""

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
COMMAND, LAST = 1, 2


class Ended(Exception):
    """The peer closed the connection."""


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """`length` is for lies."""
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_rq(
    contexts: Sequence[tuple[str, Sequence[str]]],
    *,
    calling: str = "HOSTILE",
    called: str = "PACS",
    maximum: int = 16384,
) -> bytes:
    """Contexts get the IDs 1, 3, 5, ..."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, syntaxes) in enumerate(contexts):
        body = bytes([number * 2 + 1, 0, 0, 0]) + _item(0x30, abstract.encode("latin-1"))
        items += _item(0x20, body + b"".join(_item(0x40, syntax.encode("latin-1")) for syntax in syntaxes))
    user = _item(0x51, struct.pack(">I", maximum)) + _item(0x52, b"1.2.826.0.1.3680043.10.1461.9.9")
    body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
    return pdu(ASSOCIATE_RQ, body + items + _item(0x50, user))


def pdv(context: int, flags: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context, flags) + data


def p_data(context: int, flags: int, data: bytes) -> bytes:
    return pdu(P_DATA, pdv(context, flags, data))


def element(tag: int, value: bytes) -> bytes:
    """Of group 0000: Implicit VR Little Endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def uid(value: str) -> bytes:
    raw = value.encode("latin-1")
    return raw + b"\0" * (len(raw) % 2)


def command(fields: dict[int, bytes]) -> bytes:
    body = b"".join(element(tag, fields[tag]) for tag in sorted(fields))
    return element(0, struct.pack("<I", len(body))) + body


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def echo_rq(message_id: int = 1) -> bytes:
    return command({0x0002: uid(VERIFICATION), 0x0100: us(0x0030), 0x0110: us(message_id), 0x0800: us(0x0101)})


def store_rq(sop_instance_uid: str, *, sop_class_uid: str = CT_IMAGE_STORAGE, message_id: int = 1) -> bytes:
    return command(
        {
            0x0002: uid(sop_class_uid),
            0x0100: us(0x0001),
            0x0110: us(message_id),
            0x0700: us(0),
            0x0800: us(0x0000),
            0x1000: uid(sop_instance_uid),
        }
    )


def find_rq(message_id: int = 1) -> bytes:
    fields = {
        0x0002: uid(STUDY_ROOT_FIND),
        0x0100: us(0x0020),
        0x0110: us(message_id),
        0x0700: us(0),
        0x0800: us(0x0000),
    }
    return command(fields)


def fields_of(command_set: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 8 <= len(command_set):
        group, number, length = struct.unpack_from("<HHI", command_set, at)
        found[group << 16 | number] = command_set[at + 8 : at + 8 + length]
        at += 8 + length
    return found


@dataclass(frozen=True, slots=True)
class Pdu:
    kind: int
    body: bytes


class Line:
    """A connection to the server under attack."""

    def __init__(self, address: tuple[str, int], *, timeout: float = 30) -> None:
        self.sock = socket.create_connection(address, timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended from error

    def read(self) -> Pdu:
        """One PDU. Raises Ended when the connection is closed, TimeoutError when nothing comes."""
        kind, length = struct.unpack(">BxI", self._exactly(6))
        return Pdu(kind, self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            try:
                more = self.sock.recv(size - len(got))
            except ConnectionResetError as error:
                raise Ended from error
            if not more:
                raise Ended
            got += more
        return bytes(got)

    def associate(self, *contexts: tuple[str, Sequence[str]], calling: str = "HOSTILE", called: str = "PACS") -> Pdu:
        self.send(associate_rq(contexts or [(VERIFICATION, [IMPLICIT])], calling=calling, called=called))
        return self.read()

    def response(self) -> dict[int, bytes]:
        """The command set of the next message, which must fit one PDV."""
        answer = self.read()
        if answer.kind != P_DATA:
            raise AssertionError(f"a PDU of type {answer.kind}, not a response")
        length = struct.unpack_from(">I", answer.body)[0]
        return fields_of(answer.body[6 : 4 + length])

    def status(self) -> int:
        return int.from_bytes(self.response()[0x0900], "little")

    def echo(self) -> int:
        self.send(p_data(1, COMMAND | LAST, echo_rq()))
        return self.status()

    def release(self) -> None:
        self.send(pdu(RELEASE_RQ, bytes(4)))
        self.read()

    def fate(self) -> str:
        """How the server ends it: `aborted`, `rejected`, `closed`, or `open` when it does nothing until the timeout."""
        try:
            while True:
                answer = self.read()
                if answer.kind in (ABORT, ASSOCIATE_RJ):
                    return {ABORT: "aborted", ASSOCIATE_RJ: "rejected"}[answer.kind]
        except Ended:
            return "closed"
        except TimeoutError:
            return "open"


def echo(address: tuple[str, int], *, calling: str = "NEIGHBOUR", called: str = "PACS", timeout: float = 1.0) -> float:
    """Seconds of a whole C-ECHO: connect, associate, echo, release. TimeoutError beyond `timeout` at any step."""
    begin = time.monotonic()
    with Line(address, timeout=timeout) as line:
        if line.associate(calling=calling, called=called).kind != ASSOCIATE_AC:
            raise AssertionError("not accepted")
        if line.echo() != 0:
            raise AssertionError("echo failed")
        line.release()
    return time.monotonic() - begin
