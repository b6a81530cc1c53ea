"""WADO-RS of frames, as `dicomweb-client`, OHIF and plain HTTP ask for them."""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import generate_uid

from tests.node import Node
from tests.qr.web import parts, session_of

pytestmark = pytest.mark.live

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"
LOSSLESS_JPEG = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_XL = "1.2.840.10008.1.2.4.110"
MPEG = "1.2.840.10008.1.2.4.100"
OCTETS = 'multipart/related; type="application/octet-stream"'

NATIVE_FRAMES = [bytes([number]) * 12 for number in range(1, 11)]


def bundled(name: str) -> Dataset:
    return pydicom.dcmread(str(get_testdata_file(name)))


def own(ds: Dataset) -> Dataset:
    """With UIDs of its own, and what an archive wants."""
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = generate_uid(), generate_uid(), generate_uid()
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def compressed(syntax: str, frames: list[bytes]) -> Dataset:
    ds = own(bundled("SC_rgb_rle_2frame.dcm"))
    ds.file_meta.TransferSyntaxUID = syntax
    ds.NumberOfFrames = len(frames)
    ds.PixelData = encapsulate(frames)
    return ds


def native() -> Dataset:
    ds = own(bundled("CT_small.dcm"))
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 3, 4, 8, 8, 7, 0
    ds.NumberOfFrames, ds.PixelData = len(NATIVE_FRAMES), b"".join(NATIVE_FRAMES)
    return ds


def broken(name: str) -> Dataset:
    """Half of its stream is there."""
    ds = own(bundled(name))
    (frame, *_) = generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", 1)))
    ds.NumberOfFrames = 1
    ds.PixelData = encapsulate([frame[: len(frame) // 2]])
    return ds


def too_large() -> Dataset:
    ds = native()
    ds.Rows = ds.Columns = 65535
    ds.NumberOfFrames, ds.PixelData = 1, b"ten bytes!"
    return ds


INSTANCES: dict[str, Dataset] = {
    "native": native(),
    "implicit": own(bundled("rtdose.dcm")),
    "rle": own(bundled("SC_rgb_rle_2frame.dcm")),
    "jpeg": own(bundled("SC_rgb_jpeg_gdcm.dcm")),
    "lossy jpeg": own(bundled("examples_ybr_color.dcm")),
    "jpeg-ls": own(bundled("MR_small_jpeg_ls_lossless.dcm")),
    "jpeg 2000": own(bundled("MR_small_jp2klossless.dcm")),
    "jpeg xl": compressed(JPEG_XL, [b"\xff\x0a one", b"\xff\x0a two"]),
    "video": compressed(MPEG, [b"\0\0\1\xb3 a film"]),
    "text": own(bundled("reportsi.dcm")),
    "too large": too_large(),
    **{f"broken {name}": broken(name) for name in ("MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm")},
    **{f"broken {name}": broken(name) for name in ("MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm")},
}
BROKEN = sorted(name for name in INSTANCES if name.startswith("broken"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("frames")
    (folder / "files").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, ds in INSTANCES.items():
            ds.save_as(folder / "files" / f"{name}.dcm")
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(folder / "files"))
        yield running.start("web")


@pytest.fixture
def session(node: Node) -> Iterator[requests.Session]:
    with session_of(node) as made:
        made.headers["Accept"] = OCTETS
        yield made


@pytest.fixture
def client(node: Node, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(f"http://{node.host}:{node.http_port}/dicomweb", session=session)


def uids(name: str) -> tuple[str, str, str]:
    ds = INSTANCES[name]
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def path(name: str, frames: object) -> str:
    return "/dicomweb/studies/{}/series/{}/instances/{}/frames/{}".format(*uids(name), frames)


def get(node: Node, session: requests.Session, name: str, frames: object, accept: str = OCTETS) -> requests.Response:
    address = f"http://{node.host}:{node.http_port}{path(name, frames)}"
    return session.get(address, headers={"Accept": accept})


def stored(name: str) -> list[bytes]:
    ds = INSTANCES[name]
    return list(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", 1))))


def pixels(name: str) -> "list[np.ndarray[Any, Any]]":
    """As pydicom decodes them; colours as they are stored where nothing was lost."""
    ds = INSTANCES[name]
    decoder = pydicom.pixels.get_decoder(ds.file_meta.TransferSyntaxUID)
    return [frame.copy() for frame, _ in decoder.iter_array(ds, as_rgb=ds.file_meta.TransferSyntaxUID == JPEG)]


@pytest.mark.parametrize("name", ["native", "implicit", "rle", "jpeg", "lossy jpeg", "jpeg-ls", "jpeg 2000"])
def test_the_client_gets_the_pixels_that_pydicom_decodes(client: DICOMwebClient, name: str) -> None:
    expected = pixels(name)
    numbers = list(range(1, len(expected) + 1))
    found = client.retrieve_instance_frames(*uids(name), frame_numbers=numbers)
    assert [np.frombuffer(frame, expected[0].dtype).reshape(expected[0].shape).tolist() for frame in found] == [
        frame.tolist() for frame in expected
    ]


@pytest.mark.parametrize(
    ("name", "media_type", "syntax"),
    [
        ("rle", "image/dicom-rle", RLE),
        ("jpeg", "image/jpeg", LOSSLESS_JPEG),
        ("lossy jpeg", "image/jpeg", JPEG),
        ("jpeg-ls", "image/jls", JPEG_LS),
        ("jpeg 2000", "image/jp2", JPEG_2000),
        ("jpeg xl", "image/jxl", JPEG_XL),
    ],
)
def test_a_compressed_frame_comes_as_it_is_to_who_asks_so(
    node: Node, session: requests.Session, name: str, media_type: str, syntax: str
) -> None:
    last = len(stored(name))
    for accept in (
        'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
        'multipart/related; type="application/octet-stream; transfer-syntax=*"',
        f'multipart/related; type="application/octet-stream"; transfer-syntax={syntax}',
        f'multipart/related; type="{media_type}"; transfer-syntax={syntax}',
        f'multipart/related; type="{media_type}"',
        f"multipart/related; type={media_type}; transfer-syntax=*",
        'multipart/related; type="image/*"',
        'multipart/related; type="*/*"; transfer-syntax=*',
        f"text/html, application/dicom;q=0.9, multipart/related; type={media_type}; q=0.1",
    ):
        answer = get(node, session, name, f"1,{last}", accept)
        assert answer.status_code == 200, (accept, answer.text)
        assert answer.headers["Content-Type"].startswith(f'multipart/related; type="{media_type}"; boundary=')
        kind = f"{media_type}; transfer-syntax={syntax}"
        assert parts(answer) == [(kind, stored(name)[0]), (kind, stored(name)[-1])]


@pytest.mark.parametrize("name", ["rle", "jpeg", "jpeg-ls", "jpeg 2000"])
def test_the_client_gets_compressed_frames_by_media_type_and_syntax(client: DICOMwebClient, name: str) -> None:
    syntax = str(INSTANCES[name].file_meta.TransferSyntaxUID)
    media_type = {RLE: "image/dicom-rle", LOSSLESS_JPEG: "image/jpeg", JPEG_LS: "image/jls"}.get(syntax, "image/jp2")
    for media_types in (((media_type, syntax),), (media_type,), ("image/*",), (("application/octet-stream", "*"),)):
        (found,) = client.retrieve_instance_frames(*uids(name), frame_numbers=[1], media_types=media_types)
        assert found == stored(name)[0]
    (found,) = client.retrieve_instance_frames(
        *uids(name), frame_numbers=[1], media_types=(("application/octet-stream", EXPLICIT),)
    )
    assert found == pixels(name)[0].tobytes()


def test_frames_come_in_the_order_of_the_list_each_with_its_address(node: Node, session: requests.Session) -> None:
    for numbers in ("7,1,10,7", "7%2C1%2C10%2C7"):
        answer = get(node, session, "native", numbers)
        kind = f"application/octet-stream; transfer-syntax={EXPLICIT}"
        assert parts(answer) == [(kind, NATIVE_FRAMES[number - 1]) for number in (7, 1, 10, 7)]
        assert f"Content-Location: {path('native', 10)}\r\n".encode() in answer.content
        assert answer.headers["Content-Length"] == str(len(answer.content))


def test_a_single_frame_comes_without_parts_to_who_asks_so(node: Node, session: requests.Session) -> None:
    answer = get(node, session, "native", 3, "application/octet-stream")
    assert answer.headers["Content-Type"] == f"application/octet-stream; transfer-syntax={EXPLICIT}"
    assert answer.content == NATIVE_FRAMES[2]
    for accept in ("image/*", "image/jpeg", f"image/jpeg; transfer-syntax={JPEG}", "image/png, image/jpeg;q=0.5"):
        answer = get(node, session, "lossy jpeg", 2, accept)
        assert answer.headers["Content-Type"] == f"image/jpeg; transfer-syntax={JPEG}"
        assert answer.content == stored("lossy jpeg")[1]
    assert get(node, session, "native", "3,4", "application/octet-stream").status_code == 406
    answer = get(node, session, "native", "3,4", "application/octet-stream, */*;q=0.1")
    assert [content for _, content in parts(answer)] == NATIVE_FRAMES[2:4]


def test_the_query_says_what_is_accepted(node: Node, session: requests.Session) -> None:
    address = f"http://{node.host}:{node.http_port}{path('rle', 2)}"
    answer = session.get(address, params={"accept": "image/dicom-rle"})
    assert (answer.headers["Content-Type"], answer.content) == (
        f"image/dicom-rle; transfer-syntax={RLE}",
        stored("rle")[1],
    )


@pytest.mark.parametrize(
    ("name", "frames", "accept", "status", "title"),
    [
        ("native", "0", OCTETS, 400, "from 1 on"),
        ("native", "1,0", OCTETS, 400, "from 1 on"),
        ("native", "1,,2", OCTETS, 400, "commas"),
        ("native", "-1", OCTETS, 400, "commas"),
        ("native", "one", OCTETS, 400, "commas"),
        ("native", "1;2", OCTETS, 400, "commas"),
        ("native", "1,", OCTETS, 400, "commas"),
        ("native", "٣", OCTETS, 400, "commas"),
        ("native", "9" * 4000, OCTETS, 400, "commas"),
        ("native", "11", OCTETS, 404, "no frame 11, the last is 10"),
        ("native", "1,2,9999999999", OCTETS, 404, "no frame 9999999999"),
        ("rle", "3", OCTETS, 404, "no frame 3"),
        ("text", "1", OCTETS, 404, "no pixel data"),
        ("video", "1", "*/*", 406, "video"),
        ("native", "1", "image/*", 406, "application/octet-stream; transfer-syntax=" + EXPLICIT),
        ("native", "1", OCTETS + "; transfer-syntax=" + JPEG_2000, 406, EXPLICIT),
        ("implicit", "1", OCTETS + "; transfer-syntax=" + IMPLICIT, 406, EXPLICIT),
        ("rle", "1", "image/jpeg", 406, "image/dicom-rle; transfer-syntax=" + RLE),
        ("rle", "1", "text/html", 406, "octet-stream"),
        ("jpeg xl", "1", OCTETS + "; transfer-syntax=" + EXPLICIT, 406, "image/jxl"),
        ("too large", "1", OCTETS, 406, "shorter than its header says"),
    ],
)
def test_what_cannot_be_had_is_said(
    node: Node, session: requests.Session, name: str, frames: str, accept: str, status: int, title: str
) -> None:
    answer = get(node, session, name, frames, accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert title in answer.json()["title"]


def test_of_an_instance_that_is_not_there_there_are_no_frames(node: Node, session: requests.Session) -> None:
    study, series, instance = uids("native")
    root = f"http://{node.host}:{node.http_port}/dicomweb/studies"
    for address in (
        f"{study}/series/{series}/instances/1.2.3/frames/1",
        f"1.2/series/{series}/instances/{instance}/frames/1",
    ):
        assert session.get(f"{root}/{address}").status_code == 404
    assert session.get(f"{root}/x/series/{series}/instances/{instance}/frames/1").status_code == 400
    assert requests.get(f"http://{node.host}:{node.http_port}{path('native', 1)}").status_code == 401


def test_what_has_not_changed_is_not_sent_again(node: Node, session: requests.Session) -> None:
    tags = set()
    for frames, accept in (("1", OCTETS), ("2", OCTETS), ("1", OCTETS + "; transfer-syntax=*"), ("1,2", OCTETS)):
        answer = get(node, session, "rle", frames, accept)
        tags.add(answer.headers["ETag"])
        headers = {"Accept": accept, "If-None-Match": answer.headers["ETag"]}
        again = session.get(answer.url, headers=headers)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    assert len(tags) == 4
    assert "Accept" in answer.headers["Vary"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_an_error_of_its_own_request(node: Node, session: requests.Session, name: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        bad = [pool.submit(get, node, session, name, 1) for _ in range(2)]
        good = [pool.submit(get, node, session, "rle", 2) for _ in range(2)]
    assert {answer.result().status_code for answer in bad} == {406}
    assert {parts(answer.result())[0][1] for answer in good} == {pixels("rle")[1].tobytes()}
    as_stored = get(node, session, name, 1, OCTETS + "; transfer-syntax=*")
    assert parts(as_stored)[0][1] == stored(name)[0]
