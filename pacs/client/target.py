"""Whom to call: AET@HOST:PORT, or the name or AE title of a peer that has an address."""

import ssl
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError

from apps.network.calling import secured
from apps.network.models import Peer
from apps.network.tls import InvalidTls
from apps.network.validators import validate_ae_title
from apps.storage.scu import Kind, Sender
from dicom.dimse import Association, Timeouts, associate


class InvalidTarget(ValueError):
    """Nobody to call; `str()` says what it should look like."""


@dataclass(frozen=True, slots=True)
class Target:
    """`tls`: as the row of a peer says; None: plain TCP."""

    ae_title: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


def parse(text: str) -> Target:
    """AET@HOST:PORT. Raises InvalidTarget."""
    ae_title, _, address = text.rpartition("@")
    host, _, port = address.rpartition(":")
    if not ae_title or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidTarget(f"{text!r} is not AET@HOST:PORT, such as CT1@10.0.0.5:104")
    try:
        validate_ae_title(ae_title)
    except ValidationError as error:
        raise InvalidTarget(f"{text!r}: {error.messages[0]}") from error
    return Target(ae_title, host.strip("[]"), int(port))


def find(text: str) -> Target:
    """A target as it was typed; a name before an AE title. Raises InvalidTarget."""
    if "@" in text:
        return parse(text)
    reachable = Peer.objects.exclude(host="").exclude(port=None)
    peer = reachable.filter(name=text).first() or reachable.filter(ae_title=text).order_by("name").first()
    if peer is None or peer.port is None:
        raise InvalidTarget(f"No peer called {text!r} has a host and port; or call it as AET@HOST:PORT")
    try:
        return Target(peer.ae_title, peer.host, peer.port, secured(peer))
    except InvalidTls as error:
        raise InvalidTarget(f"{peer.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls whom, and how long we wait."""

    target: Target
    ae_title: str
    timeouts: Timeouts = Timeouts()  # noqa: RUF009 - frozen
    tls: ssl.SSLContext | None = None

    def associate(self, contexts: Sequence[tuple[str, Sequence[str]]], **options: Any) -> Association:
        """Raises DimseError."""
        return associate(
            self.target.host,
            self.target.port,
            calling_ae_title=self.ae_title,
            called_ae_title=self.target.ae_title,
            contexts=contexts,
            timeouts=self.timeouts,
            tls=self.tls or self.target.tls,
            **options,
        )

    def sender(self, kinds: Collection[Kind]) -> Sender:
        return Sender(
            host=self.target.host,
            port=self.target.port,
            called_ae_title=self.target.ae_title,
            calling_ae_title=self.ae_title,
            kinds=kinds,
            timeouts=self.timeouts,
            tls=self.tls or self.target.tls,
        )
