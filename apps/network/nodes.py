"""Which processes of ours live, as they say themselves: for the health page and the console."""

import logging
import threading
from datetime import timedelta

from django.conf import settings
from django.db import Error
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.network import process
from apps.network.database import borrowed, give_back
from apps.network.models import Node

logger = logging.getLogger(__name__)

INTERVAL = 2.0  # seconds
FRESH = timedelta(seconds=8)  # since its last sign a process counts as living
FORGOTTEN = timedelta(days=1)  # after which a silent process is no longer listed


def alive(node: str) -> frozenset[str]:
    """The roles that live on this node."""
    fresh = Node.objects.filter(node=node, seen_at__gt=timezone.now() - FRESH)
    return frozenset(fresh.values_list("role", flat=True))


class Heartbeat:
    """A thread that says that this process lives, in the role it was started for."""

    def __init__(self, role: str, *, interval: float = INTERVAL) -> None:
        self._role = role
        self._interval = interval
        self._started_at = timezone.now()
        self._process = process.number()
        self._away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """An orderly end takes the row away."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def beat(self) -> None:
        now = timezone.now()
        changed = self._row().update(seen_at=now, started_at=self._started_at, version=settings.VERSION)
        if not changed:
            replaced = Q(node=settings.NODE, role=self._role, seen_at__lt=now - FRESH)
            Node.objects.filter(replaced | Q(seen_at__lt=now - FORGOTTEN)).delete()
            Node.objects.create(
                node=settings.NODE,
                role=self._role,
                process=self._process,
                started_at=self._started_at,
                seen_at=now,
                version=settings.VERSION,
            )

    def _row(self) -> QuerySet[Node]:
        return Node.objects.filter(node=settings.NODE, role=self._role, process=self._process)

    def _run(self) -> None:
        ended = False
        while not ended:
            try:
                with borrowed():
                    self.beat()
            except Error as error:
                if not self._away:
                    logger.warning("No sign of life while the database is away: %s", error)
                self._away = True
            else:
                self._away = False
            ended = self._stopping.wait(self._interval)
        self._leave()
        give_back()

    def _leave(self) -> None:
        try:
            with borrowed():
                self._row().delete()
        except Error as error:
            logger.info("The database is away, the sign of life stays: %s", error)
