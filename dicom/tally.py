"""The C-STORE sub-operations of a C-GET or C-MOVE, counted and reported (PS3.4 C.4.2, C.4.3)."""

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from dicom import status
from dicom.dimse import Association, Message
from dicom.encoding import encode_elements

FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058
_LOGGED: Final = 20  # failures of one request that are logged one by one
_LONGEST_LIST: Final = 65534  # bytes that an explicit UI can hold (PS3.5 7.1.2)

logger = logging.getLogger(__name__)


class Instance(Protocol):
    @property
    def sop_instance_uid(self) -> str: ...


T = TypeVar("T", bound=Instance, covariant=True)


class Found(Protocol[T]):
    """What is to be sent, in this order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[T]: ...


class Tally(Generic[T]):
    """Numbers of sub-operations, and who they failed for, as far as a response can say it."""

    def __init__(self, found: Found[T]) -> None:
        self.completed = self.failed = self.warning = 0
        self.comment = ""  # why the last one failed
        self._found = found
        self._failed_uids: list[str] = []
        self._list_length = 0

    def note(self, sop_instance_uid: str, answer: int, comment: str = "") -> None:
        """The status that one was answered with, or would have been."""
        if status.is_success(answer):
            self.completed += 1
        elif status.is_warning(answer):
            self.warning += 1
        else:
            self.failed += 1
            self.comment = comment
            if self.failed <= _LOGGED:
                why = comment or "no reason given"
                logger.warning("%s could not be sent: status %04X, %s", sop_instance_uid, answer, why)
            self._list(sop_instance_uid)

    def give_up(self, comment: str) -> None:
        """What was not tried has failed too."""
        for row in islice(self._found, len(self._found) - self.remaining, None):
            if self._list_length > _LONGEST_LIST:
                break
            self._list(row.sop_instance_uid)
        if self.remaining:
            logger.warning("%d instances not sent: %s", self.remaining, comment)
        self.failed += self.remaining
        self.comment = comment

    def _list(self, sop_instance_uid: str) -> None:
        """As many as fit, in the order they failed."""
        if self._list_length <= _LONGEST_LIST:
            self._list_length += len(sop_instance_uid) + bool(self._failed_uids)
        if self._list_length <= _LONGEST_LIST:
            self._failed_uids.append(sop_instance_uid)

    @property
    def remaining(self) -> int:
        return len(self._found) - self.completed - self.failed - self.warning

    def run(self, assoc: Association, message: Message, send: Callable[[T], tuple[int, str]]) -> int:
        """One after the other, a response after each, until the requester wants no more; the final status.

        `send` returns status and comment of the C-STORE. Who must answer while one takes its time needs more than this.
        """
        for instance in self._found:
            if assoc.is_cancelled(message):
                return self.finish(assoc, message, cancelled=True)
            self.note(instance.sop_instance_uid, *send(instance))
            self.pending(assoc, message)
        return self.finish(assoc, message, cancelled=False)

    def pending(self, assoc: Association, message: Message) -> None:
        assoc.respond(
            message,
            status.PENDING,
            remaining=self.remaining,
            completed=self.completed,
            failed=self.failed,
            warning=self.warning,
        )

    def finish(self, assoc: Association, message: Message, *, cancelled: bool) -> int:
        """The final response; its status."""
        final = status.CANCEL if cancelled else self._status()
        if self.failed > _LOGGED:
            logger.warning("%d of %d instances could not be sent", self.failed, len(self._found))
        identifier = None
        if self._failed_uids:
            listed = "\\".join(self._failed_uids).encode()
            elements = [(FAILED_SOP_INSTANCE_UID_LIST, "UI", listed)]
            identifier = encode_elements(elements, message.context.transfer_syntax)
        assoc.respond(
            message,
            final,
            data_set=identifier,
            error_comment=self.comment if self.failed else "",
            completed=self.completed,
            failed=self.failed,
            warning=self.warning,
        )
        return final

    def _status(self) -> int:
        if not self.failed and not self.warning:
            return status.SUCCESS
        if not self.completed and not self.warning:
            return status.RETRIEVE_SUBOPERATIONS_FAILED
        return status.RETRIEVE_WARNING
