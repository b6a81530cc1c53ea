"""Instances as metadata with their bulk data in parts of their own."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from django.conf import LazySettings as Settings
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from apps.storage.intake import Refused
from apps.storage.stow.described import Described
from apps.storage.stow.outcome import Sending
from dicom import status
from dicom.multipart import Part, content_type
from dicom.part10 import Provenance
from tests.node import Node
from tests.storage.stow.web import (
    image,
    post,
    reasons,
)

pytestmark = pytest.mark.live


JSON = "application/dicom+json"
TYPE = f'multipart/related; type="{JSON}"; boundary=b'
OCTETS = "application/octet-stream"


def part(content: bytes, content_type: str, location: str = "") -> bytes:
    where = f"Content-Location: {location}\r\n" if location else ""
    return f"--b\r\nContent-Type: {content_type}\r\n{where}\r\n".encode() + content + b"\r\n"


def described(ds: pydicom.Dataset, pixels: str = "pixels") -> dict[str, Any]:
    model: dict[str, Any] = json.loads(ds.to_json())
    return model | {"7FE00010": {"vr": ds["PixelData"].VR, "BulkDataURI": pixels}}


def body(data_sets: Any, *bulk: bytes) -> bytes:
    return part(json.dumps(data_sets).encode(), JSON) + b"".join(bulk) + b"--b--"


def stored(node: Node, uid: str) -> pydicom.Dataset:
    query = "SELECT path FROM storage_instance WHERE sop_instance_uid = %s"
    ((path,),) = node.sql(query, [uid])
    return pydicom.dcmread(node.data / "archive" / path)


def test_metadata_and_pixels_are_stored_as_one_image(node: Node, session: requests.Session) -> None:
    images = [image(), image()]
    bulk = [part(ds.PixelData, OCTETS, f"pixels/{number}") for number, ds in enumerate(images)]
    models = [described(ds, f"pixels/{number}") for number, ds in enumerate(images)]
    answer = post(node, session, body(models, *bulk), content_type=TYPE)
    assert answer.status_code == 200
    assert len(answer.json()["00081199"]["Value"]) == 2
    for ds in images:
        kept = stored(node, ds.SOPInstanceUID)
        assert kept.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert kept.PixelData == ds.PixelData
        assert (kept.PatientName, kept.PixelSpacing) == (ds.PatientName, ds.PixelSpacing)


def test_metadata_without_bulk_data_may_come_by_itself(node: Node, session: requests.Session) -> None:
    ds = image()
    del ds.PixelData
    assert post(node, session, json.dumps([json.loads(ds.to_json())]), content_type=JSON).status_code == 200
    assert stored(node, ds.SOPInstanceUID).PatientName == ds.PatientName


def test_bulk_data_may_come_before_its_metadata_and_in_chunks(node: Node, session: requests.Session) -> None:
    ds = image()
    whole = part(ds.PixelData, OCTETS, "x") + body([described(ds, "x")])
    pieces = (whole[start : start + 1000] for start in range(0, len(whole), 1000))
    assert post(node, session, pieces, content_type=TYPE).status_code == 200
    assert stored(node, ds.SOPInstanceUID).PixelData == ds.PixelData


@pytest.mark.parametrize(
    ("name", "content_type", "transfer_syntax"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg", "1.2.840.10008.1.2.4.50"),
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.50"),
        ("JPEG2000.dcm", "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.91"),
        ("MR_small_jp2klossless.dcm", "image/jp2", "1.2.840.10008.1.2.4.90"),
        ("MR_small_jpeg_ls_lossless.dcm", "image/jls", "1.2.840.10008.1.2.4.80"),
        ("SC_rgb_rle_2frame.dcm", "image/dicom-rle", "1.2.840.10008.1.2.5"),
        ("SC_rgb_rle_2frame.dcm", f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.5", "1.2.840.10008.1.2.5"),
    ],
)
def test_compressed_frames_are_stored_compressed(
    node: Node, session: requests.Session, name: str, content_type: str, transfer_syntax: str
) -> None:
    ds = pydicom.dcmread(str(get_testdata_file(name, download=False)))
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = (generate_uid() for _ in range(3))
    frames = list(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", 1))))
    answer = post(
        node,
        session,
        body([described(ds)], *(part(frame, content_type, "pixels") for frame in frames)),
        content_type=TYPE,
    )
    assert answer.status_code == 200, answer.text
    kept = stored(node, ds.SOPInstanceUID)
    assert kept.file_meta.TransferSyntaxUID == transfer_syntax
    assert list(pydicom.encaps.generate_frames(kept.PixelData, number_of_frames=len(frames))) == frames
    assert (kept.pixel_array == ds.pixel_array).all()


def test_a_jpeg_describes_itself(node: Node, session: requests.Session) -> None:
    ds = pydicom.dcmread(str(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm", download=False)))
    ds.SOPInstanceUID = generate_uid()
    (frame,) = pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)
    model = described(ds)
    for tag in [tag for tag in model if tag.startswith("0028")]:
        del model[tag]
    assert post(node, session, body([model], part(frame, "image/jpeg", "pixels")), content_type=TYPE).status_code == 200
    kept = stored(node, ds.SOPInstanceUID)
    assert (kept.Rows, kept.Columns, kept.BitsStored, kept.SamplesPerPixel) == (100, 100, 8, 3)
    assert kept.PhotometricInterpretation == "YBR_FULL_422"


def test_each_instance_fails_alone(node: Node, session: requests.Session) -> None:
    good, lost = image(), image()
    nameless = described(image(), "pixels")
    del nameless["00080018"]
    listed, nested = (described(image(), "pixels") | {"00100010": {"vr": vr}} for vr in (["PN"], {"PN": 1}))
    models = [described(lost, "nowhere"), nameless, "no data set", listed, nested, described(good)]
    bulk = (part(good.PixelData, OCTETS, "pixels"), part(b"x", OCTETS, "unused"), part(b"x", OCTETS))
    answer = post(node, session, body(models, *bulk), content_type=TYPE)
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert reasons(answer.json()) == ["C000"] * 3
    assert answer.json()["00081198"]["Value"][0]["00081155"]["Value"] == [lost.SOPInstanceUID]
    assert reasons(answer.json(), "0008119A") == ["C000"] * 4


def test_a_jpeg_without_a_byte_is_no_bug(node: Node, session: requests.Session) -> None:
    answer = post(node, session, body([described(image())], part(b"", "image/jpeg", "pixels")), content_type=TYPE)
    assert answer.status_code in (200, 409)


def test_half_of_an_image_is_not_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings) -> None:
    """The disk takes the first frame and refuses the second."""
    settings.SPOOL = tmp_path
    written = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "no space")
        return written(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    received: list[object] = []
    monkeypatch.setattr(Sending, "receive", lambda self, **given: received.append(given))
    frames = [Part({"content-location": "pixels"}, "", iter([memoryview(b"ab"), None]).__next__) for _ in range(2)]
    sending = Sending(Provenance(received_ns=0), None)
    with Described(sending) as incoming:
        incoming.take(frames[0], content_type(OCTETS))
        with pytest.raises(Refused):
            incoming.take(frames[1], content_type(OCTETS))
        text = memoryview(json.dumps([described(image())]).encode())
        incoming.take(Part({}, "", iter([text, None]).__next__), content_type(JSON))
        (outcome,) = incoming.outcomes()
    assert outcome.status == status.STORE_OUT_OF_RESOURCES
    assert received == []


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"\xff", 400),
        (b"[]", 400),
        (b"1", 409),
        (b"[" + b" " * (9 << 20) + b"]", 413),
    ],
)
def test_metadata_that_cannot_be_read_is_refused(
    node: Node, session: requests.Session, metadata: bytes, status: int
) -> None:
    answer = post(node, session, part(metadata, JSON) + b"--b--", content_type=TYPE)
    assert answer.status_code == status


def test_no_bulk_data_is_left_behind(node: Node, session: requests.Session) -> None:
    spool = node.data / "spool" / "main"
    before = set(spool.iterdir())
    ds = image()
    post(node, session, body([described(ds)], part(ds.PixelData, OCTETS, "pixels")), content_type=TYPE)
    assert set(spool.iterdir()) == before
