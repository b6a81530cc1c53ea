"""gunicorn's threads, for viewers and for who stores: quick to answer, rid of who is slow."""

import select
from collections.abc import Callable, Iterable
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

from pacs.web_input import Input
from pacs.web_socket import Socket

_MOMENT: Final = 2  # milliseconds

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """A thread that has answered waits a moment for the next request of the same connection.

    To hand the connection over to the poller and back costs as much as a small answer.
    """

    wsgi: Application

    def load_wsgi(self) -> None:
        super().load_wsgi()
        application = self.wsgi

        def with_input(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ["wsgi.input"] = Input(environ["wsgi.input"], environ["gunicorn.socket"])
            return application(environ, start_response)

        self.wsgi = with_input

    def set_accept_enabled(self, enabled: bool) -> None:
        """One that stops leaves the port to the next server at once, not when its last answer has been sent."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    def enqueue_req(self, conn: TConn) -> None:
        if not isinstance(conn.sock, Socket):
            conn.sock = Socket.of(conn.sock)
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        kept: Any = True
        while kept is True:
            conn.sock.begin()
            kept = super().handle(conn)
            if not self.alive or kept is not True or not _is_readable(conn):
                break
        if kept is False:
            conn.close(graceful=True)  # here, not in the thread that accepts: it lingers
        return kept


def _is_readable(conn: TConn) -> bool:
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(_MOMENT))
