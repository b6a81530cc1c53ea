"""A C-MOVE destination that does what a test wants it to."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from dicom.dimse import Association, Message, SimpleAcceptor, ThreadedServer, Timeouts
from dicom.dimse.negotiation import CALLED_AE_TITLE_NOT_RECOGNIZED
from tests.storage.made import CT, EXPLICIT, IMPLICIT


@dataclass(frozen=True, slots=True)
class Arrived:
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes
    originator: tuple[str, int | None]


@dataclass
class Receiver:
    """`answer` gives the status for the n-th instance, from 0 on; it may also wait or raise."""

    answer: Callable[[int, Association], int] = lambda number, assoc: 0
    sop_classes: tuple[str, ...] = (CT,)
    transfer_syntaxes: tuple[str, ...] = (EXPLICIT, IMPLICIT)
    maximum_associations: int = 64
    refuse: bool = False
    arrived: list[Arrived] = field(default_factory=list)

    def __enter__(self) -> Self:
        services = {uid: (self.transfer_syntaxes, self._store) for uid in self.sop_classes}
        self.acceptor = SimpleAcceptor(services)
        self.stopping = threading.Event()
        negotiate = self.acceptor.negotiate
        self.acceptor.negotiate = lambda request, address: (  # type: ignore[method-assign]
            CALLED_AE_TITLE_NOT_RECOGNIZED if self.refuse else negotiate(request, address)
        )
        self._server = ThreadedServer(
            ("127.0.0.1", 0),
            self.acceptor,
            timeouts=Timeouts(dimse=30, idle=30),
            maximum_associations=self.maximum_associations,
        )
        self._server.start()
        self.port = self._server.port
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.stop()

    def hang(self) -> int:
        self.stopping.wait(60)
        return 0

    def _store(self, assoc: Association, message: Message) -> None:
        command = message.command
        data_set = message.read()
        number = len(self.arrived)
        self.arrived.append(
            Arrived(
                command.affected_sop_instance_uid,
                message.context.transfer_syntax,
                data_set,
                (command.move_originator_ae_title, command.move_originator_message_id),
            )
        )
        assoc.respond(message, self.answer(number, assoc))
