"""A peer that is asked for instances: its associations, and how they come - on the same one, or by our listener."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from django.conf import settings

from apps.network.calling import PATIENCE, Calls
from apps.network.models import Peer
from apps.qr import listing, proposing, scu
from apps.qr.attributes import GET, MOVE
from apps.qr.listing import MODEL, Unit
from apps.qr.scu import Begun, IntoArchive, Progress, Proposal
from apps.qr.transfer import Asking
from dicom.dimse import Association, Message, Timeouts
from dicom.errors import DicomError
from dicom.part10 import Provenance

# Of a C-GET everything that is waited for comes on the association; of a C-MOVE perhaps nothing for a long while.
GETTING: Final = Timeouts(connect=10, acse=15, dimse=120, release=5)
MOVING: Final = Timeouts(connect=10, acse=15, dimse=None, release=5)


class NotOffered(DicomError):
    """The peer retrieves in no way that was asked for."""


@dataclass(slots=True)
class Keeper:
    """Into our archive; `moved`: when the last one came."""

    into: IntoArchive
    moved: float = 0.0

    def store(self, assoc: Association, message: Message) -> None:
        self.into.store(assoc, message)
        self.moved = time.monotonic()


class RemoteArchive:
    """A context manager: associations are opened when they are needed, and kept while they fit."""

    def __init__(self, peer: Peer, *, by: str = "") -> None:
        self.peer, self.by = peer, by
        self._finding: Association | None = None
        self._retrieving: Association | None = None
        self._proposed: list[Proposal] = []
        self._keeper = Keeper(IntoArchive(_provenance(peer)))
        self._calls = Calls(peer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for assoc in (self._finding, self._retrieving):
            if assoc is not None:
                assoc.__exit__(kind, error, trace)

    @property
    def moved(self) -> float:
        """When the last instance came by C-GET."""
        return self._keeper.moved

    def abort(self) -> None:
        """From another thread: whatever is asked now or later ends with an error."""
        self._calls.abort()

    def instances(self, unit: Unit) -> list[Unit]:
        """Of a study or series. Raises NotAccepted and Failed where the archive cannot say, DimseError."""
        return [instance for instance, _ in listing.instances(self.finding(), unit)]

    def finding(self) -> Association:
        """Raises DimseError."""
        if self._finding is None or self._finding.ended:
            self._finding = self._calls.connect(listing.CONTEXTS, timeouts=PATIENCE)
        return self._finding

    def asking(self, unit: Unit, keys: Mapping[str, str]) -> tuple[Association, Asking]:
        """What to run for a retrieve of these keys, which are of this unit. Raises NotOffered, DimseError."""
        assoc = self._association(unit)
        level = listing.LEVELS[len(keys) - 1]
        identifier = scu.request(level, keys)

        def ask(begun: Begun) -> Iterator[Progress]:
            if self.by == "get":
                return scu.get(assoc, MODEL, identifier, self._keeper, begun=begun)
            return scu.move(assoc, MODEL, identifier, destination=settings.AE_TITLE, begun=begun)

        return assoc, ask

    def _association(self, unit: Unit) -> Association:
        if self.by != "move" and (assoc := self._getting(unit)):
            self.by = "get"
            return assoc
        if self.by == "get":
            raise NotOffered("C-GET is not offered to us")
        self.by = "move"
        return self._moving()

    def _getting(self, unit: Unit) -> Association | None:
        """With the classes that are to come; None: the peer does not send on the same association."""
        wanted = proposing.contexts(MODEL, listing.sop_classes(self.finding(), unit))
        assoc = self._kept(wanted) or self._opened(wanted, GETTING)
        takes = any(context.as_scp for context in assoc.contexts.values())
        return assoc if takes and assoc.context_for(GET[MODEL]) else None

    def _moving(self) -> Association:
        wanted = scu.contexts(MOVE[MODEL])
        assoc = self._kept(wanted) or self._opened(wanted, MOVING)
        if assoc.context_for(MOVE[MODEL]) is None:
            raise NotOffered("Neither C-GET nor C-MOVE is offered to us")
        return assoc

    def _kept(self, wanted: list[Proposal]) -> Association | None:
        kept = self._retrieving
        return kept if kept is not None and kept.ended is None and set(wanted) <= set(self._proposed) else None

    def _opened(self, wanted: list[Proposal], timeouts: Timeouts) -> Association:
        if self._retrieving is not None and self._retrieving.ended is None:
            self._retrieving.release()
        self._retrieving = self._calls.connect(wanted, timeouts=timeouts, roles=proposing.roles(wanted))
        self._proposed = wanted
        return self._retrieving


def _provenance(peer: Peer) -> Provenance:
    """As if the peer had stored here (PS3.4 C.4.3: it has)."""
    return Provenance(
        received_ns=0,
        calling_ae_title=peer.ae_title,
        called_ae_title=settings.AE_TITLE,
        receiving_ae_title=settings.AE_TITLE,
        address=peer.host,
        peer=peer.name,
        policy=peer.duplicate_policy,
        issuer=peer.default_issuer_of_patient_id,
        character_set=peer.default_character_set,
    )
