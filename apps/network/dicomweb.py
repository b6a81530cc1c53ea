"""DICOMweb as a user: requests to a server of others, streamed both ways in bounded memory."""

import base64
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

import orjson
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from apps.network.models import DicomwebServer
from dicom.errors import DicomError

LARGEST: Final = 64 << 20  # bytes of a list or a report
_EXCERPT: Final = 300  # bytes of what a server says of an error

Json = list[dict[str, Any]]


class DicomwebFailed(DicomError):
    """It could not be reached, or broke off; another time it may work."""

    http_status = 502


class Refused(DicomwebFailed):
    """It answered with a status that is no success."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(f"HTTP status {status}{f': {comment}' if comment else ''}")
        self.status = status

    @property
    def passes(self) -> bool:
        """Whether waiting may help: it is busy, full or broken, or does not know us yet."""
        return self.status in (401, 403, 408, 425, 429) or self.status >= 500


class NoSuchServer(DicomError):
    http_status = 404


def server_named(name: str) -> DicomwebServer:
    """One that is enabled. Raises NoSuchServer."""
    server = DicomwebServer.objects.filter(name=name, enabled=True).first()
    if server is None:
        raise NoSuchServer("There is no DICOMweb server of this name that can be called")
    return server


class Answer:
    """A response whose body is read once."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "")

    def readinto(self, view: memoryview) -> int:
        """Raises DicomwebFailed."""
        try:
            data = self._response.read(len(view))
        except (HTTPError, OSError) as error:
            raise DicomwebFailed(f"The answer broke off: {error}") from error
        view[: len(data)] = data
        return len(data)

    def read(self, most: int = LARGEST) -> bytes:
        """All of it. Raises DicomwebFailed."""
        whole, buffer = bytearray(), memoryview(bytearray(1 << 16))
        while count := self.readinto(buffer):
            whole += buffer[:count]
            if len(whole) > most:
                raise DicomwebFailed(f"The answer has more than {most >> 20} MiB")
        return bytes(whole)


class DicomwebClient:
    """One request after the other on one connection; `abort` may be called from another thread."""

    def __init__(self, server: DicomwebServer) -> None:
        self._server = server
        address = urlsplit(server.url)
        self._root = address.path.rstrip("/")
        self._headers = _headers(server)
        host, timeout = address.hostname or "", server.timeout
        self._connection: HTTPConnection
        if address.scheme == "https":
            self._connection = HTTPSConnection(host, address.port, timeout=timeout, ssl_context=_context(server))
        else:
            self._connection = HTTPConnection(host, address.port, timeout=timeout)
        self._response: HTTPResponse | None = None
        self._aborted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str, *, accept: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Raises Refused, DicomwebFailed."""
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        return self._request("GET", f"{path}{query}", {"Accept": accept}, None)

    def post(self, path: str, body: Iterable[bytes], *, content_type: str, accept: str) -> Answer:
        """In chunks: how long it becomes need not be known. Raises Refused (but for 409, which says more in its body),
        DicomwebFailed, and what the body raises."""
        return self._request("POST", path, {"Accept": accept, "Content-Type": content_type}, body)

    def search(self, path: str, params: Mapping[str, Any]) -> Json:
        """Data sets of the DICOM JSON model. Raises Refused, DicomwebFailed."""
        answer = self.get(path, accept="application/dicom+json", params=params)
        body = answer.read()
        if answer.status == 204 or not body.strip():
            return []
        return _data_sets(body)

    def abort(self) -> None:
        self._aborted = True
        if (sock := self._connection.sock) is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: Iterable[bytes] | None) -> Answer:
        try:
            self._make_ready()
            self._connection.request(
                method,
                f"{self._root}{path}",
                body=body,
                headers={**self._headers, **headers},
                chunked=body is not None,
                preload_content=False,
                decode_content=False,
            )
            if self._aborted:
                raise DicomwebFailed("The request was given up")
            self._response = self._connection.getresponse()
        except (HTTPError, OSError) as error:
            self._connection.close()
            raise DicomwebFailed(f"{self._server.url}: {_reason(error)}") from error
        except BaseException:  # of the body: half a request is none
            self._connection.close()
            raise
        answer = Answer(self._response)
        if answer.status // 100 == 2 or (method == "POST" and answer.status == 409):
            return answer
        return self._refuse(answer)

    def _make_ready(self) -> None:
        """What is left of the answer before goes; a connection that the server has closed meanwhile is made anew."""
        if self._response is not None:
            self._response.drain_conn()
        if not self._connection.is_connected:
            self._connection.close()

    def _refuse(self, answer: Answer) -> Answer:
        comment = ""
        if answer.status // 100 == 3:
            comment = "it is somewhere else, and its URL has to be corrected"
        elif not answer.content_type.startswith("text/html"):
            start = bytearray(_EXCERPT)
            with suppress(DicomwebFailed):
                comment = bytes(start[: answer.readinto(memoryview(start))]).decode(errors="replace").strip()
        self._connection.close()  # whatever it still says
        self._response = None
        raise Refused(answer.status, " ".join(comment.split()))


def _data_sets(body: bytes) -> Json:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DicomwebFailed("The answer is no JSON") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise DicomwebFailed("The answer is no list of data sets")
    return found


def values(data_set: Mapping[str, Any], tag: str) -> list[Any]:
    """Of one attribute of the DICOM JSON model; nothing where it is not as it should be."""
    entry = data_set.get(tag)
    found = entry.get("Value") if isinstance(entry, dict) else None
    return found if isinstance(found, list) else []


def text(data_set: Mapping[str, Any], tag: str) -> str:
    found = values(data_set, tag)
    return found[0] if found and isinstance(found[0], str) else ""


def _headers(server: DicomwebServer) -> dict[str, str]:
    headers = {"User-Agent": "PACS", "Accept-Encoding": "identity"}
    if server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    elif server.username:
        pair = f"{server.username}:{server.password}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return headers


def _context(server: DicomwebServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=server.certificate_authority or None)
    if not server.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: Exception) -> str:
    """In words, as far as the library has them: `<urllib3.connection...>: Failed to ...` begins with an object."""
    said = str(error)
    return said.rpartition("object at ")[2].partition(">: ")[2] or said
