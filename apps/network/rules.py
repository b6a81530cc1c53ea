"""Who may call what: one frozen snapshot, held in memory."""

import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Self

from apps.accounts.principal import Kind, Principal
from apps.network import tls
from apps.network.models import STATUSES_SHOWN, ConfigVersion, DuplicatePolicy, Listener, Peer
from dicom.sop_classes import Service

logger = logging.getLogger(__name__)

ANYONE = "*"
_RETRIEVALS = frozenset({Service.MOVE, Service.GET})
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str], Sequence[str]]


def clean_ae_title(value: str) -> str:
    """PS3.8 9.3.2: leading and trailing spaces do not count; some peers pad with NUL."""
    return value.strip(" \0")


def parse_address(text: str) -> IPAddress | None:
    """Without scope, and IPv4 as IPv4 even where a dual-stack socket reports it mapped into IPv6."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def resolve_now(host: str) -> Sequence[str]:
    """Addresses of a host name by the system's resolver, which may take its time."""
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)})
    except (OSError, UnicodeError) as error:
        logger.warning("Host name %s cannot be resolved (%s): it matches no caller", host, error)
        return ()


def resolve_nothing(host: str) -> Sequence[str]:
    """For who needs only the listeners and must not wait for a name server."""
    return ()


@dataclass(frozen=True, slots=True)
class ListenerRules:
    name: str
    ae_title: str
    host: str
    port: int
    any_called_ae_title: bool = False
    services: frozenset[Service] = frozenset()
    maximum_associations: int = 200
    maximum_length: int = 262144
    acse_timeout: int = 30
    pdu_timeout: int = 30
    dimse_timeout: int = 60
    idle_timeout: int = 600
    balancers: tuple[IPNetwork, ...] = ()
    certificate: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    client_certificate_authority: str = field(default="", repr=False)

    @property
    def trusts_loopback(self) -> bool:
        """Behind a balancer, who calls from this machine may be anybody."""
        return not self.balancers

    def tls(self) -> ssl.SSLContext | None:
        """None: plain TCP. Raises InvalidTls."""
        if not self.certificate:
            return None
        return tls.server(self.certificate, self.private_key, self.client_certificate_authority)

    def is_balancer(self, address: str) -> bool:
        """Whether a PROXY header is to come first."""
        origin = parse_address(address) if self.balancers else None
        return origin is not None and any(origin in network for network in self.balancers)

    def answers_to(self, called_ae_title: str) -> bool:
        return self.any_called_ae_title or clean_ae_title(called_ae_title) == self.ae_title

    def refusal(self, called_ae_title: str) -> str:
        """Why the called AE title is not ours, in words for an administrator."""
        called = clean_ae_title(called_ae_title)
        if called.casefold() == self.ae_title.casefold():
            return f"Called AE title {called!r} differs from ours, {self.ae_title!r}, only in upper and lower case"
        return f"Called AE title {called!r} is not ours, {self.ae_title!r}"


@dataclass(frozen=True, slots=True)
class PeerRules:
    name: str
    ae_title: str
    key: int | None = None
    networks: tuple[IPNetwork, ...] = ()
    services: frozenset[Service] = frozenset()
    host: str = ""
    port: int | None = None
    specific_character_set: str = ""
    default_character_set: str = ""
    default_issuer_of_patient_id: str = ""
    duplicate_policy: str = DuplicatePolicy.KEEP_FIRST.value
    strict_identifiers: bool = False
    success_at_limit: bool = False
    query_limit: int = 0
    worklist_own_station_only: bool = False
    worklist_statuses: tuple[str, ...] = STATUSES_SHOWN
    worklist_days_back: int | None = None
    worklist_days_ahead: int | None = None
    preferred_transfer_syntaxes: tuple[str, ...] = ()
    strict_mpps: bool = False
    private_sop_classes: bool = True
    maximum_associations: int = 0
    idle_timeout: int | None = None
    commits_storage: bool = False
    rate_limit: int = 0  # KiB/s
    tls: bool = False  # certificates are looked up by who calls

    def principal(self, address: str, calling_ae_title: str = "") -> Principal:
        """The calling AE title matters where one row stands for many callers."""
        return Principal(
            kind=Kind.PEER,
            name=self.name,
            key=self.key,
            address=address,
            ae_title=calling_ae_title or self.ae_title,
            services=self.services,
        )

    def closeness(self, address: IPAddress, *, trust_loopback: bool = True) -> int:
        """Length of the longest prefix the address matches, -1 if none does. Without `trust_loopback` a row for anyone
        lets in nobody for calling from this machine."""
        passed_over = self.ae_title == ANYONE and not trust_loopback
        return max(
            (
                network.prefixlen
                for network in self.networks
                if address in network and not (passed_over and network.is_loopback)
            ),
            default=-1,
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """Rows that are enabled. Disabled peers are known by AE title only, so that a refusal can say why."""

    version: int = 0
    listeners: tuple[ListenerRules, ...] = ()
    peers: tuple[PeerRules, ...] = ()
    disabled_ae_titles: tuple[str, ...] = ()
    _by_ae_title: Mapping[str, tuple[PeerRules, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str, tuple[PeerRules, ...]] = {}
        for peer in sorted(self.peers, key=lambda peer: peer.name):
            index[peer.ae_title] = (*index.get(peer.ae_title, ()), peer)
        object.__setattr__(self, "_by_ae_title", index)

    def caller(self, calling_ae_title: str, address: str, *, trust_loopback: bool = True) -> PeerRules | None:
        """Rows naming the AE title go before rows for anyone; among them, the narrowest network wins."""
        origin = parse_address(address)
        if origin is None:
            return None
        for ae_title in (clean_ae_title(calling_ae_title), ANYONE):
            rows = self._by_ae_title.get(ae_title, ())
            matches = [(peer.closeness(origin, trust_loopback=trust_loopback), peer) for peer in rows]
            closest = max(matches, key=lambda match: match[0], default=(-1, None))
            if closest[0] >= 0:
                return closest[1]
        return None

    def refusal(self, calling_ae_title: str, address: str, *, trust_loopback: bool = True) -> str:
        """Why nobody answers to this caller, in words for an administrator."""
        calling = clean_ae_title(calling_ae_title)
        if not trust_loopback and (row := self.caller(calling, address)):
            return f"{row.name} lets in nobody for calling from this machine while the listener has balancers"
        if calling in self._by_ae_title:
            names = ", ".join(peer.name for peer in self._by_ae_title[calling])
            return f"Calling AE title is that of {names}, but not from this address"
        for ae_title in self._by_ae_title:
            if ae_title.casefold() == calling.casefold():
                return f"Calling AE title {calling!r} differs from {ae_title!r} only in upper and lower case"
        if calling in self.disabled_ae_titles:
            return "The peer with this calling AE title is disabled"
        return "Unknown calling AE title"

    def destination(self, ae_title: str) -> PeerRules | None:
        """Where to send for a C-MOVE (PS3.4 C.4.2.1.5): a peer of exactly this AE title that can be called."""
        wanted = clean_ae_title(ae_title)
        if wanted == ANYONE:
            return None
        return next((peer for peer in self._by_ae_title.get(wanted, ()) if peer.host and peer.port), None)

    def peer(self, name: str) -> PeerRules | None:
        return next((peer for peer in self.peers if peer.name == name), None)

    def listener(self, name: str) -> ListenerRules | None:
        return next((listener for listener in self.listeners if listener.name == name), None)

    def retrieve_ae_titles(self, finder: ListenerRules) -> Sequence[str]:
        return retrieve_ae_titles(finder.ae_title, self.listeners)

    @classmethod
    def load(cls, resolve: Resolve = resolve_now) -> Self:
        """What the database says. The version is read first: a change in between shows as a newer version later."""
        version = ConfigVersion.objects.values_list("version", flat=True).first() or 0
        peers = list(Peer.objects.order_by("name"))
        return cls(
            version=version,
            listeners=tuple(listener_rules(row) for row in Listener.objects.filter(enabled=True).order_by("name")),
            peers=tuple(peer_rules(row, resolve) for row in peers if row.enabled),
            disabled_ae_titles=tuple(sorted({row.ae_title for row in peers if not row.enabled})),
        )


def retrieve_ae_titles(ae_title: str, listeners: Iterable[ListenerRules]) -> Sequence[str]:
    """Who hands over what is found or kept under this title of ours (PS3.4 C.4.1.1.3.2, J.3.3.1.2): a listener of this
    title, or else those that retrieve."""
    able = {listener.ae_title for listener in listeners if listener.services & _RETRIEVALS}
    return [ae_title] if ae_title in able else sorted(able) or [ae_title]


def listener_rules(row: Listener) -> ListenerRules:
    made = ("services", "balancers")
    copied = {entry.name: getattr(row, entry.name) for entry in fields(ListenerRules) if entry.name not in made}
    balancers = _parsed(row.balancers.split(), f"Listener {row.name}", "is no balancer")
    return ListenerRules(**copied, services=services_of(row.services), balancers=balancers)


def peer_rules(row: Peer, resolve: Resolve = resolve_now) -> PeerRules:
    made = ("key", "networks", "services", "preferred_transfer_syntaxes", "worklist_statuses")
    copied = {entry.name: getattr(row, entry.name) for entry in fields(PeerRules) if entry.name not in made}
    return PeerRules(
        **copied,
        key=row.pk,
        networks=_networks(row, resolve),
        services=services_of(row.services),
        preferred_transfer_syntaxes=tuple(str(uid) for uid in row.preferred_transfer_syntaxes),
        worklist_statuses=tuple(str(status) for status in row.worklist_statuses),
    )


def services_of(names: Sequence[str]) -> frozenset[Service]:
    """Verification belongs to everyone; a service this version does not know, to nobody."""
    known = {str(service): service for service in Service}
    return frozenset(known[name] for name in names if name in known) | {Service.ECHO}


def _networks(row: Peer, resolve: Resolve) -> tuple[IPNetwork, ...]:
    lines: Sequence[str] = row.address_ranges.split()
    if not lines and row.host:
        lines = [row.host] if parse_address(row.host) else resolve(row.host)
    return _parsed(lines, f"Peer {row.name}", "matches no caller")


def _parsed(lines: Sequence[str], whose: str, so: str) -> tuple[IPNetwork, ...]:
    networks = []
    for line in lines:
        try:
            networks.append(ipaddress.ip_network(line.partition("%")[0], strict=False))
        except ValueError:
            logger.warning("%s: %r is neither an address nor a network, it %s", whose, line, so)
    return tuple(networks)
