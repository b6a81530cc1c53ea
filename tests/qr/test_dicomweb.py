"""QIDO-RS and WADO-RS as `dicomweb-client` and plain HTTP see them."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file

from tests.node import Node

pytestmark = pytest.mark.live

CT = Path(str(get_testdata_file("CT_small.dcm")))
RLE = Path(str(get_testdata_file("MR_small_RLE.dcm")))
BROKEN = Path(str(get_testdata_file("JPEG-lossy.dcm")))  # no codec of ours reads it
BIG_ENDIAN = Path(str(get_testdata_file("MR_small_bigendian.dcm")))
EXPLICIT = "1.2.840.10008.1.2.1"
OTHER = "1.2.3.99"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("dicomweb")
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


@pytest.fixture
def session(node: Node) -> requests.Session:
    made = requests.Session()
    made.auth = ("admin", node.admin_password)
    return made


@pytest.fixture
def client(node: Node, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(url(node), session=session)


def url(node: Node, path: str = "", **params: Any) -> str:
    return f"http://{node.host}:{node.http_port}/dicomweb{path}{'?' * bool(params)}{urlencode(params, doseq=True)}"


def uids(answers: list[dict[str, Any]], tag: str = "0020000D") -> list[str]:
    return [answer[tag]["Value"][0] for answer in answers]


def stored(path: Path) -> bytes:
    meta = pydicom.filereader.read_file_meta_info(path)
    return path.read_bytes()[144 + meta.FileMetaInformationGroupLength :]


# Search


def test_the_client_finds_studies_series_and_instances(client: DICOMwebClient) -> None:
    (study,) = client.search_for_studies(search_filters={"PatientID": "P03"})
    assert study["0020000D"]["Value"] == ["1.2.3.3"]
    assert study["00100010"]["Value"] == [{"Alphabetic": "Müller^3"}]
    assert study["00201208"]["Value"] == [1]
    assert study["00080061"]["Value"] == ["CT"]
    assert study["00081190"]["Value"] == ["/dicomweb/studies/1.2.3.3"]
    (series,) = client.search_for_series("1.2.3.3")
    assert series["0020000E"]["Value"] == ["1.2.3.3.1"]
    (instance,) = client.search_for_instances("1.2.3.3", "1.2.3.3.1")
    assert instance["00280010"]["Value"] == [128]
    assert len(client.search_for_instances()) == 15


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"PatientID": "P0*"}, 10),
        ({"00100020": "P11"}, 1),
        ({"PatientName": "muller^1"}, 1),
        ({"PatientName": "MÜLLER*"}, 12),
        ({"StudyDate": "20240103-20240105"}, 3),
        ({"StudyDate": "-20240102", "PatientName": "m*"}, 2),
        ({"StudyInstanceUID": "1.2.3.1,1.2.3.2"}, 2),
        ({"StudyInstanceUID": "1.2.3.1\\1.2.3.2"}, 2),
        ({"ModalitiesInStudy": "MR", "includefield": "all"}, 1),
        ({"Modality": "CT"}, 12),
        ({"PatientID": "nobody"}, 0),
    ],
)
def test_keys_are_matched_as_they_are_over_dimse(
    node: Node, session: requests.Session, params: dict[str, str], expected: int
) -> None:
    answer = session.get(url(node, "/studies", **params))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert len(answer.json()) == expected
    assert answer.headers["X-Total-Count"] == str(expected)
    assert "Warning" not in answer.headers


def test_pages_follow_each_other_and_say_that_there_is_more(node: Node, session: requests.Session) -> None:
    whole = uids(session.get(url(node, "/studies")).json())
    pages = [session.get(url(node, "/studies", limit=5, offset=offset)) for offset in (0, 5, 10)]
    assert [uid for page in pages for uid in uids(page.json())] == whole
    assert len(whole) == 14
    assert ["additional results" in page.headers.get("Warning", "") for page in pages] == [True, True, False]
    assert {page.headers["X-Total-Count"] for page in pages} == {"14"}
    assert session.get(url(node, "/studies", offset=10**12)).json() == []


@pytest.mark.parametrize("name", ["fuzzymatching", "00091002", "Nonsense", "WaveformData"])
def test_what_is_not_supported_is_left_out_and_named(node: Node, session: requests.Session, name: str) -> None:
    value = "true" if name == "fuzzymatching" else "x"
    answer = session.get(url(node, "/studies", **{name: value}))
    assert (answer.status_code, len(answer.json())) == (200, 14)
    assert answer.headers["Warning"].startswith("299 ")
    assert name in answer.headers["Warning"]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "-1"},
        {"limit": "many"},
        {"offset": "-1"},
        {"limit": ["1", "2"]},
        {"StudyDate": "yesterday"},
        {"StudyInstanceUID": "../x"},
        {"PatientID": ["a", "b"]},
        {"fuzzymatching": "perhaps"},
    ],
)
def test_wrong_values_are_400_and_say_what_is_wrong(
    node: Node, session: requests.Session, params: dict[str, Any]
) -> None:
    answer = session.get(url(node, "/studies", **params))
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json()["status"] == 400
    assert answer.json()["title"]


def test_more_fields_are_shown_when_asked_for(node: Node, session: requests.Session) -> None:
    assert "00101010" not in session.get(url(node, "/studies", PatientID="P01")).json()[0]
    for field in ("PatientAge", "00101010", "all", "StudyDate,PatientAge"):
        assert "00101010" in session.get(url(node, "/studies", PatientID="P01", includefield=field)).json()[0]


# Who may


def test_nobody_sees_anything_without_signing_in(node: Node) -> None:
    for path in ("/studies", "/studies/1.2.3.1", "/studies/1.2.3.1/metadata"):
        answer = requests.get(url(node, path))
        assert answer.status_code == 401
        assert "Basic" in answer.headers["WWW-Authenticate"]
    assert requests.get(url(node, "/studies"), auth=("admin", "wrong-horse")).status_code == 401


def test_a_user_without_the_right_is_403(node: Node) -> None:
    node.shell(
        "from django.contrib.auth.models import User; User.objects.create_user('guest', password='guest-of-ours')"
    )
    assert requests.get(url(node, "/studies"), auth=("guest", "guest-of-ours")).status_code == 403


def test_a_password_that_was_changed_does_not_work_a_moment_later(node: Node) -> None:
    node.shell(
        "from django.contrib.auth.models import User; User.objects.create_superuser('boss', password='first-of-ours')"
    )
    assert requests.get(url(node, "/studies"), auth=("boss", "first-of-ours")).status_code == 200
    node.shell(
        "from django.contrib.auth.models import User; u = User.objects.get(username='boss');"
        "u.set_password('second-of-ours'); u.save()"
    )
    assert requests.get(url(node, "/studies"), auth=("boss", "first-of-ours")).status_code == 401


# Retrieve


def test_the_client_gets_instances_as_they_were_stored(client: DICOMwebClient) -> None:
    (study,) = client.search_for_studies(search_filters={"ModalitiesInStudy": "MR"})
    got = client.retrieve_study(study["0020000D"]["Value"][0])
    assert {dataset.SOPInstanceUID for dataset in got} == {pydicom.dcmread(RLE).SOPInstanceUID, OTHER}


def test_explicit_vr_comes_back_bit_by_bit(node: Node, session: requests.Session) -> None:
    path = "/studies/1.2.3.4/series/1.2.3.4.1/instances/1.2.3.4.1.1"
    for accept in ("application/dicom; transfer-syntax=*", "application/dicom"):
        answer = session.get(url(node, path), headers={"Accept": accept})
        assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
        assert answer.content.endswith(stored(node.directory.parent / "files" / "4.dcm"))
    assert pydicom.dcmread(io.BytesIO(answer.content)).PatientID == "P04"


def parts(answer: requests.Response) -> list[tuple[str, bytes]]:
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    found = []
    for part in answer.content.split(b"\r\n--" + boundary)[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        found.append((head.decode().partition("Content-Type: ")[2], body))
    return found


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ('multipart/related; type="application/dicom"; transfer-syntax=*', {RLE_LOSSLESS, EXPLICIT}),
        ('multipart/related; type="application/dicom"', {EXPLICIT}),
        ("multipart/related; type=application/dicom", {EXPLICIT}),
        ('multipart/related; type="*/*"', {EXPLICIT}),
        ("*/*", {EXPLICIT}),
        ("image/jpeg;q=0.9, multipart/related;q=0.5", {EXPLICIT}),
    ],
)
def test_a_series_comes_in_the_transfer_syntax_asked_for(
    node: Node, session: requests.Session, accept: str, expected: set[str]
) -> None:
    study = uids(session.get(url(node, "/studies", ModalitiesInStudy="MR")).json())[0]
    answer = session.get(url(node, f"/studies/{study}"), headers={"Accept": accept})
    assert answer.status_code == 200
    syntaxes = set()
    pixels = pydicom.dcmread(RLE).pixel_array
    for content_type, body in parts(answer):
        dataset = pydicom.dcmread(io.BytesIO(body))
        syntaxes.add(str(dataset.file_meta.TransferSyntaxUID))
        assert content_type == f"application/dicom; transfer-syntax={dataset.file_meta.TransferSyntaxUID}"
        assert (dataset.pixel_array == pixels).all()
    assert syntaxes == expected
    assert len(parts(answer)) == 2


def test_a_study_is_downloaded_as_zip(node: Node, session: requests.Session) -> None:
    study = uids(session.get(url(node, "/studies", ModalitiesInStudy="MR")).json())[0]
    for request in ({"headers": {"Accept": "application/zip"}}, {"params": {"accept": "application/zip"}}):
        answer = session.get(url(node, f"/studies/{study}"), **request)  # type: ignore[arg-type]
        assert answer.headers["Content-Type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == 2
            for name in archive.namelist():
                assert pydicom.dcmread(io.BytesIO(archive.read(name))).SOPInstanceUID == name.removesuffix(".dcm")


def test_metadata_is_what_the_file_says(node: Node, client: DICOMwebClient) -> None:
    (instance,) = client.retrieve_series_metadata("1.2.3.5", "1.2.3.5.1")
    assert instance["00100020"]["Value"] == ["P05"]
    bulk = "/dicomweb/studies/1.2.3.5/series/1.2.3.5.1/instances/1.2.3.5.1.1/bulkdata/7FE00010"
    assert instance["7FE00010"]["BulkDataURI"] == bulk
    assert json.dumps(client.retrieve_study_metadata("1.2.3.5")) == json.dumps([instance])


INSTANCE = "/studies/1.2.3.5/series/1.2.3.5.1/instances/1.2.3.5.1.1"


def test_the_client_gets_the_bulk_data_that_metadata_names(node: Node, client: DICOMwebClient) -> None:
    for study in ("1.2.3.5", str(pydicom.dcmread(RLE).StudyInstanceUID)):
        for instance in client.retrieve_study_metadata(study):
            address = instance["7FE00010"]["BulkDataURI"]
            (value,) = client.retrieve_bulkdata(f"http://{node.host}:{node.http_port}{address}")
            path = CT if study == "1.2.3.5" else RLE
            assert value == pydicom.dcmread(path).pixel_array.tobytes()


def test_a_value_comes_whole_or_in_part(node: Node, session: requests.Session) -> None:
    address = url(node, f"{INSTANCE}/bulkdata/7FE00010")
    whole = session.get(address, headers={"Accept": "application/octet-stream"})
    assert whole.content == pydicom.dcmread(CT).PixelData
    assert whole.headers["Content-Length"] == str(len(whole.content))
    part = session.get(address, headers={"Accept": "application/octet-stream", "Range": "bytes=1001-2002"})
    assert (part.status_code, part.content) == (206, whole.content[1001:2003])
    assert part.headers["Content-Range"] == f"bytes 1001-2002/{len(whole.content)}"
    beyond = session.get(address, headers={"Accept": "application/octet-stream", "Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole.content)}")


def test_big_endian_values_come_in_little_endian_wherever_one_begins(node: Node, session: requests.Session) -> None:
    study = pydicom.dcmread(RLE)
    address = url(
        node,
        f"/studies/{study.StudyInstanceUID}/series/{study.SeriesInstanceUID}/instances/{OTHER}/bulkdata/7FE00010",
    )
    pixels = study.pixel_array.tobytes()
    for start, stop in ((0, len(pixels)), (3, 4), (1, 10), (5, len(pixels) - 3)):
        headers = {"Accept": "application/octet-stream", "Range": f"bytes={start}-{stop - 1}"}
        assert session.get(address, headers=headers).content == pixels[start:stop]


@pytest.mark.parametrize("way", ["7FE00099", "00080018/0/00080018", "PixelData", "x", "00081140/0"])
def test_a_value_that_is_not_there_is_404(node: Node, session: requests.Session, way: str) -> None:
    assert session.get(url(node, f"{INSTANCE}/bulkdata/{way}")).status_code == 404


def test_a_file_that_is_lost_costs_its_own_instance_only(node: Node, session: requests.Session) -> None:
    study = str(pydicom.dcmread(RLE).StudyInstanceUID)
    (place,) = node.sql("SELECT path FROM storage_instance WHERE sop_instance_uid = %s", [OTHER])[0]
    kept = node.data / "kept"
    (node.data / "archive" / place).rename(kept)
    try:
        left = session.get(url(node, f"/studies/{study}"))
        assert (left.status_code, len(parts(left))) == (200, 1)
        assert len(session.get(url(node, f"/studies/{study}/metadata")).json()) == 1
        series = pydicom.dcmread(RLE).SeriesInstanceUID
        for path, accept in (("", "application/dicom"), ("", "application/zip"), ("/metadata", "*/*"), ("", "*/*")):
            address = url(node, f"/studies/{study}/series/{series}/instances/{OTHER}{path}")
            answer = session.get(address, headers={"Accept": accept})
            assert answer.status_code == 410
            assert answer.headers["Content-Type"] == "application/problem+json"
    finally:
        kept.rename(node.data / "archive" / place)


def test_an_image_that_cannot_be_decoded_comes_as_it_is(node: Node, session: requests.Session) -> None:
    study = pydicom.dcmread(BROKEN).StudyInstanceUID
    answer = session.get(url(node, f"/studies/{study}"))
    ((content_type, body),) = parts(answer)
    assert content_type.endswith("transfer-syntax=1.2.840.10008.1.2.4.51")
    assert body.endswith(stored(BROKEN))
    asked = f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}'
    assert session.get(url(node, f"/studies/{study}"), headers={"Accept": asked}).status_code == 406


@pytest.mark.parametrize("path", ["/", "/studies/", "/nothing/1.2.3", "/studies/1.2.3.1/nothing"])
def test_an_address_that_is_none_is_404_as_the_others_say_it(node: Node, session: requests.Session, path: str) -> None:
    answer = session.get(url(node, path))
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


@pytest.mark.parametrize("path", ["", "/metadata"])
def test_what_is_not_there_is_404_and_what_is_no_uid_400(node: Node, session: requests.Session, path: str) -> None:
    assert session.get(url(node, f"/studies/9.9.9{path}")).status_code == 404
    assert session.get(url(node, f"/studies/1.2.3.1/series/1.2.3.2.1{path}")).status_code == 404
    assert session.get(url(node, f"/studies/x..y{path}")).status_code == 400


def test_what_was_deleted_is_410_and_found_no_more(node: Node, session: requests.Session) -> None:
    node.shell(
        "from apps.accounts.principal import system; from apps.storage import archive\n"
        "archive.delete(principal=system('test'), study_instance_uid='1.2.3.11')"
    )
    for path in ("", "/metadata", "/series/1.2.3.11.1", "/series/1.2.3.11.1/instances/1.2.3.11.1.1"):
        assert session.get(url(node, f"/studies/1.2.3.11{path}")).status_code == 410
    assert session.get(url(node, "/studies", PatientID="P11")).json() == []
    node.shell(
        "from apps.accounts.principal import system; from apps.storage import archive\n"
        "from apps.storage.models import DeletedInstance\n"
        "archive.restore(principal=system('test'), deletion=DeletedInstance.objects.get().record)"
    )
    assert session.get(url(node, "/studies/1.2.3.11")).status_code == 200


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/studies", "text/html"),
        ("/studies/1.2.3.1", "image/jpeg"),
        ("/studies/1.2.3.1", "application/dicom"),
        ("/studies/1.2.3.1/metadata", "image/png"),
        ("/studies/1.2.3.1", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90'),
        ("/studies/1.2.3.1", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2'),
    ],
)
def test_a_form_we_do_not_have_is_406_and_says_what_there_is(
    node: Node, session: requests.Session, path: str, accept: str
) -> None:
    answer = session.get(url(node, path), headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json()["title"]
