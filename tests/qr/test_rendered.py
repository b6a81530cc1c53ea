"""Pictures, thumbnails and documents over HTTP: WADO-RS rendered and WADO-URI."""

import fcntl
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from tests.node import Node, wait_for
from tests.qr.web import parts, session_of, url

pytestmark = pytest.mark.live

CT = Path(str(get_testdata_file("CT_small.dcm")))
ULTRASOUND = Path(str(get_testdata_file("examples_ybr_color.dcm")))
BROKEN = Path(str(get_testdata_file("JPEG-lossy.dcm")))  # no codec of ours reads it
RLE = Path(str(get_testdata_file("MR_small_RLE.dcm")))
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n!"
MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20
CDA = b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>'
STUDY = "/studies/1.2.3"
SERIES = f"{STUDY}/series/1.2.3.1"
SLICE = f"{SERIES}/instances/1.2.3.1.1"
MOVING = f"{STUDY}/series/1.2.3.2/instances/1.2.3.2.1"


def written(folder: Path, path: Path, number: int, series: int = 1, **values: Any) -> None:
    """A file of the study with these elements changed."""
    dataset = pydicom.dcmread(path)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", f"1.2.3.{series}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{series}.{number}"
    dataset.PatientID, dataset.SeriesNumber, dataset.InstanceNumber = "P1", str(series), str(number)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.save_as(folder / f"{series}-{number}.dcm")


def document(folder: Path, series: int, sop_class: str, content: bytes, media_type: str) -> None:
    dataset = pydicom.dcmread(CT)
    for tag in [element.tag for element in dataset if element.tag.group in (0x0018, 0x0028, 0x7FE0)]:
        del dataset[tag]
    dataset.save_as(folder / "plain")
    values: dict[str, Any] = {"SOPClassUID": sop_class, "Modality": "SR"}
    if content:
        values |= {"Modality": "DOC", "EncapsulatedDocument": content + b"\0" * (len(content) % 2)}
        values |= {"MIMETypeOfEncapsulatedDocument": media_type}
    written(folder, folder / "plain", 1, series, **values)
    (folder / "plain").unlink()


def video(folder: Path, number: int, stream: bytes) -> None:
    """In two fragments."""
    dataset = pydicom.dcmread(ULTRASOUND)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = encapsulate([stream[:1000], stream[1000:]], has_bot=False)
    dataset.save_as(folder / "plain")
    written(folder, folder / "plain", number, 8)
    (folder / "plain").unlink()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("rendered")
    files = folder / "files"
    files.mkdir()
    for number in range(1, 4):
        written(files, CT, number, WindowCenter="40", WindowWidth=str(100 * number))
    written(files, ULTRASOUND, 1, 2)
    written(files, BROKEN, 1, 3)
    document(files, 4, "1.2.840.10008.5.1.4.1.1.104.1", PDF, "text/html")
    document(files, 5, "1.2.840.10008.5.1.4.1.1.104.2", CDA, "text/html")
    document(files, 6, "1.2.840.10008.5.1.4.1.1.88.11", b"", "")
    for number, stream in enumerate((MP4, b"G" * 5000), 1):
        video(files, number, stream)
    written(files, CT, 1, 7, Rows=65535, Columns=65535, PixelData=b"\0" * 10)
    for number, frames in enumerate(("-1", "2147483648", "abc", "0"), 2):
        dataset = pydicom.dcmread(CT)
        dataset.add_new(0x00280008, "LO", frames)  # no IS that pydicom would write
        dataset.save_as(folder / "odd.dcm")
        written(files, folder / "odd.dcm", number, 7)
    with Node(folder, TMPDIR=str(folder)) as running:
        running.manage("prepare")
        running.manage("import", str(files))
        yield running.start("web")


@pytest.fixture
def session(node: Node) -> Iterator[requests.Session]:
    with session_of(node) as made:
        yield made


@pytest.fixture
def client(node: Node, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(f"http://{node.host}:{node.http_port}/dicomweb", session=session)


def pixels(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def shown(center: float, width: float) -> Any:
    """The slice as pydicom shows it."""
    dataset = pydicom.dcmread(CT)
    dataset.WindowCenter, dataset.WindowWidth = center, width
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low, high = (end * dataset.RescaleSlope + dataset.RescaleIntercept for end in (-32768, 32767))
    return np.floor((values - low) / (high - low) * 255 + 0.5)


# Rendered


def test_a_picture_is_a_jpeg_unless_something_else_is_asked_for(node: Node, session: requests.Session) -> None:
    for path in (f"{SLICE}/rendered", f"{SLICE}/frames/1/rendered"):
        for accept in ("*/*", "image/jpeg", "image/*", "text/html, image/*;q=0.5"):
            answer = session.get(url(node, path), headers={"Accept": accept})
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
            assert np.abs(pixels(answer.content) - shown(40, 100)).mean() < 4


def test_the_window_is_that_of_the_image_or_that_asked_for(node: Node, session: requests.Session) -> None:
    png = {"Accept": "image/png"}
    assert np.array_equal(pixels(session.get(url(node, f"{SLICE}/rendered"), headers=png).content), shown(40, 100))
    asked = url(node, f"{SLICE}/frames/1/rendered", window="1000,500,linear")
    assert np.array_equal(pixels(session.get(asked, headers=png).content), shown(1000, 500))
    asked = url(node, f"{SLICE}/rendered", window="1000,500,linear", accept="image/png")
    assert np.array_equal(pixels(session.get(asked).content), shown(1000, 500))
    sigmoid = url(node, f"{SLICE}/rendered", window="1000,500,sigmoid", accept="image/png")
    assert not np.array_equal(pixels(session.get(sigmoid).content), shown(1000, 500))


def test_viewport_and_quality_make_a_picture_smaller(node: Node, session: requests.Session) -> None:
    small = session.get(url(node, f"{SLICE}/rendered", viewport="40,60"))
    assert Image.open(io.BytesIO(small.content)).size == (40, 40)
    region = session.get(url(node, f"{SLICE}/rendered", viewport="64,64,0,32,64,32", accept="image/png"))
    assert np.array_equal(
        pixels(session.get(url(node, f"{SLICE}/rendered", accept="image/png")).content)[32:64, :64],
        pixels(region.content),
    )
    fine, coarse = (session.get(url(node, f"{SLICE}/rendered", quality=quality)) for quality in (100, 5))
    assert len(coarse.content) < len(fine.content) / 4


def test_the_client_gets_what_it_asks_for(client: DICOMwebClient) -> None:
    jpeg, gif = ("image/jpeg",), ("image/gif",)
    slice_uids = ("1.2.3", "1.2.3.1", "1.2.3.1.1")
    assert client.retrieve_instance_rendered(*slice_uids)[:2] == b"\xff\xd8"
    assert client.retrieve_instance_rendered(*slice_uids, media_types=("image/png",))[1:4] == b"PNG"
    assert client.retrieve_instance_frames_rendered(*slice_uids, [1], media_types=jpeg)[:2] == b"\xff\xd8"
    assert client.retrieve_series_rendered("1.2.3", "1.2.3.2", media_types=jpeg)[:2] == b"\xff\xd8"
    moving = client.retrieve_instance_rendered("1.2.3", "1.2.3.2", "1.2.3.2.1", media_types=gif)
    assert Image.open(io.BytesIO(moving)).n_frames > 20  # type: ignore[attr-defined]
    assert client.retrieve_instance_rendered("1.2.3", "1.2.3.4", "1.2.3.4.1", media_types=("application/pdf",)) == PDF


def test_frames_of_one_image_are_pictures_of_their_own_or_a_gif(node: Node, session: requests.Session) -> None:
    one = session.get(url(node, f"{MOVING}/frames/30/rendered", accept="image/png"))
    last = pydicom.dcmread(ULTRASOUND).pixel_array[-1]
    assert np.array_equal(pixels(one.content), last)
    several = session.get(url(node, f"{MOVING}/frames/30,1/rendered", accept="image/png"))
    assert several.headers["Content-Type"].startswith('multipart/related; type="image/png"; boundary=')
    assert [content_type for content_type, _ in parts(several)] == ["image/png"] * 2
    assert np.array_equal(pixels(parts(several)[0][1]), last)
    gif = session.get(url(node, f"{MOVING}/frames/1,15,30/rendered", accept="image/gif"))
    assert Image.open(io.BytesIO(gif.content)).n_frames == 3  # type: ignore[attr-defined]


def test_a_series_and_a_study_are_pictures_of_their_images(node: Node, session: requests.Session) -> None:
    answer = session.get(url(node, f"{SERIES}/rendered", accept='multipart/related; type="image/png"'))
    assert [
        np.array_equal(pixels(body), shown(40, 100 * number)) for number, (_, body) in enumerate(parts(answer), 1)
    ] == [True] * 3
    alone = session.get(url(node, f"{STUDY}/series/1.2.3.2/rendered"))
    assert alone.headers["Content-Type"] == "image/jpeg"
    wrapped = session.get(url(node, f"{STUDY}/series/1.2.3.2/rendered", accept="multipart/related; type=image/*"))
    assert [content_type for content_type, _ in parts(wrapped)] == ["image/jpeg"]
    whole = session.get(url(node, f"{STUDY}/rendered"))
    assert whole.status_code == 206  # what has no picture is left out
    assert len(parts(whole)) >= 4


def test_documents_come_out_as_they_went_in(node: Node, session: requests.Session) -> None:
    pdf = session.get(url(node, f"{STUDY}/series/1.2.3.4/instances/1.2.3.4.1/rendered"))
    assert (pdf.headers["Content-Type"], pdf.content) == ("application/pdf", PDF)
    part = session.get(pdf.url, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"%PDF")
    cda = session.get(url(node, f"{STUDY}/series/1.2.3.5/instances/1.2.3.5.1/rendered"))
    assert (cda.headers["Content-Type"], cda.content) == ("text/xml", CDA)
    assert cda.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert cda.headers["X-Content-Type-Options"] == "nosniff"
    assert session.get(pdf.url, headers={"Accept": "image/jpeg"}).status_code == 406
    series = url(node, f"{STUDY}/series/1.2.3.4/rendered")
    assert session.get(series, headers={"Accept": "application/pdf"}).content == PDF
    wrapped = session.get(series, headers={"Accept": 'multipart/related; type="application/pdf"'})
    assert [body for _, body in parts(wrapped)] == [PDF]


def test_a_video_is_the_stream_that_was_stored_with_ranges(node: Node, session: requests.Session) -> None:
    path = f"{STUDY}/series/1.2.3.8/instances/1.2.3.8.1"
    whole = session.get(url(node, f"{path}/rendered"), headers={"Accept": "video/*"})
    assert (whole.headers["Content-Type"], whole.content) == ("video/mp4", MP4)
    part = session.get(url(node, f"{path}/rendered"), headers={"Range": "bytes=990-1009"})
    assert (part.status_code, part.content) == (206, MP4[990:1010])
    assert session.get(wado(node, series=8, contentType="video/mp4")).content == MP4
    assert session.get(url(node, f"{path}/thumbnail")).status_code == 200
    assert session.get(url(node, f"{path}/rendered"), headers={"Accept": "image/jpeg"}).status_code == 406
    other = session.get(url(node, f"{STUDY}/series/1.2.3.8/instances/1.2.3.8.2/rendered"))
    assert (other.status_code, "container" in other.json()["title"]) == (406, True)


def test_who_has_the_picture_already_does_not_get_it_again(node: Node, session: requests.Session) -> None:
    for path in (f"{SLICE}/rendered", f"{SERIES}/rendered", f"{SERIES}/thumbnail"):
        first = session.get(url(node, path))
        assert first.headers["Cache-Control"].startswith("private")
        again = session.get(url(node, path), headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = session.get(url(node, path), headers={"If-None-Match": first.headers["ETag"], "Accept": "image/png"})
        assert other.status_code == 200


def test_a_picture_is_made_once(node: Node, session: requests.Session) -> None:
    address = url(node, f"{SLICE}/rendered", window="77,88,linear")
    first = session.get(address).content
    (place,) = node.sql("SELECT path FROM storage_instance WHERE sop_instance_uid = %s", ["1.2.3.1.1"])[0]
    kept = node.data / "kept"
    (node.data / "archive" / place).rename(kept)
    try:
        assert session.get(address).content == first
        assert session.get(url(node, f"{SLICE}/rendered", window="78,88,linear")).status_code == 410
    finally:
        kept.rename(node.data / "archive" / place)


def test_parameters_nobody_knows_are_named_in_a_warning(node: Node, session: requests.Session) -> None:
    answer = session.get(url(node, f"{SLICE}/rendered", annotation="patient", iccprofile="srgb"))
    assert answer.status_code == 200
    assert "annotation iccprofile" in answer.headers["Warning"]
    assert "Warning" not in session.get(url(node, f"{SLICE}/rendered")).headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("window", value) for value in ("", "1", "40,400", "40,400,cubic", "a,400,linear", "40,0,linear")),
        *(("window", value) for value in ("40,nan,linear", "40,1e400,linear", "inf,1,linear", "40,-1,sigmoid")),
        *(("window", value) for value in ("40,0.5,linear", "40,400,linear,1", "٤,400,linear")),
        *(
            ("viewport", value)
            for value in ("", "5", "0,5", "1000000000,5", "5,-1", "a,b", "5,5,1,1,0,5", "1,2,3,4,5,6,7")
        ),
        *(("viewport", value) for value in ("5,5,-1", "5,5,500,500,10,10", "5,5,nan,1,1,1")),
        *(("quality", value) for value in ("0", "101", "abc", "", "-1", "1.5", "99999999999")),
    ],
)
def test_a_value_that_is_wrong_is_400_and_named(node: Node, session: requests.Session, name: str, value: str) -> None:
    answer = session.get(url(node, f"{SLICE}/rendered", **{name: value}))
    assert answer.status_code == 400
    assert name in answer.json()["title"] or "region" in answer.json()["title"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{SLICE}/frames/2/rendered", 404),
        (f"{MOVING}/frames/31/rendered", 404),
        (f"{MOVING}/frames/1,31/rendered", 404),
        (f"{MOVING}/frames/{'1,' * 100}1/rendered", 413),
        (f"{SLICE}/frames/0/rendered", 400),
        (f"{SLICE}/frames/x/rendered", 400),
        (f"{SLICE}/frames/99999999999/rendered", 400),
        (f"{SERIES}/instances/9.9/rendered", 404),
        ("/studies/9.9/rendered", 404),
        ("/studies/9.9/thumbnail", 404),
        (f"{STUDY}/series/9.9/thumbnail", 404),
        ("/studies/x..y/thumbnail", 400),
        (f"{STUDY}/series/1.2.3.3/instances/1.2.3.3.1/rendered", 406),  # a broken stream
        (f"{STUDY}/series/1.2.3.3/rendered", 406),
        (f"{STUDY}/series/1.2.3.6/instances/1.2.3.6.1/rendered", 406),  # a report
        (f"{STUDY}/series/1.2.3.7/instances/1.2.3.7.1/rendered", 406),  # 65535 x 65535 in ten bytes
        (f"{STUDY}/series/1.2.3.7/instances/1.2.3.7.2/rendered", 406),  # -1 frames
        (f"{STUDY}/series/1.2.3.7/instances/1.2.3.7.3/frames/2147483648/rendered", 406),  # 2^31 frames
        (f"{STUDY}/series/1.2.3.7/instances/1.2.3.7.4/rendered", 406),  # "abc" frames
        (f"{STUDY}/series/1.2.3.7/instances/1.2.3.7.5/frames/2/rendered", 404),  # 0 frames: one
    ],
)
def test_what_cannot_be_shown_says_why(node: Node, session: requests.Session, path: str, status: int) -> None:
    answer = session.get(url(node, path))
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert session.get(url(node, f"{SLICE}/rendered")).status_code == 200


def decoding(node: Node) -> bool:
    """Whether a helper has a job."""
    for slot in node.directory.parent.glob("dicom-pixels-*/*"):
        with slot.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def test_a_helper_that_dies_costs_one_request(node: Node, session: requests.Session) -> None:
    for number in range(8):  # each web process has its own
        session.get(url(node, f"{SLICE}/rendered", window=f"{number},99,linear"))
    helpers = node.descendants("web", "dicom.pixels_worker")
    assert helpers
    for helper in helpers:
        helper.suspend()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(session.get, url(node, f"{SLICE}/rendered", window="9,99,linear"))
        wait_for(lambda: decoding(node), what="a helper has the job")
        for helper in helpers:
            helper.kill()
        answer = waiting.result()
    assert answer.status_code == 406
    assert answer.json()["title"] == "the decoder was killed"
    assert session.get(url(node, f"{SLICE}/rendered", window="9,99,linear")).status_code == 200


def test_an_image_of_no_frames_is_an_image(node: Node, session: requests.Session) -> None:
    path = f"{STUDY}/series/1.2.3.7/instances/1.2.3.7.5/rendered"
    assert session.get(url(node, path)).status_code == 200
    assert session.get(url(node, path, accept="image/gif")).status_code == 200


@pytest.mark.parametrize("path", [f"{SLICE}/rendered", f"{SERIES}/rendered", f"{SLICE}/thumbnail"])
def test_a_form_there_is_not_is_406_and_says_what_there_is(node: Node, session: requests.Session, path: str) -> None:
    answer = session.get(url(node, path), headers={"Accept": "image/jp2, text/html"})
    assert answer.status_code == 406
    assert "image/jpeg, image/png" in answer.json()["title"]


# Thumbnails


def test_thumbnails_are_small_and_those_of_the_middle(node: Node, session: requests.Session) -> None:
    middle = session.get(url(node, f"{SERIES}/thumbnail", accept="image/png"))
    assert np.array_equal(pixels(middle.content), shown(40, 200))
    assert session.get(url(node, f"{STUDY}/thumbnail", accept="image/png")).content == middle.content
    for path in (f"{SLICE}/thumbnail", f"{MOVING}/thumbnail", f"{MOVING}/frames/3/thumbnail"):
        answer = session.get(url(node, path))
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
        assert max(Image.open(io.BytesIO(answer.content)).size) == 128
    smaller = session.get(url(node, f"{MOVING}/thumbnail", viewport="40,40"))
    assert Image.open(io.BytesIO(smaller.content)).size == (40, 30)
    assert session.get(url(node, f"{MOVING}/thumbnail", viewport="4000,4000")).status_code == 400


def test_what_has_no_pixels_is_a_card_with_its_modality(node: Node, session: requests.Session) -> None:
    for series in (4, 5, 6):
        answer = session.get(url(node, f"{STUDY}/series/1.2.3.{series}/thumbnail", accept="image/png"))
        assert answer.status_code == 200
        assert len(np.unique(pixels(answer.content))) > 2


# WADO-URI


def wado(node: Node, *, number: int = 1, series: int = 1, **params: Any) -> str:
    uids = {"studyUID": "1.2.3", "seriesUID": f"1.2.3.{series}", "objectUID": f"1.2.3.{series}.{number}"}
    chosen = {name: value for name, value in ({"requestType": "WADO"} | uids | params).items() if value is not None}
    return f"http://{node.host}:{node.http_port}/wado?{urlencode(chosen)}"


def test_wado_uri_gives_a_picture_or_the_object(node: Node, session: requests.Session) -> None:
    jpeg = session.get(wado(node))
    assert (jpeg.status_code, jpeg.headers["Content-Type"]) == (200, "image/jpeg")
    png = session.get(wado(node, contentType="image/png", windowCenter="1000", windowWidth="500"))
    assert np.array_equal(pixels(png.content), shown(1000, 500))
    whole = session.get(wado(node, contentType="application/dicom"))
    assert whole.headers["Content-Type"].startswith("application/dicom")
    assert pydicom.dcmread(io.BytesIO(whole.content)).SOPInstanceUID == "1.2.3.1.1"
    assert session.get(wado(node, series=4, contentType="application/pdf")).content == PDF
    assert session.get(wado(node, series=4, contentType="image/jp2,application/pdf")).content == PDF


def test_wado_uri_cuts_scales_and_chooses_frames(node: Node, session: requests.Session) -> None:
    def size(**params: Any) -> tuple[int, int]:
        return Image.open(io.BytesIO(session.get(wado(node, series=2, **params)).content)).size

    assert size() == (320, 240)
    assert size(rows=120) == (160, 120)
    assert size(columns=80) == (80, 60)
    assert size(columns=80, rows=10) == (13, 10)
    assert size(region="0.5,0,1,0.5") == (160, 120)
    assert size(region="0.5,0,1,0.5", columns=80) == (80, 60)
    frame = session.get(wado(node, series=2, frameNumber=30, contentType="image/png"))
    assert np.array_equal(pixels(frame.content), pydicom.dcmread(ULTRASOUND).pixel_array[-1])


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"requestType": None}, 400),
        ({"requestType": "WADO-RS"}, 400),
        ({"studyUID": None}, 400),
        ({"objectUID": "x"}, 400),
        ({"objectUID": "9.9"}, 404),
        ({"frameNumber": "0"}, 400),
        ({"frameNumber": "2"}, 404),
        ({"rows": "0"}, 400),
        ({"columns": "1000000000"}, 400),
        ({"region": "0,0,1"}, 400),
        ({"region": "0.5,0,0.5,1"}, 400),
        ({"region": "0,0,1,2"}, 400),
        ({"windowCenter": "40"}, 400),
        ({"windowCenter": "40", "windowWidth": "0"}, 400),
        ({"imageQuality": "101"}, 400),
        ({"contentType": "image/jp2"}, 406),
        ({"contentType": "application/pdf"}, 406),
        ({"contentType": "application/dicom", "rows": "5"}, 400),
        ({"contentType": "application/dicom", "transferSyntax": "x"}, 400),
        ({"contentType": "application/dicom", "transferSyntax": "1.2.840.10008.1.2"}, 406),
        ({"anonymize": "yes"}, 400),
    ],
)
def test_wado_uri_refuses_by_name(node: Node, session: requests.Session, params: dict[str, Any], status: int) -> None:
    answer = session.get(wado(node, **params))
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert status != 400 or list(params)[-1] in answer.json()["title"] or "windowWidth" in answer.json()["title"]


@pytest.mark.parametrize("path", ["rendered", "thumbnail"])
def test_nobody_unknown_gets_a_picture(node: Node, path: str) -> None:
    assert requests.get(url(node, f"{SLICE}/{path}")).status_code == 401
    assert requests.get(wado(node)).status_code == 401
