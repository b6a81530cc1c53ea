"""What STOW-RS refuses, each with its status."""

import secrets
import zlib
from typing import Any

import pydicom
import pytest
import requests

from dicom import part10
from tests.node import Node
from tests.storage import made
from tests.storage.stow.web import (
    CT,
    MULTIPART,
    data_set_of,
    encoded,
    file_of,
    framed,
    image,
    post,
    reasons,
    url,
)

pytestmark = pytest.mark.live


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
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
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


def test_a_hundred_thousand_parts_are_refused_in_order_and_what_came_first_is_stored(
    node: Node, session: requests.Session
) -> None:
    ds = image()
    body = framed(encoded(ds)).removesuffix(b"--b--\r\n") + b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--"
    answer = post(node, session, body)
    assert answer.status_code == 413
    assert "parts" in answer.json()["title"]
    assert file_of(node, ds.SOPInstanceUID)[0] == data_set_of(encoded(ds))


def test_a_data_set_nested_ten_thousand_deep_is_no_danger(node: Node, session: requests.Session) -> None:
    depth = 10_000
    head = made.data_set(sop="1.2.3.10000", pixels=None)
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    ends = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth
    at = head.index(b"\x10\x00\x10\x00")  # before the patient's name
    answer = post(node, session, framed(head[:at] + nested + ends + head[at:]))
    assert answer.status_code in (200, 409)
    assert session.get(url(node, "/studies")).status_code == 200


def test_a_deflated_data_set_that_grows_without_end_is_refused(node: Node, session: requests.Session) -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    head = made.data_set(sop="1.2.3.99.1", pixels=None)
    zeros = bytes(1 << 20)
    bomb = deflater.compress(head + b"\x09\x00\x01\x10OB\0\0" + (0xFFFFFFF0).to_bytes(4, "little"))
    bomb += b"".join(deflater.compress(zeros) for _ in range(1024)) + deflater.flush()
    meta = part10.meta_group(
        sop_class_uid=made.CT,
        sop_instance_uid="1.2.3.99.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1.99",
        provenance=None,
    )
    answer = post(node, session, framed(meta + bomb))
    assert (answer.status_code, reasons(answer.json())) == (409, ["C000"])


def test_a_boundary_of_two_megabytes_is_refused(node: Node, session: requests.Session) -> None:
    content_type = f'multipart/related; type="application/dicom"; boundary={"b" * (2 << 20)}'
    try:
        status = post(node, session, b"", content_type=content_type).status_code
    except requests.ConnectionError:  # refused before it was sent to its end
        status = 431
    assert status in (400, 431)
