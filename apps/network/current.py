"""The rules as they are now, for the threads of one process: an attribute that is replaced, never changed."""

import logging
import threading
from pathlib import Path

from django.db import Error

from apps.network.database import borrowed, give_back
from apps.network.models import ConfigVersion
from apps.network.names import Names
from apps.network.rules import Rules
from apps.network.snapshot import read_snapshot, snapshot_path, write_snapshot

logger = logging.getLogger(__name__)

FIRST_LOOK = 2.0  # seconds to wait for the database before the copy beside the spool serves


class CurrentRules:
    """`rules` is safe to read from any thread; who needs several answers that agree takes it once."""

    def __init__(self, *, interval: float = 1.0, snapshot: Path | None = None, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._known = rules is not None  # false until the database or the copy has been read
        self._interval = interval
        self._snapshot = snapshot or snapshot_path()
        self._names = Names()
        self._away = False
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="rules", daemon=True)

    def start(self) -> None:
        """Returns with rules: those of the database, else of the copy, else none, which lets nobody in."""
        self._thread.start()
        self._looked.wait(FIRST_LOOK)
        if not self._known:
            self._use_snapshot()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def refresh(self) -> bool:
        """One look at the database; True if the rules changed. Raises django.db.Error when the database is away."""
        with borrowed():
            version = ConfigVersion.objects.values_list("version", flat=True).first() or 0
            if self._known and version == self.rules.version and not self._names.changed():
                if not self._snapshot.exists():  # somebody has removed the spool
                    self._keep(self.rules)
                return False
            self._names.begin()
            rules = Rules.load(self._names)
        known, self._known = self._known, True
        if known and rules == self.rules:
            return False
        self.rules = rules
        self._keep(rules)
        return True

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                changed = self.refresh()
            except Error as error:
                self._database_is_away(error)
            else:
                self._database_is_back(changed)
            self._looked.set()
            self._stopping.wait(self._interval)
        give_back()

    def _database_is_away(self, error: Error) -> None:
        if not self._away:
            logger.warning("The database is away (%s); the rules of version %d go on", error, self.rules.version)
        self._away = True

    def _database_is_back(self, changed: bool) -> None:
        if self._away:
            logger.info("The database is back")
        if changed:
            logger.info("Rules of version %d hold", self.rules.version)
        self._away = False

    def _use_snapshot(self) -> None:
        rules = read_snapshot(self._snapshot)
        if rules is None:
            logger.warning("No database and no copy of the rules: nobody is let in until the database is back")
        elif not self._known:
            logger.warning("No database: the rules of version %d, as kept beside the spool, serve", rules.version)
            self.rules = rules

    def _keep(self, rules: Rules) -> None:
        try:
            if read_snapshot(self._snapshot) != rules:
                write_snapshot(rules, self._snapshot)
        except OSError as error:
            logger.error("The rules cannot be kept in %s: %s", self._snapshot, error)
