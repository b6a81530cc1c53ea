"""C-STORE of one instance after the other: while a response is awaited, the next is opened and read."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from apps.storage.encoded import encoded
from apps.storage.sources import Source
from apps.storage.store import Away
from dicom import pixels, reencode, status
from dicom.dimse import PIECE, Association, AssociationEnded, Context, Data, FileSlice, Scratch
from dicom.elements import NATIVE
from dicom.errors import CannotReencode, DicomError
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

log = logging.getLogger(__name__)

MoveOriginator = tuple[str, int]  # AE title, message ID

_FALLBACKS = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, *sorted(NATIVE))


class NotAccepted(DicomError):
    """The receiver has accepted no context for this SOP class."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one instance: the receiver's status, or ours if it did not come that far. `lost`: the association ended before
    there was an answer, so that it is unknown whether the receiver has it. `away`: our own storage did not answer."""

    sop_instance_uid: str
    status: int
    comment: str = ""
    lost: bool = False
    away: bool = False


class Attempt:
    """An instance opened for one association. What leaves as it is stored, and is small, is read here; what must be
    re-encoded only when it is sent, since that may take long."""

    def __init__(self, assoc: Association, source: Source, memory: Scratch) -> None:
        self.assoc, self._source = assoc, source
        self._held = ExitStack()
        self._error: DicomError | OSError | None = None
        self._data: Data | None = None
        try:
            with ExitStack() as held:
                self._opened = opened = held.enter_context(source.open())
                self._context = _context(assoc, source.sop_class_uid, opened.transfer_syntax_uid)
                if self._context.transfer_syntax == opened.transfer_syntax_uid and opened.size <= PIECE:
                    self._data = memory.read(FileSlice(opened.fd, opened.dataset_offset, opened.size))
                else:
                    self._held = held.pop_all()
        except (DicomError, OSError) as error:
            self._error = error

    def send(self, *, move_originator: MoveOriginator | None, meanwhile: Callable[[], object]) -> Outcome:
        """Once. Raises AssociationEnded."""
        uid = self._source.sop_instance_uid
        if self._error is not None:
            return _failed(uid, self._error)
        try:
            with self._held:
                response = self.assoc.c_store(
                    context=self._context,
                    sop_class_uid=self._source.sop_class_uid,
                    sop_instance_uid=uid,
                    data=self._encoded(),
                    move_originator=move_originator,
                    meanwhile=meanwhile,
                )
        except AssociationEnded:
            raise
        except (DicomError, OSError) as error:
            return _failed(uid, error)
        return Outcome(uid, response.status, response.command.error_comment)

    def _encoded(self) -> Data:
        if self._data is None:
            self._data = self._held.enter_context(encoded(self._opened, self._context.transfer_syntax))
        return self._data

    def close(self) -> None:
        self._held.close()


def _context(assoc: Association, sop_class_uid: str, stored: str) -> Context:
    """As stored if the receiver takes that; else with other VRs (WIRE 24); decoded only when nothing else is left."""
    if (context := assoc.context_for(sop_class_uid, stored)) is not None:
        return context
    if assoc.context_for(sop_class_uid) is None:
        raise NotAccepted("The receiver does not accept this SOP class")
    for can in (reencode.can_reencode, pixels.can_decompress):
        for to_syntax in _FALLBACKS:
            context = assoc.context_for(sop_class_uid, to_syntax)
            if context is not None and can(stored, to_syntax):
                return context
    raise CannotReencode("The receiver accepts no transfer syntax this can be sent in")


def _failed(sop_instance_uid: str, error: DicomError | OSError) -> Outcome:
    if isinstance(error, Away):
        return Outcome(sop_instance_uid, status.PROCESSING_FAILURE, str(error), away=True)
    if isinstance(error, OSError):
        log.error("an instance cannot be read to be sent: %s: %s", sop_instance_uid, error)
        return Outcome(sop_instance_uid, status.PROCESSING_FAILURE, "The file cannot be read")
    if isinstance(error, (NotAccepted, CannotReencode)):
        return Outcome(sop_instance_uid, status.SOP_CLASS_NOT_SUPPORTED, str(error))
    return Outcome(sop_instance_uid, status.PROCESSING_FAILURE, str(error))


class Ahead(Iterator[Source]):
    """The sources one by one. `prepare`, for the time until a response, fetches the next one early and opens it, if its
    association is `standing`. A context manager: what was made ready and not sent is closed.
    """

    def __init__(self, sources: Iterable[Source], standing: Callable[[Source], Association | None]) -> None:
        self._sources, self._standing = iter(sources), standing
        self._memory = Scratch(1)  # one is enough: `prepare` comes when all of the instance before was sent
        self._source: Source | None = None
        self._next: Source | None = None
        self._attempt: Attempt | None = None
        self._error: Exception | None = None

    def __next__(self) -> Source:
        if self._next is None:
            self._discard()
            if self._error is not None:
                raise self._error
            self._source = next(self._sources)
        else:
            self._source, self._next = self._next, None
        return self._source

    def on(self, assoc: Association) -> Attempt:
        """The current source, ready for this association."""
        ready, self._attempt = self._attempt, None
        if ready is not None and ready.assoc is assoc:
            return ready
        if ready is not None:
            ready.close()
        assert self._source is not None
        return Attempt(assoc, self._source, self._memory)

    def prepare(self) -> None:
        """Never raises: what went wrong with the next one is told in its turn. Once more when one is sent again."""
        if self._error is not None:
            return
        try:
            self._next = self._next or next(self._sources, None)
            if self._next is not None and (assoc := self._standing(self._next)) is not None:
                self._discard()
                self._attempt = Attempt(assoc, self._next, self._memory)
        except Exception as error:  # noqa: BLE001 - raised in its turn
            self._next, self._error = None, error

    def _discard(self) -> None:
        if self._attempt is not None:
            self._attempt.close()
            self._attempt = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()


def store_each(assoc: Association, sources: Iterable[Source]) -> Generator[Outcome, None, None]:
    """C-STORE of each on an open association. Raises AssociationEnded."""
    with Ahead(sources, lambda source: assoc) as ahead:
        for _ in ahead:
            yield ahead.on(assoc).send(move_originator=None, meanwhile=ahead.prepare)
