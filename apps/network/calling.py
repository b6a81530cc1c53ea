"""Calling a peer on behalf of somebody who waits: by its name, in bounded time."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.conf import settings

from apps.jobs.run import JobError, JobRun, TryAgain
from apps.network import tls
from apps.network.models import Peer
from dicom.dimse import Association, DimseError, Timeouts, associate
from dicom.dimse.negotiation import Role
from dicom.errors import DicomError

PATIENCE = Timeouts(connect=5, acse=10, dimse=20, release=2)
_UNTIL_ENABLED: Final = timedelta(minutes=10)


class NoSuchPeer(DicomError):
    http_status = 404


class PeerFailed(DicomError):
    """It could not be reached, or did not do what it was asked."""

    http_status = 502


def peer_named(name: str) -> Peer:
    """One that is enabled and has an address. Raises NoSuchPeer."""
    peer = Peer.objects.filter(name=name, enabled=True).exclude(host="").exclude(port=None).first()
    if peer is None:
        raise NoSuchPeer("There is no peer of this name that can be called")
    return peer


def peer_of(run: JobRun) -> Peer:
    """Whom a job calls, by the name he has now; one that is switched off is waited for. Raises TryAgain, JobError."""
    name = str(run.arguments.get("peer", ""))
    try:
        return peer_named(name)
    except NoSuchPeer as error:
        if Peer.objects.filter(name=name).exists():
            raise TryAgain(f"The peer {name} is disabled, or has no address", delay=_UNTIL_ENABLED) from error
        if run.was_renamed():
            return peer_of(run)
        raise JobError(f"There is no peer {name} any more") from error


def connect(
    peer: Peer,
    contexts: Sequence[tuple[str, Sequence[str]]],
    *,
    timeouts: Timeouts = PATIENCE,
    roles: Mapping[str, Role] | None = None,
) -> Association:
    """In our own name. Asks the database nothing. Raises DimseError."""
    assert peer.port is not None, "see peer_named"
    return associate(
        peer.host,
        peer.port,
        calling_ae_title=settings.AE_TITLE,
        called_ae_title=peer.ae_title,
        contexts=contexts,
        timeouts=timeouts,
        tls=secured(peer),
        roles=roles,
    )


def secured(peer: Peer) -> ssl.SSLContext | None:
    """What a connection with it is made with; None: plain TCP. Raises InvalidTls."""
    if not peer.tls:
        return None
    return tls.client(
        certificate_authority=peer.certificate_authority,
        verify=peer.verify_tls,
        certificate=peer.certificate,
        private_key=peer.private_key,
    )


class Calls:
    """Associations with a peer that another thread may end, once and for all: also one that is not there yet."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._open: list[Association] = []
        self._over = False

    def connect(
        self,
        contexts: Sequence[tuple[str, Sequence[str]]],
        *,
        timeouts: Timeouts,
        roles: Mapping[str, Role] | None = None,
    ) -> Association:
        """Raises DimseError."""
        assoc = connect(self.peer, contexts, timeouts=timeouts, roles=roles)
        self._open = [*(each for each in self._open if each.ended is None), assoc]
        if self._over:
            assoc.abort()
        return assoc

    def abort(self) -> None:
        self._over = True
        for assoc in self._open:
            assoc.abort()


def peers_to_call() -> list[Peer]:
    """By name."""
    return list(Peer.objects.filter(enabled=True).exclude(host="").exclude(port=None).order_by("name"))


@contextmanager
def called(name: str, contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Association]:
    """An association with a peer that has an address. Raises NoSuchPeer; PeerFailed for whatever goes wrong on it."""
    peer = peer_named(name)
    try:
        with connect(peer, contexts) as assoc:
            yield assoc
    except DimseError as error:
        raise PeerFailed(f"{peer.name}: {error}") from error
