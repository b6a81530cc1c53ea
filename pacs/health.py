"""Whether this node works: for load balancers, container platforms and people."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.network import nodes
from apps.network.snapshot import read_snapshot
from apps.storage.disk import unusable
from apps.storage.store import store
from pacs.listeners.ports import unopened

logger = logging.getLogger("pacs.health")

WEB = "web"  # the role of who answers


@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """200 when all that this node needs works, else 503 and what does not."""
    found = dict(failing())
    if found:
        # The reason phrase is what Django logs.
        reason = f"Not ready: {', '.join(found)}"
        return JsonResponse({"status": "unavailable", "failing": found}, status=503, reason=reason)
    return JsonResponse({"status": "ok"})


def failing() -> Iterator[tuple[str, str]]:
    """What of PACS_READY_ROLES and of the directories of this node does not work, and why."""
    try:
        alive = nodes.alive(settings.NODE)
    except Error as error:
        logger.error("database: %s", error)
        yield "database", "does not answer"  # and who lives cannot be asked
    else:
        for role in settings.READY_ROLES:
            if role != WEB and role not in alive:
                yield role, "no sign of life"
    if "listeners" in settings.READY_ROLES:
        rules = read_snapshot()
        wanted = {listener.name for listener in rules.listeners} if rules else set()
        closed = [f"{name} {why}" for name, why in sorted(unopened().items()) if name in wanted]
        if closed:
            yield "listeners", "; ".join(closed)
    for name, why in (("archive", store().trouble()), *(("spool", unusable(path)) for path in _spools())):
        if why:
            yield name, why


def _spools() -> Sequence[Path]:
    """Where this node receives; one that only answers has none."""
    spools = (settings.SPOOL / "tmp", settings.SPOOL / "ready")
    return spools if "indexer" in settings.READY_ROLES or any(path.exists() for path in spools) else ()
