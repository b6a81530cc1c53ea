"""The listening sockets, kept as the rows of the listeners say."""

import logging
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote, unquote

from django.conf import settings

from apps.network.rules import ListenerRules

logger = logging.getLogger("pacs.listeners")

BACKLOG = 512
Address = tuple[str, int]


def _folder() -> Path:
    """A file for each listener that could not be opened, with why: the health page is another process."""
    return Path(settings.SPOOL) / "unopened"


def unopened() -> dict[str, str]:
    """By name of the listener: why its port is not open."""
    found = {}
    for path in _folder().glob("*"):
        try:
            found[unquote(path.name)] = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue  # opened meanwhile
    return found


def _tell(name: str, why: str) -> None:
    """`why` is empty when all is well."""
    path = _folder() / quote(name, safe="")
    try:
        if why:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(why, encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.error("%s: %s", path, error)


class Ports:
    """By name of the listener. `opened` and `closed` are told of each socket."""

    def __init__(
        self, *, opened: Callable[[str, socket.socket], object], closed: Callable[[socket.socket], object]
    ) -> None:
        self._opened, self._closed = opened, closed
        self._open: dict[str, tuple[Address, socket.socket]] = {}
        self._failing: dict[str, str] = {}  # listener: why it could not be opened

    def __getitem__(self, name: str) -> socket.socket:
        return self._open[name][1]

    @property
    def incomplete(self) -> bool:
        """Whether something is to be tried again."""
        return bool(self._failing)

    def reconcile(self, listeners: Iterable[ListenerRules]) -> None:
        """Listen on what is wanted, on nothing else."""
        wanted = {listener.name: (listener.host, listener.port) for listener in listeners}
        for name, (address, _) in list(self._open.items()):
            if wanted.get(name) != address:
                self._close(name)
        for name in self._failing.keys() - wanted.keys():
            del self._failing[name]
            _tell(name, "")
        for name, address in wanted.items():
            if name not in self._open:
                self._bind(name, address)

    def close(self) -> None:
        for name in self._failing:
            _tell(name, "")
        for name in list(self._open):
            self._close(name)

    def _bind(self, name: str, address: Address) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            bound = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            # The port may still belong to a process that drains; logged once.
            if self._failing.get(name) != str(error):
                logger.error("listener %s cannot open %s:%d: %s", name, *address, error)
                _tell(name, f"cannot open {address[0]}:{address[1]}: {error}")
            self._failing[name] = str(error)
            return
        self._failing.pop(name, None)
        _tell(name, "")
        bound.setblocking(False)
        self._open[name] = address, bound
        self._opened(name, bound)
        logger.info("listener %s on %s:%d", name, *address)

    def _close(self, name: str) -> None:
        _, bound = self._open.pop(name)
        self._closed(bound)
        bound.close()
        logger.info("listener %s closed", name)
