"""An instance of 2 GB in and out, over DICOM and over the web, and what it cost: `python -m tests.campaigns.memory`."""

import argparse
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import psutil
import requests
from blake3 import blake3
from pydicom.filereader import read_file_meta_info

from benchmarks import data
from benchmarks.data import Template, Values
from benchmarks.processes import debian
from dicom.dimse import FileSlice
from tests.campaigns import verify
from tests.campaigns.ingest import study_of, to_store
from tests.node import Node

MEBIBYTE = 1 << 20


def _kilobytes(pid: int, key: str) -> int:
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


@dataclass(frozen=True, slots=True)
class Growth:
    """Of the process that grew most."""

    what: str
    size: int


def growth(node: Node, what: str, act: Callable[[], None]) -> Growth:
    """By how much the peak of any of our processes exceeds what it held before."""
    before = {}
    for process in [*node.descendants(), psutil.Process(node.processes["standalone"].pid)]:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # forget the peak
        before[process.pid] = _kilobytes(process.pid, "VmRSS:")
    act()
    return Growth(what, max(_kilobytes(pid, "VmHWM:") - held for pid, held in before.items() if psutil.pid_exists(pid)))


def at_rest(node: Node) -> int:
    """Proportional set size of everything."""
    everything = [*node.descendants(), psutil.Process(node.processes["standalone"].pid)]
    return sum(process.memory_full_info().pss for process in everything)


@dataclass(frozen=True, slots=True)
class Large:
    """A file whose pixel data is mostly a hole."""

    path: Path
    values: Values
    dataset_offset: int

    @classmethod
    def make(cls, template: Template, size: int, path: Path) -> Self:
        """`size`: bytes of pixel data."""
        values = study_of(data.new_run(), 1)[0]
        content = template.filled(values)
        pixels = template.places["pixels"][0][0]
        content[pixels - 4 : pixels] = size.to_bytes(4, "little")  # PS3.5 7.1.2: OW has a length of 32 bits
        with path.open("wb") as file:
            file.write(content)
            file.truncate(pixels + size)
            file.seek(pixels + size - 4)
            file.write(b"last")
        return cls(path, values, template.dataset_offset)


def digest_of(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return digest_of_rest(file, path.stat().st_size - offset)


def digest_of_rest(file: IO[bytes], size: int) -> str:
    digest = blake3()
    while size and (piece := file.read(min(8 * MEBIBYTE, size))):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


class Trial:
    """Stores and retrieves; each step leaves the bytes as they were."""

    def __init__(self, node: Node, folder: Path, size: int) -> None:
        self.node = node
        self.folder = folder
        self.template = data.ct_8k()
        self.large = Large.make(self.template, size, folder / "large.dcm")
        self.digest = digest_of(self.large.path, self.large.dataset_offset)

    def store(self, large: Large) -> None:
        address = (self.node.host, self.node.dimse_port)
        with to_store(address, calling="LARGE") as assoc, large.path.open("rb") as file:
            context = assoc.context_for(self.template.sop_class_uid)
            assert context is not None
            size = large.path.stat().st_size - large.dataset_offset
            response = assoc.c_store(
                context=context,
                sop_class_uid=self.template.sop_class_uid,
                sop_instance_uid=large.values.sop_instance_uid,
                data=FileSlice(file.fileno(), large.dataset_offset, size),
            )
            assert response.status == 0, f"{response.status:04X}"

    def _retrieve(self, program: str, *arguments: str) -> None:
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={self.large.values.study_instance_uid}"]
        where = ["-aec", self.node.ae_title, self.node.host, str(self.node.dimse_port)]
        verify.run([debian(program), "-S", *arguments, *where, *keys])

    def get(self) -> None:
        received = verify.emptied(self.folder / "received")
        self._retrieve("getscu", "+B", "-od", str(received))
        self._as_stored(received)

    def move(self) -> None:
        received = verify.emptied(self.folder / "received")
        with verify.sink(self.node, received):
            self._retrieve("movescu", "-aem", verify.SINK)
        self._as_stored(received)

    @property
    def _dataset_size(self) -> int:
        return self.large.path.stat().st_size - self.large.dataset_offset

    def _web(self) -> tuple[str, requests.Session]:
        session = requests.Session()
        session.headers["Connection"] = "close"  # a server that stops waits for nobody
        session.auth = ("admin", self.node.admin_password)
        return f"http://{self.node.host}:{self.node.http_port}/dicomweb/studies", session

    def _downloaded(self, accept: str) -> Path:
        root, session = self._web()
        received = self.folder / "downloaded"
        address = f"{root}/{self.large.values.study_instance_uid}"
        with session.get(address, headers={"Accept": accept}, stream=True, timeout=600) as answer:
            assert answer.status_code == 200, answer.text
            with received.open("wb") as file:
                for piece in answer.iter_content(MEBIBYTE):
                    file.write(piece)
        return received

    def multipart(self) -> None:
        received = self._downloaded('multipart/related; type="application/dicom"')
        end = b"\r\n--" + bytes(32) + b"--\r\n"
        with received.open("rb") as file:
            file.seek(received.stat().st_size - len(end) - self._dataset_size)
            assert digest_of_rest(file, self._dataset_size) == self.digest, "downloaded bytes differ"
        received.unlink()

    def zip(self) -> None:
        received = self._downloaded("application/zip")
        with zipfile.ZipFile(received) as archive:
            (entry,) = archive.infolist()
            with archive.open(entry) as file:
                file.read(entry.file_size - self._dataset_size)
                assert digest_of_rest(file, self._dataset_size) == self.digest, "downloaded bytes differ"
        received.unlink()

    def stow(self) -> None:
        """The same instance again, in a chunked body."""
        root, session = self._web()

        def body() -> Iterator[bytes]:
            yield b"--x\r\nContent-Type: application/dicom\r\n\r\n"
            with self.large.path.open("rb") as file:
                while piece := file.read(MEBIBYTE):
                    yield piece
            yield b"\r\n--x--\r\n"

        content_type = 'multipart/related; type="application/dicom"; boundary=x'
        answer = session.post(root, data=body(), headers={"Content-Type": content_type}, timeout=600)
        assert answer.status_code == 200, answer.text

    def stow_alone(self) -> None:
        """And as a body that is this one file, with its length."""
        root, session = self._web()
        with self.large.path.open("rb") as file:
            answer = session.post(root, data=file, headers={"Content-Type": "application/dicom"}, timeout=600)
        assert answer.status_code == 200, answer.text

    def _as_stored(self, received: Path) -> None:
        (path,) = received.iterdir()
        offset = 144 + read_file_meta_info(path).FileMetaInformationGroupLength
        assert digest_of(path, offset) == self.digest, "retrieved bytes differ"
        path.unlink()


def trial(node: Node, folder: Path, size: int) -> list[Growth]:
    """The first instance is small: what is loaded once, at the first of its kind, is not growth of an association."""
    small = Trial(node, folder, 1 << 20)
    small.store(small.large)
    for act in (small.get, small.move, small.multipart, small.zip, small.stow, small.stow_alone):
        act()
    large = Trial(node, folder, size)
    return [
        growth(node, "C-STORE", lambda: large.store(large.large)),
        growth(node, "C-GET", large.get),
        growth(node, "C-MOVE", large.move),
        growth(node, "WADO-RS as multipart", large.multipart),
        growth(node, "WADO-RS as zip", large.zip),
        growth(node, "STOW-RS in chunks", large.stow),
        growth(node, "STOW-RS with a length", large.stow_alone),
    ]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.memory", description=__doc__)
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
