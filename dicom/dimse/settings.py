"""Deadlines and caps of an association. Every one can be set; the defaults suit a hospital network."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None waits for ever."""

    connect: float | None = 10
    """Requestor: until the TCP connection stands."""
    acse: float | None = 30
    """TLS handshake and association request together, or its answer (the ARTIM timer of PS3.8 9.1.5)."""
    pdu: float | None = 30
    """From a PDU's first byte to its last, however slowly the bytes come."""
    dimse: float | None = 60
    """Between the fragments of a message, and for each response to a request of ours."""
    idle: float | None = 600
    """Between two messages of the peer."""
    release: float | None = 10
    """For the answer to our release request."""
    send: float | None = 60
    """For the peer to take the next 64 KiB (or the rest) of what we send."""

    def tick(self) -> float:
        """How long one blocking call may sleep: deadlines and the order to stop are looked at in between."""
        shortest = min((t for t in (self.acse, self.pdu, self.dimse, self.idle, self.send) if t), default=2.0)
        return min(0.5, max(0.01, shortest / 4))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes."""

    maximum_length: int = 262144
    """Maximum length of a P-DATA-TF PDU that we offer (PS3.8 D.1); 0 is unlimited. Unlimited peers are sent as much."""
    pdu_cap: int = 1 << 20
    """Longer P-DATA-TF PDUs end the association: some peers exceed what was offered a little, none by this much."""
    association_cap: int = 1 << 18
    """Longest A-ASSOCIATE PDU that is read."""
    command_cap: int = 1 << 16
    """Longest command set, its fragments' headers included."""
    identifier_cap: int = 1 << 24
    """Longest data set that `Message.read()` gathers in memory."""
    data_set_cap: int | None = None
    """Longest data set that is received at all; None leaves it to the handler."""
    buffer: int = 1 << 19
    """The receive buffer grows up to this; longer PDUs are streamed through it."""

    @property
    def longest_pdu(self) -> int:
        """What is read at all: never less than what was offered."""
        return max(self.pdu_cap, self.maximum_length) if self.maximum_length else 0xFFFFFFFF
