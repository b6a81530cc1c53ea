"""Requests that store, and what became of them on disk."""

from pathlib import Path
from typing import Any

import pydicom
import requests
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from tests.node import Node

CT = Path(str(get_testdata_file("CT_small.dcm")))
RLE = Path(str(get_testdata_file("MR_small_RLE.dcm")))
BIG_ENDIAN = Path(str(get_testdata_file("ExplVR_BigEnd.dcm")))
DEFLATED = Path(str(get_testdata_file("image_dfl.dcm")))
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'


def url(node: Node, path: str = "") -> str:
    return f"http://{node.host}:{node.http_port}/dicomweb{path}"


def image(study: str = "", **changes: Any) -> pydicom.Dataset:
    """A CT image of its own series."""
    ds = pydicom.dcmread(CT)
    ds.StudyInstanceUID = study or generate_uid()
    ds.SeriesInstanceUID = generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: pydicom.Dataset) -> bytes:
    buffer = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(buffer, ds)
    return bytes(buffer.getvalue())


def framed(*contents: bytes, content_type: str = "application/dicom") -> bytes:
    head = f"--b\r\nContent-Type: {content_type}\r\n\r\n".encode()
    return b"".join(head + content + b"\r\n" for content in contents) + b"--b--\r\n"


def post(
    node: Node,
    session: requests.Session,
    body: Any,
    path: str = "/studies",
    content_type: str = MULTIPART,
    **headers: str,
) -> requests.Response:
    return session.post(url(node, path), data=body, headers={"Content-Type": content_type, **headers})


def file_of(node: Node, sop_instance_uid: str) -> tuple[bytes, pydicom.Dataset]:
    """Its data set on disk, and its meta group."""
    query = "SELECT path, dataset_offset FROM storage_instance WHERE sop_instance_uid = %s"
    ((path, offset),) = node.sql(query, [sop_instance_uid])
    place = node.data / "archive" / path
    return place.read_bytes()[offset:], pydicom.filereader.read_file_meta_info(place)


def data_set_of(part10: bytes) -> bytes:
    return part10[144 + int.from_bytes(part10[140:144], "little") :]


def reasons(answer: dict[str, Any], sequence: str = "00081198", reason: str = "00081197") -> list[str]:
    return [f"{item[reason]['Value'][0]:04X}" for item in answer.get(sequence, {}).get("Value", [])]
