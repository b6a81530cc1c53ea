"""What one C-FIND, C-MOVE or C-GET of ours is answered with."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dicom import status as statuses
from dicom.dimse.message import Response
from dicom.dimse.negotiation import Context

if TYPE_CHECKING:
    from dicom.dimse.association import Association, RequestHandler


class Responses(Iterator[Response]):
    """The responses to one C-FIND, C-MOVE or C-GET, until one that is not pending. Closing it early cancels."""

    def __init__(
        self, assoc: "Association", context: Context, message_id: int, on_store: "RequestHandler | None"
    ) -> None:
        self._assoc, self._context, self._on_store = assoc, context, on_store
        self.message_id = message_id
        self._done = False

    def __next__(self) -> Response:
        if self._done:
            raise StopIteration
        before, self._assoc.on_store = self._assoc.on_store, self._on_store or self._assoc.on_store
        try:
            response = self._assoc.await_response(self.message_id)
        except BaseException:
            self._done = True
            raise
        finally:
            self._assoc.on_store = before
        self._done = not statuses.is_pending(response.status)
        return response

    def cancel(self) -> None:
        """Ask the peer to stop; the responses still come, the last most often with status FE00."""
        if not self._done:
            self._assoc.cancel(self.message_id, self._context)

    def close(self) -> None:
        """Cancel and forget: what still comes is dropped."""
        if not self._done:
            self._done = True
            self._assoc.abandon(self.message_id)
            self._assoc.cancel(self.message_id, self._context)
