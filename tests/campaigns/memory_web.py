"""An instance of 2 GB in by STOW-RS, out as multipart and zip; what it cost: `python -m tests.campaigns.memory_web`."""

import argparse
import base64
import http.client
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from blake3 import blake3

from benchmarks import data
from dicom import part10
from dicom.multipart import Multipart, content_type
from tests.campaigns.memory import MEBIBYTE, Growth, Large, at_rest, digest_of, growth
from tests.node import Node

_HEAD = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
_END = b"\r\n--b--\r\n"


class Trial:
    """Stores and retrieves over HTTP; each step leaves the bytes as they were."""

    def __init__(self, node: Node, folder: Path, size: int) -> None:
        self.node, self.folder = node, folder
        self.large = Large.make(data.ct_8k(), size, folder / "large.dcm")
        self.digest = digest_of(self.large.path, self.large.dataset_offset)
        self.study = f"/dicomweb/studies/{self.large.values.study_instance_uid}"

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Iterator[bytes] | None = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        credentials = base64.b64encode(f"admin:{self.node.admin_password}".encode()).decode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection(self.node.host, self.node.http_port, timeout=600)) as connection:
            connection.request(method, path, body, {"Authorization": f"Basic {credentials}", **named})
            with connection.getresponse() as response:
                assert response.status == 200, (response.status, response.read(1000))
                yield response

    def _body(self) -> Iterator[bytes]:
        yield _HEAD
        with self.large.path.open("rb") as file:
            while piece := file.read(MEBIBYTE):
                yield piece
        yield _END

    def store(self) -> None:
        size = len(_HEAD) + self.large.path.stat().st_size + len(_END)
        self._stored(Content_Length=str(size))

    def store_in_chunks(self) -> None:
        """The same again: it is kept once."""
        self._stored()

    def _stored(self, **headers: str) -> None:
        media = 'multipart/related; type="application/dicom"; boundary=b'
        with self._asked("POST", "/dicomweb/studies", self._body(), Content_Type=media, **headers) as response:
            response.read()

    def multipart(self) -> None:
        with self._asked("GET", self.study, Accept='multipart/related; type="application/dicom"') as response:
            boundary = content_type(response.headers["Content-Type"]).boundary
            digests = [_digest(iter(part)) for part in Multipart(response.readinto, boundary)]
        assert digests == [self.digest]

    def zip(self) -> None:
        path = self.folder / "study.zip"
        with self._asked("GET", self.study, Accept="application/zip") as response, path.open("wb") as file:
            while piece := response.read(MEBIBYTE):
                file.write(piece)
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            archive.extract(name, self.folder)
        with (self.folder / name).open("rb") as file:
            offset = part10.read_meta(file.fileno()).dataset_offset
        assert digest_of(self.folder / name, offset) == self.digest, "retrieved bytes differ"
        path.unlink()


def _digest(pieces: Iterator[memoryview]) -> str:
    """Of the data set of a file that arrives."""
    first = b""
    while len(first) < 1 << 16:
        first += next(pieces)
    digest = blake3(first[part10.read_meta(first).dataset_offset :])
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def trial(node: Node, folder: Path, size: int) -> list[Growth]:
    """The first instance is small: what is loaded once, at the first of its kind, is not growth of a request."""
    grown = []
    for bytes_of_pixels in (MEBIBYTE, size):
        one = Trial(node, folder, bytes_of_pixels)
        steps: dict[str, Callable[[], None]] = {
            "STOW-RS": one.store,
            "STOW-RS in chunks": one.store_in_chunks,
            "WADO-RS multipart": one.multipart,
            "WADO-RS zip": one.zip,
        }
        grown = [growth(node, what, act) for what, act in steps.items()]
    return grown


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.memory_web", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2048)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacs-memory-") as folder, Node(Path(folder)) as node:
        node.start()
        time.sleep(10)
        report = [f"at rest: {at_rest(node) / MEBIBYTE:.0f} MiB"]
        for found in trial(node, Path(folder), chosen.megabytes * MEBIBYTE):
            report.append(f"{found.what} of {chosen.megabytes} MiB: {found.size / MEBIBYTE:.1f} MiB more")
    sys.stdout.write("\n".join(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
