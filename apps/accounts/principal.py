"""Who acts: a user, a peer or the system, frozen at the moment of asking."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from dicom.sop_classes import Service


class Kind(StrEnum):
    USER = "user"
    PEER = "peer"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` is the user name, the peer's name or the part of the system; `address` where it came from, if anywhere."""

    kind: Kind
    name: str
    key: int | None = None  # primary key of the user or the peer
    address: str = ""
    ae_title: str = ""
    services: frozenset[Service] = field(default_factory=frozenset)
    administers: bool = False

    @property
    def may_delete(self) -> bool:
        """Studies, series and instances: no service of DICOM, so no right to one gives it."""
        return self.kind is Kind.SYSTEM or self.administers

    @property
    def may_schedule(self) -> bool:
        """Change orders: a peer's right to the worklist is one to read it, and so is that of who does not report."""
        both = self.may(Service.WORKLIST) and self.may(Service.MPPS)
        return self.kind is not Kind.PEER and (both or self.administers)

    def may(self, service: Service) -> bool:
        return self.kind is Kind.SYSTEM or service in self.services

    def to_plain(self) -> dict[str, Any]:
        """For a row that acts later, such as a job."""
        return {
            "kind": str(self.kind),
            "name": self.name,
            "key": self.key,
            "address": self.address,
            "ae_title": self.ae_title,
            "services": sorted(str(service) for service in self.services),
            "administers": self.administers,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        known = {str(service): service for service in Service}
        return cls(
            kind=Kind(plain["kind"]),
            name=plain["name"],
            key=plain["key"],
            address=plain["address"],
            ae_title=plain["ae_title"],
            services=frozenset(known[name] for name in plain["services"] if name in known),
            administers=bool(plain.get("administers")),
        )


def system(part: str) -> Principal:
    return Principal(kind=Kind.SYSTEM, name=part)
