"""The body of a request while it arrives. Django reads none of a chunked one, and copies the others."""

from types import TracebackType
from typing import Any, Self

from rest_framework.request import Request

from dicom.errors import DicomError
from dicom.multipart import BUFFER, Part


class BrokenBody(DicomError):
    """It ended too early, or its framing is wrong."""


class TooSlow(BrokenBody):
    http_status = 408


class RequestBody:
    """As a context: what is not read to its end without an error ends the connection, lest its rest be taken for the
    next request."""

    def __init__(self, request: Request) -> None:
        environ = request.META
        self._stream: Any = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or ""
        # Of a chunked body the server knows the end (PEP 3333 and its `wsgi.input_terminated`).
        endless = not length and environ.get("wsgi.input_terminated")
        self._left = None if endless else int(length or 0)
        self._readinto = getattr(self._stream, "readinto", self._copy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        give_up = getattr(self._stream, "give_up", None)
        if error is not None and give_up:
            give_up()

    def _copy(self, view: memoryview) -> int:
        piece = self._stream.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def readinto(self, view: memoryview) -> int:
        """Nothing only at the end. Raises BrokenBody, TooSlow."""
        if self._left is not None:
            view = view[: self._left]
        if not view:
            return 0
        try:
            count: int = self._readinto(view)
        except TimeoutError as error:
            raise TooSlow("The body came too slowly") from error
        except (OSError, ValueError) as error:
            raise BrokenBody("The body cannot be read to its end") from error
        if self._left is not None:
            if not count:
                raise BrokenBody("The body is shorter than its Content-Length")
            self._left -= count
        return count

    def as_part(self, headers: dict[str, str]) -> Part:
        """The whole of it."""
        buffer = memoryview(bytearray(BUFFER))

        def following() -> memoryview | None:
            return buffer[:count] if (count := self.readinto(buffer)) else None

        return Part(headers, "", following)
