"""A viewer's side of HTTP: one keep-alive connection on a plain socket, the same and as cheap with every server."""

import gzip
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from benchmarks.processes import PeerMissing

_TIMEOUT: Final = 120.0
_LONGEST_LINE: Final = 1 << 16
_ENDED: Final = "The connection ended within an answer"
_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` is void as soon as the connection is asked again; `seconds` from the first byte out to the last in."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: memoryview
    seconds: float

    def plain(self) -> bytes:
        content = bytes(self.content)
        return gzip.decompress(content) if self.headers.get("content-encoding") == "gzip" else content

    def parts(self) -> int:
        """Of a multipart answer that came to its end, else 0."""
        boundary = _BOUNDARY.search(self.headers.get("content-type", ""))
        if boundary is None:
            return 0
        mark, content = f"--{boundary[1]}".encode(), bytes(self.content)
        return content.count(mark + b"\r\n") if mark + b"--" in content[-len(mark) - 8 :] else 0


class Connection:
    """Answers are received whole into one buffer of `capacity` bytes, which grows, and looked at off the clock.

    What a server ends by closing the connection (Orthanc's multipart answers) costs it a new one with the next request.
    """

    def __init__(self, port: int, headers: Mapping[str, str], capacity: int = 1 << 20) -> None:
        self._port = port
        self._headers = {"Host": f"127.0.0.1:{port}", "Accept-Encoding": "gzip", **headers}
        self._buffer = bytearray(b"\xff") * capacity  # written to: its pages are there
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")  # what is large goes past its buffer
        self._is_over = False

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, path: str, *, accept: str, content: bytes = b"", content_type: str = "") -> Answer:
        """POST when there is content, else GET."""
        headers = {**self._headers, "Accept": accept}
        if content:
            headers |= {"Content-Type": content_type, "Content-Length": str(len(content))}
        lines = [f"{'POST' if content else 'GET'} {path} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
        head = "\r\n".join([*lines, "", ""]).encode()
        begin = time.perf_counter()
        if self._is_over:
            self.close()
            self._open()
        self._socket.sendall(head)
        if content:
            self._socket.sendall(content)
        status, answered = self._head()
        size = self._body(answered)
        seconds = time.perf_counter() - begin
        return Answer(status, answered, memoryview(self._buffer)[:size], seconds)

    def _head(self) -> tuple[int, dict[str, str]]:
        words = self._line().split(maxsplit=2)
        headers = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(words[1]), headers

    def _line(self) -> str:
        line = self._file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise PeerMissing(_ENDED)
        return line.rstrip(b"\r\n").decode("latin-1")

    def _body(self, headers: Mapping[str, str]) -> int:
        self._is_over = headers.get("connection", "").lower() == "close"
        if "chunked" in headers.get("transfer-encoding", ""):
            return self._chunks()
        if "content-length" not in headers:
            return self._until_the_end()
        size = int(headers["content-length"])
        if self._receive(0, size) < size:
            raise PeerMissing(_ENDED)
        return size

    def _until_the_end(self) -> int:
        self._is_over = True
        at = 0
        while got := self._receive(at, max(len(self._buffer) - at, 1)):
            at += got
        return at

    def _chunks(self) -> int:
        at = 0
        while size := int(self._line().partition(";")[0], 16):
            if self._receive(at, size + 2) < size + 2:  # the end of the line is written over by the next chunk
                raise PeerMissing(_ENDED)
            at += size
        while self._line():
            pass
        return at

    def _receive(self, at: int, size: int) -> int:
        """How many bytes came: fewer when the connection ended."""
        if at + size > len(self._buffer):
            self._buffer = self._buffer + bytearray(max(at + size, len(self._buffer)))  # answers may still look at it
        with memoryview(self._buffer) as whole, whole[at : at + size] as place:
            done = 0
            while done < size:
                with place[done:] as rest:
                    count = self._file.readinto(rest)
                if not count:
                    break
                done += count
        return done
