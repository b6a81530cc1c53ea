"""Between the parent and one child: whole messages on a Unix socket; a connection's descriptor goes with its message.

Parent to child: `connection` (with the descriptor), `admitted`, `drop`, `stop`. Child to parent: `admit`, `released`,
`ended`, `leaving`. End of file is the death of the other side.
"""

import json
import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

_LARGEST = 4096  # bytes; names and addresses only


@dataclass(frozen=True, slots=True)
class Note:
    """`connection` is the parent's number of it."""

    what: str
    connection: int = 0
    listener: str = ""
    address: tuple[str, int] = ("", 0)
    peer: str = ""
    limit: int = 0
    allowed: bool = False


class Channel:
    """One end. Sending is safe from any thread: a packet is sent whole or not at all."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    @staticmethod
    def pair() -> "tuple[Channel, Channel]":
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(one), Channel(other)

    def send(self, note: Note, *descriptors: int) -> None:
        """OSError when the other side is gone, BlockingIOError when it does not read (non-blocking end only)."""
        data = json.dumps(asdict(note), separators=(",", ":")).encode()
        socket.send_fds(self.socket, [data], list(descriptors))

    def receive(self) -> tuple[Note, list[int]] | None:
        """The next note, None at the end; BlockingIOError when there is none (non-blocking end only)."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, _LARGEST, 1)
        except ConnectionError:
            return None
        if not data:
            for descriptor in descriptors:
                os.close(descriptor)
            return None
        fields: dict[str, Any] = json.loads(data)
        return Note(**{**fields, "address": tuple(fields["address"])}), descriptors

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()
