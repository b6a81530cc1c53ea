"""How much we ask of a peer at once."""

from collections.abc import Collection, Mapping

from apps.network.models import DicomwebServer, Peer


def jobs_at_once(peers: Collection[str]) -> Mapping[str, int]:
    """By name; one whose row is gone or renamed has one job at a time, which will say so."""
    known: dict[str, int] = {}
    for model in (DicomwebServer, Peer):
        known |= dict(model._default_manager.filter(name__in=peers).values_list("name", "jobs_at_once"))
    return {name: known.get(name, 1) for name in peers}
