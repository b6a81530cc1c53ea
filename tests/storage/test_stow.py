"""STOW-RS and DELETE as `dicomweb-client`, curl and bad clients use them."""

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from tests.node import Node
from tests.storage import made

pytestmark = pytest.mark.live

CT = Path(str(get_testdata_file("CT_small.dcm")))
RLE = Path(str(get_testdata_file("MR_small_RLE.dcm")))
BIG_ENDIAN = Path(str(get_testdata_file("ExplVR_BigEnd.dcm")))
DEFLATED = Path(str(get_testdata_file("image_dfl.dcm")))
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("stow")) as running:
        running.manage("prepare")
        yield running.start("indexer", "web")


@pytest.fixture
def session(node: Node) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.auth = ("admin", node.admin_password)
        yield made


@pytest.fixture
def client(node: Node, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(url(node), session=session)


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


# What goes well


@pytest.mark.parametrize("named", [False, True])
def test_the_client_stores_images_and_finds_them_at_once(client: DICOMwebClient, named: bool) -> None:
    study = generate_uid()
    images = [image(study) for _ in range(5)]
    answer = client.store_instances(images, study_instance_uid=study if named else None)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        ds.SOPInstanceUID for ds in images
    ]
    assert answer.RetrieveURL == f"/dicomweb/studies/{study}"
    assert answer.ReferencedSOPSequence[0].RetrieveURL == (
        f"/dicomweb/studies/{study}/series/{images[0].SeriesInstanceUID}/instances/{images[0].SOPInstanceUID}"
    )
    assert "FailedSOPSequence" not in answer
    assert len(client.search_for_instances(study)) == 5


def test_images_of_several_studies_have_no_address_in_common(client: DICOMwebClient) -> None:
    answer = client.store_instances([image(), image()])
    assert (len(answer.ReferencedSOPSequence), answer.RetrieveURL) == (2, "")


@pytest.mark.parametrize("path", [CT, RLE, BIG_ENDIAN, DEFLATED])
def test_a_data_set_is_stored_bit_by_bit_as_it_came(node: Node, session: requests.Session, path: Path) -> None:
    ds = pydicom.dcmread(path)
    assert post(node, session, framed(path.read_bytes())).status_code == 200
    content, meta = file_of(node, ds.SOPInstanceUID)
    assert content == data_set_of(path.read_bytes())
    assert meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID


def test_who_sent_it_stands_in_its_file(node: Node, session: requests.Session) -> None:
    ds = image()
    post(node, session, framed(encoded(ds)))
    said = file_of(node, ds.SOPInstanceUID)[1].PrivateInformation
    assert b'"user":"admin"' in said and b'"address":"127.0.0.1"' in said


def test_the_same_again_is_200_and_kept_once(node: Node, session: requests.Session) -> None:
    body = framed(encoded(image()))
    assert [post(node, session, body).status_code for _ in range(2)] == [200, 200]


def test_another_version_is_kept_in_quarantine_with_a_warning(node: Node, session: requests.Session) -> None:
    ds = image()
    post(node, session, framed(encoded(ds)))
    ds.PatientName = "Another^One"
    answer = post(node, session, framed(encoded(ds)))
    assert answer.status_code == 202
    assert reasons(answer.json(), "00081199", "00081196") == ["B00E"]
    assert node.sql(
        "SELECT COUNT(*) FROM storage_quarantinedinstance WHERE sop_instance_uid = %s", [ds.SOPInstanceUID]
    ) == [(1,)]


def test_the_data_set_says_what_it_is_where_the_meta_group_says_otherwise(
    node: Node, session: requests.Session
) -> None:
    ds = image()
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    assert post(node, session, framed(encoded(ds))).status_code == 200
    assert file_of(node, ds.SOPInstanceUID)[0]


def test_a_data_set_without_meta_group_is_stored(node: Node, session: requests.Session) -> None:
    uid = generate_uid()
    assert post(node, session, framed(made.data_set(sop=uid))).status_code == 200
    assert file_of(node, uid)[0] == made.data_set(sop=uid)


# curl


def curl(node: Node, *arguments: str, body: bytes) -> tuple[int, bytes]:
    done = subprocess.run(
        [
            "curl",
            "-s",
            "-u",
            f"admin:{node.admin_password}",
            "-w",
            "%{http_code}",
            "--data-binary",
            "@-",
            *arguments,
            url(node, "/studies"),
        ],
        input=body,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout[-3:]), done.stdout[:-3]


@pytest.mark.parametrize("length", [(), ("-H", "Transfer-Encoding: chunked")])
@pytest.mark.parametrize("expect", [(), ("-H", "Expect: 100-continue")])
@pytest.mark.parametrize("single", [False, True])
def test_curl_stores_with_a_length_and_in_chunks(
    node: Node, length: tuple[str, ...], expect: tuple[str, ...], single: bool
) -> None:
    images = [image() for _ in range(1 if single else 40)]
    body = encoded(images[0]) if single else framed(*map(encoded, images))
    content_type = "application/dicom" if single else MULTIPART
    assert curl(node, "-H", f"Content-Type: {content_type}", *length, *expect, body=body)[0] == 200
    for ds in images[::13]:
        assert file_of(node, ds.SOPInstanceUID)[0] == data_set_of(encoded(ds))


# What goes wrong


def test_a_broken_part_fails_alone(node: Node, session: requests.Session) -> None:
    good = [image(), image()]
    nameless = image()
    del nameless.StudyInstanceUID
    answer = post(node, session, framed(encoded(good[0]), b"no DICOM at all", encoded(nameless), b"", encoded(good[1])))
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 2
    assert reasons(answer.json()) == ["C000"]
    assert answer.json()["00081198"]["Value"][0]["00081155"]["Value"] == [nameless.SOPInstanceUID]
    assert reasons(answer.json(), "0008119A") == ["C000", "C000"]


def changed(**changes: Any) -> bytes:
    return encoded(image(**changes))


def with_syntax(uid: str) -> bytes:
    content = encoded(image())
    old = str(pydicom.dcmread(CT).file_meta.TransferSyntaxUID).encode()
    return content.replace(old, uid.encode().ljust(len(old), b"\0"), 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: changed(SOPClassUID="1.2.840.10008.1.3.10"), "0122"),
        (lambda: changed(SOPClassUID="1.2.840.10008.5.1.4.38.1"), "0122"),
        (lambda: with_syntax("1.2.840.10008.1.2.4.94"), "C122"),
        (lambda: with_syntax("1.2.3.4"), "C122"),
        (lambda: changed(StudyInstanceUID="1.2.3"), "A900"),
        (lambda: encoded(image())[:1500], "C000"),
    ],
)
def test_when_nothing_is_stored_the_answer_is_409_with_the_reason(
    node: Node, session: requests.Session, content: Any, reason: str
) -> None:
    answer = post(node, session, framed(content()), "/studies/1.2.3.4" if reason == "A900" else "/studies")
    assert (answer.status_code, reasons(answer.json())) == (409, [reason])


@pytest.mark.parametrize("uid", ["../../x", "1.2.3/../../4", "1.2.3\\4", "1.2.3'; DROP TABLE", "<script>"])
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_what_is_no_uid_is_refused(node: Node, session: requests.Session, keyword: str, uid: str) -> None:
    content = encoded(image())
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
    old = str(ds[keyword].value).encode()
    at = content.index(old, content.index(b"ORIGINAL"))
    content = content[:at] + uid.encode().ljust(len(old), b"\0") + content[at + len(old) :]
    answer = post(node, session, framed(content))
    assert answer.status_code == 409
    assert set(reasons(answer.json()) + reasons(answer.json(), "0008119A")) == {"C000"}
    assert not list(node.data.rglob("x"))


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=b; boundary=c', 400),
        ('multipart/related; type="application/dicom"; boundary=b<', 400),
        ('multipart/related; type="application/dicom"; boundary=' + "b" * 1000, 400),
        ('multipart/related; type="image/png"; boundary=b', 415),
        ("multipart/form-data; boundary=b", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/zip", 415),
        ("text/html", 415),
        ("", 415),
    ],
)
def test_a_content_type_that_is_not_ours_is_refused(
    node: Node, session: requests.Session, content_type: str, status: int
) -> None:
    answer = post(node, session, framed(encoded(image())), content_type=content_type)
    assert answer.status_code == status
    assert answer.json()["title"]


def test_a_body_that_is_compressed_is_not_inflated(node: Node, session: requests.Session) -> None:
    answer = post(node, session, b"\x1f\x8b" + secrets.token_bytes(100), **{"Content-Encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"--b--", 400), (b"no boundary", 400)])
def test_a_body_without_parts_is_400(node: Node, session: requests.Session, body: bytes, status: int) -> None:
    assert post(node, session, body).status_code == status


def test_a_part_of_another_type_fails_alone(node: Node, session: requests.Session) -> None:
    answer = post(node, session, framed(b"GIF89a", content_type="image/gif"))
    assert (answer.status_code, reasons(answer.json(), "0008119A")) == (409, ["C000"])


def test_who_may_not_store_is_403_and_nobody_401(node: Node) -> None:
    node.shell(
        "from django.contrib.auth.models import Group, User\n"
        "User.objects.create_user('reader', password='correct-horse-reader')"
        ".groups.add(Group.objects.get(name='Radiologists'))"
    )
    body, headers = framed(encoded(image())), {"Content-Type": MULTIPART}
    assert requests.post(url(node, "/studies"), data=body, headers=headers).status_code == 401
    auth = ("reader", "correct-horse-reader")
    assert requests.post(url(node, "/studies"), data=body, headers=headers, auth=auth).status_code == 403


# DELETE


def test_the_client_deletes_instance_series_and_study(client: DICOMwebClient, node: Node) -> None:
    study = generate_uid()
    images = [image(study) for _ in range(4)]
    for ds in images[1:3]:
        ds.SeriesInstanceUID = images[1].SeriesInstanceUID
    client.store_instances(images)
    client.delete_instance(study, images[1].SeriesInstanceUID, images[1].SOPInstanceUID)
    assert len(client.search_for_instances(study)) == 3
    client.delete_series(study, images[1].SeriesInstanceUID)
    assert len(client.search_for_series(study)) == 2
    client.delete_study(study)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []
    deleted = node.sql("SELECT DISTINCT record FROM storage_deletedinstance WHERE study_instance_uid = %s", [study])
    assert len(deleted) == 3


def test_what_was_deleted_is_410_what_never_was_404_and_what_is_sent_again_is_there(
    node: Node, session: requests.Session
) -> None:
    ds = image()
    body = framed(encoded(ds))
    post(node, session, body)
    paths = [f"/studies/{ds.StudyInstanceUID}"]
    paths.append(f"{paths[0]}/series/{ds.SeriesInstanceUID}")
    paths.append(f"{paths[1]}/instances/{ds.SOPInstanceUID}")
    assert session.delete(url(node, f"{paths[1]}/instances/9.9.9")).status_code == 404
    assert session.delete(url(node, f"{paths[0]}/series/9.9.9")).status_code == 404
    assert session.delete(url(node, "/studies/9.9.9")).status_code == 404
    assert session.delete(url(node, "/studies/9.x")).status_code == 400
    answer = session.delete(url(node, paths[2]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert [session.delete(url(node, path)).status_code for path in paths] == [410, 410, 410]
    assert post(node, session, body).status_code == 200
    assert file_of(node, ds.SOPInstanceUID)[0] == data_set_of(encoded(ds))


def test_who_is_no_administrator_deletes_nothing(node: Node, session: requests.Session) -> None:
    node.shell(
        "from django.contrib.auth.models import Group, User\n"
        "for name, role in (('sender', 'Technologists'), ('chief', 'Administrators')):\n"
        "    User.objects.create_user(name, password='correct-horse-' + name).groups.add(Group.objects.get(name=role))"
    )
    ds = image()
    post(node, session, framed(encoded(ds)))
    address = url(node, f"/studies/{ds.StudyInstanceUID}")
    assert requests.delete(address, auth=("sender", "correct-horse-sender")).status_code == 403
    assert requests.delete(address).status_code == 401
    assert requests.delete(address, auth=("chief", "correct-horse-chief")).status_code == 204


def test_an_image_that_is_being_read_is_deleted_and_still_read_to_its_end(
    node: Node, session: requests.Session
) -> None:
    ds = image()
    ds.PixelData = secrets.token_bytes(8 << 20)
    post(node, session, framed(encoded(ds)))
    address = url(node, f"/studies/{ds.StudyInstanceUID}")
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    with session.get(address, headers=accept, stream=True) as reading:
        pieces = reading.iter_content(1 << 16)
        first = next(pieces)
        assert session.delete(address).status_code == 204
        assert data_set_of(encoded(ds))[-(1 << 20) :] in first + b"".join(pieces)
