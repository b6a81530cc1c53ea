"""An archive of small studies behind a web server, and what its answers are taken apart with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pydicom
import requests
from pydicom.data import get_testdata_file

from tests.node import Node

CT = Path(str(get_testdata_file("CT_small.dcm")))
RLE = Path(str(get_testdata_file("MR_small_RLE.dcm")))
BROKEN = Path(str(get_testdata_file("JPEG-lossy.dcm")))  # no codec of ours reads it
BIG_ENDIAN = Path(str(get_testdata_file("MR_small_bigendian.dcm")))
EXPLICIT = "1.2.840.10008.1.2.1"
OTHER = "1.2.3.99"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"


@contextmanager
def serving(folder: Path) -> Iterator[Node]:
    """Twelve studies of one CT image each; an MR study of two images, compressed and big endian; one with no codec."""
    files = folder / "files"
    files.mkdir()
    for number in range(12):
        dataset = pydicom.dcmread(CT)
        dataset.StudyInstanceUID = f"1.2.3.{number}"
        dataset.SeriesInstanceUID = f"1.2.3.{number}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}.1.1"
        dataset.PatientID, dataset.PatientName = f"P{number:02}", f"Müller^{number}"
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.StudyDate = f"202401{number + 1:02}"
        dataset.save_as(files / f"{number}.dcm")
    (files / "rle.dcm").write_bytes(RLE.read_bytes())
    (files / "broken.dcm").write_bytes(BROKEN.read_bytes())
    other = pydicom.dcmread(BIG_ENDIAN)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = OTHER
    other.save_as(files / "big endian.dcm")
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(files))
        yield running.start("web")


@contextmanager
def session_of(node: Node) -> Iterator[requests.Session]:
    """Of its administrator; closed, so that a server that stops waits for nobody."""
    with requests.Session() as made:
        made.auth = ("admin", node.admin_password)
        yield made


def url(node: Node, path: str = "", **params: Any) -> str:
    return f"http://{node.host}:{node.http_port}/dicomweb{path}{'?' * bool(params)}{urlencode(params, doseq=True)}"


def uids(answers: list[dict[str, Any]], tag: str = "0020000D") -> list[str]:
    return [answer[tag]["Value"][0] for answer in answers]


def parts(answer: requests.Response) -> list[tuple[str, bytes]]:
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    found = []
    for part in answer.content.split(b"\r\n--" + boundary)[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        found.append((head.decode().partition("Content-Type: ")[2].partition("\r\n")[0], body))
    return found


def stored(path: Path) -> bytes:
    meta = pydicom.filereader.read_file_meta_info(path)
    return path.read_bytes()[144 + meta.FileMetaInformationGroupLength :]
