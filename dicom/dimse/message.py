"""Messages: what the peer asked, and what it answered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicom import status as statuses
from dicom.dimse.command import Command
from dicom.dimse.errors import DataSetTooLong, Failed
from dicom.dimse.negotiation import Context

if TYPE_CHECKING:
    from dicom.dimse.exchange import Exchange


class Message:
    """A command set and the data set that follows it, which is still on the wire until it is read."""

    __slots__ = ("_exchange", "_state", "answered", "command", "context", "size")

    def __init__(self, exchange: "Exchange", context: Context, command: Command) -> None:
        self._exchange = exchange
        self._state = "unread" if command.has_data_set else "empty"
        self.context = context
        self.command = command
        self.size = 0  # bytes of the data set so far, counted when there is a cap
        self.answered = False
        """Whether a response that is not pending was sent."""

    def __repr__(self) -> str:
        return f"<Message {self.command.name} {self.command.message_id}>"

    def fragments(self) -> Iterator[list[memoryview]]:
        """The data set as it arrives, once: each list is what one read of the socket brought, at most IOV_MAX slices of
        the receive buffer. They are released when the next list is asked for. Raises AssociationEnded."""
        if self._state == "empty":
            return iter(())
        if self._state != "unread":
            raise RuntimeError("A data set can be read once, and before its response is sent")
        self._state = "reading"
        return self._exchange.fragments(self)

    def read(self, cap: int | None = None) -> bytes:
        """The whole data set. Raises DataSetTooLong beyond `cap` bytes (default `Limits.identifier_cap`)."""
        cap = self._exchange.limits.identifier_cap if cap is None else cap
        gathered, size = [], 0
        for views in self.fragments():
            size += sum(map(len, views))
            if size > cap:
                raise DataSetTooLong(f"The data set is longer than {cap} bytes")
            gathered.append(b"".join(views))
        return b"".join(gathered)


@dataclass(frozen=True, slots=True)
class Response:
    """What the peer answered."""

    status: int
    command: Command
    data_set: bytes | None = None

    def check(self) -> None:
        """Raises Failed for what is neither success nor a warning nor pending."""
        status = self.status
        if not (statuses.is_success(status) or statuses.is_warning(status) or statuses.is_pending(status)):
            raise Failed(status, self.command.error_comment, error_id=self.command.error_id)
