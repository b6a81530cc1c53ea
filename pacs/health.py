"""Whether this node works: for load balancers, container platforms and people."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.network import nodes
from apps.network.rules import read_snapshot
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
    for name, path in _places():
        if why := _unusable(path):
            yield name, why


def _places() -> Iterator[tuple[str, Path]]:
    """Where this node writes; one that only answers has no spool."""
    yield "archive", settings.ARCHIVE
    spool = [settings.SPOOL / "tmp", settings.SPOOL / "ready"]
    if "indexer" in settings.READY_ROLES or any(path.exists() for path in spool):
        yield from (("spool", path) for path in spool)


def _unusable(path: Path) -> str:
    """Why images would be refused (as apps.storage.space does), or an empty string."""
    try:
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0")
            probe.flush()
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    free = shutil.disk_usage(path).free
    if free < settings.MINIMUM_FREE:
        return f"{free >> 20} MiB free, less than the {settings.MINIMUM_FREE >> 20} MiB that stay free"
    return ""
