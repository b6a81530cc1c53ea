"""gunicorn's threads, for viewers: they ask one thing after the other on a connection."""

import select
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

_MOMENT: Final = 2  # milliseconds


class ViewersWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """A thread that has answered waits a moment for the next request of the same connection.

    To hand the connection over to the poller and back costs as much as a small answer.
    """

    def handle(self, conn: TConn) -> Any:
        while (kept := super().handle(conn)) is True and self.alive and _is_readable(conn):
            pass
        return kept


def _is_readable(conn: TConn) -> bool:
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(_MOMENT))
