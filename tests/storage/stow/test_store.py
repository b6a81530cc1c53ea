"""STOW-RS as `dicomweb-client` and curl use it."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import generate_uid

from tests.node import Node
from tests.storage import made
from tests.storage.stow.web import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    MULTIPART,
    RLE,
    data_set_of,
    encoded,
    file_of,
    framed,
    image,
    post,
    reasons,
    url,
)

NATIVE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

pytestmark = pytest.mark.live


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


def test_the_answer_may_be_xml(node: Node, session: requests.Session) -> None:
    ds = image()
    answer = post(node, session, framed(encoded(ds)), Accept="application/dicom+xml")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/dicom+xml")
    values = ElementTree.fromstring(answer.content).iter(f"{{{NATIVE}}}Value")
    assert ds.SOPInstanceUID in [value.text for value in values]


def test_a_browser_stores_by_its_session_and_with_its_token_only(node: Node) -> None:
    ds = image()
    with requests.Session() as browser:
        page = f"http://{node.host}:{node.http_port}/sign-in/"
        browser.get(page)
        form = {"username": "admin", "password": node.admin_password}
        token = str(browser.cookies["csrftoken"])
        assert browser.post(page, data={**form, "csrfmiddlewaretoken": token}, allow_redirects=False).status_code == 302
        refused = post(node, browser, framed(encoded(ds)))
        assert (refused.status_code, "CSRF" in refused.json()["title"]) == (403, True)
        token = str(browser.cookies["csrftoken"])
        assert post(node, browser, framed(encoded(ds)), **{"X-CSRFToken": token}).status_code == 200
        single = {"content_type": "application/dicom", "X-CSRFToken": token}
        assert post(node, browser, encoded(image()), **single).status_code == 200
    assert file_of(node, ds.SOPInstanceUID)[0] == data_set_of(encoded(ds))
