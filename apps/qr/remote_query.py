"""What other archives have, for a user: which of our peers to ask, and what is here already."""

from collections.abc import Sequence
from functools import partial

from apps.accounts.principal import Kind, Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.network.calling import NoSuchPeer, connect, peer_named
from apps.network.models import Peer
from apps.qr import asking
from apps.qr.asking import Answers, Asked, Connect, field_of
from apps.qr.attributes import Level
from apps.qr.rows import visible
from dicom.errors import DicomError
from dicom.sop_classes import Service


class NotAllowed(DicomError):
    http_status = 403


class UnknownPeers(DicomError):
    """`errors` names them."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"No peers that can be called: {', '.join(names)}")
        self.errors = {"peers": str(self)}


def may_ask(principal: Principal) -> bool:
    """Who may search our archive may search others in its name; a peer may not."""
    return principal.kind is not Kind.PEER and principal.may(Service.FIND)


def callable_peers() -> list[Peer]:
    return list(Peer.objects.filter(enabled=True).exclude(host="").exclude(port=None).order_by("name"))


def ask(principal: Principal, peers: Sequence[str], question: Asked) -> Answers:
    """Raises NotAllowed, UnknownPeers."""
    if not may_ask(principal):
        raise NotAllowed("Not allowed to search other archives")
    archives: dict[str, Connect] = {}
    unknown = []
    for name in dict.fromkeys(peers):
        try:
            archives[name] = partial(connect, peer_named(name))
        except NoSuchPeer:
            unknown.append(name)
    if unknown:
        raise UnknownPeers(unknown)
    answers = asking.ask(archives, question)
    trail.record(
        actor=Actor.of(principal),
        action="query",
        object=f"peer {', '.join(archives)}",
        detail={"level": question.level.name, "keys": dict(question.keys), "found": len(answers.found)},
    )
    return answers


def here(principal: Principal, answers: Answers, level: Level) -> dict[str, int]:
    """How many instances of each study or series, by UID, this archive has already; of images whether it has them."""
    keyword, path = _HERE.get(level, ("", ""))
    uids = [uid for found in answers.found if (uid := found.values.get(keyword))]
    if not uids:
        return {}
    if level is Level.IMAGE:
        rows = visible(level, principal).filter(sop_instance_uid__in=uids)
        return dict.fromkeys(rows.values_list(path, flat=True), 1)
    rows = visible(level, principal).filter(**{f"{path}__in": uids})
    return dict(rows.values_list(path, f"number_of_{level.name.lower()}_related_instances"))


_HERE = {
    Level.STUDY: ("StudyInstanceUID", field_of("StudyInstanceUID")),
    Level.SERIES: ("SeriesInstanceUID", field_of("SeriesInstanceUID")),
    Level.IMAGE: ("SOPInstanceUID", field_of("SOPInstanceUID")),
}
