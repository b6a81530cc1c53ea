"""A server of ours for a test, and what its handlers do."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from dicom.dimse import Accept, AssociateRequest, Association, Message, Reject, SimpleAcceptor, ThreadedServer, Timeouts
from tests.campaigns.wire import CT_IMAGE_STORAGE, EXPLICIT, IMPLICIT, STUDY_ROOT_FIND, VERIFICATION

STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
PROCEDURE_STEP = "1.2.840.10008.3.1.2.3.3"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"

BRISK = Timeouts(connect=5, acse=20, pdu=0.4, dimse=0.4, idle=20, release=1, send=5)
"""Deadlines that a test can wait for, once it is associated."""
HURRIED = Timeouts(acse=0.4)
"""And for the association itself."""

Handler = Callable[[Association, Message], None]


def echo(assoc: Association, message: Message) -> None:
    assoc.respond(message, 0)


class Store:
    """Keeps what it is sent, by SOP Instance UID."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.contexts: dict[str, str] = {}

    def __call__(self, assoc: Association, message: Message) -> None:
        uid = message.command.affected_sop_instance_uid
        self.data[uid] = b"".join(bytes(view) for views in message.fragments() for view in views)
        self.contexts[uid] = message.context.transfer_syntax
        assoc.respond(message, 0)


class Recorder(SimpleAcceptor):
    """Echo, Store and whatever is added; remembers how every connection went."""

    def __init__(self, services: dict[str, tuple[Sequence[str], Handler]] | None = None) -> None:
        self.store = Store()
        super().__init__(
            {
                VERIFICATION: ([IMPLICIT, EXPLICIT], echo),
                CT_IMAGE_STORAGE: ([EXPLICIT, IMPLICIT], self.store),
                **(services or {}),
            }
        )
        self.requests: list[AssociateRequest] = []
        self.associations: list[Association] = []

    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        self.requests.append(request)
        return super().negotiate(request, address)

    def begin(self, assoc: Association) -> None:
        self.associations.append(assoc)

    def outcome(self) -> str:
        """Of the only connection there was, once it has ended."""
        wait_for(lambda: self.outcomes)
        (outcome,) = self.outcomes
        return outcome


class Running:
    """A started server with its acceptor."""

    def __init__(self, acceptor: Recorder, **options: Any) -> None:
        self.acceptor = acceptor
        self.server = ThreadedServer(("127.0.0.1", 0), acceptor, **options)
        self.server.start()
        self.port = self.server.port
        self.address = ("127.0.0.1", self.port)


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("It has not come to pass")
        time.sleep(0.01)


__all__ = [
    "BRISK",
    "COMMITMENT_INSTANCE",
    "CT_IMAGE_STORAGE",
    "EXPLICIT",
    "HURRIED",
    "IMPLICIT",
    "JPEG_LOSSLESS",
    "PROCEDURE_STEP",
    "STORAGE_COMMITMENT",
    "STUDY_ROOT_FIND",
    "STUDY_ROOT_GET",
    "STUDY_ROOT_MOVE",
    "VERIFICATION",
    "Recorder",
    "Running",
    "Store",
    "echo",
    "wait_for",
]
