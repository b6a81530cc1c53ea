"""WADO-RS of instances as `dicomweb-client` and plain HTTP see it, and who may."""

import io
import shutil
import zipfile

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient

from tests.node import Node
from tests.qr.web import BROKEN, EXPLICIT, OTHER, RLE, RLE_LOSSLESS, parts, stored, uids, url

pytestmark = pytest.mark.live


# Who may


def test_nobody_sees_anything_without_signing_in(web: Node) -> None:
    for path in ("/studies", "/studies/1.2.3.1", "/studies/1.2.3.1/metadata"):
        answer = requests.get(url(web, path))
        assert answer.status_code == 401
        assert "Basic" in answer.headers["WWW-Authenticate"]
        ours = requests.get(url(web, path), headers={"Referer": url(web)})  # a page of ours, which asks by itself
        assert ours.status_code == 401
        assert "Basic" not in ours.headers["WWW-Authenticate"]
    assert requests.get(url(web, "/studies"), auth=("admin", "wrong-horse")).status_code == 401


def test_a_user_without_the_right_is_403(web: Node) -> None:
    web.shell(
        "from django.contrib.auth.models import User; User.objects.create_user('guest', password='guest-of-ours')"
    )
    assert requests.get(url(web, "/studies"), auth=("guest", "guest-of-ours")).status_code == 403


def test_a_password_that_was_changed_does_not_work_a_moment_later(web: Node) -> None:
    web.shell(
        "from django.contrib.auth.models import User; User.objects.create_superuser('boss', password='first-of-ours')"
    )
    assert requests.get(url(web, "/studies"), auth=("boss", "first-of-ours")).status_code == 200
    web.shell(
        "from django.contrib.auth.models import User; u = User.objects.get(username='boss');"
        "u.set_password('second-of-ours'); u.save()"
    )
    assert requests.get(url(web, "/studies"), auth=("boss", "first-of-ours")).status_code == 401


def test_the_client_gets_instances_as_they_were_stored(dicomweb: DICOMwebClient) -> None:
    (study,) = dicomweb.search_for_studies(search_filters={"ModalitiesInStudy": "MR"})
    got = dicomweb.retrieve_study(study["0020000D"]["Value"][0])
    assert {dataset.SOPInstanceUID for dataset in got} == {pydicom.dcmread(RLE).SOPInstanceUID, OTHER}


def test_explicit_vr_comes_back_bit_by_bit(web: Node, session: requests.Session) -> None:
    path = "/studies/1.2.3.4/series/1.2.3.4.1/instances/1.2.3.4.1.1"
    for accept in ("application/dicom; transfer-syntax=*", "application/dicom"):
        answer = session.get(url(web, path), headers={"Accept": accept})
        assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
        assert answer.content.endswith(stored(web.directory.parent / "files" / "4.dcm"))
    assert pydicom.dcmread(io.BytesIO(answer.content)).PatientID == "P04"


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
    web: Node, session: requests.Session, accept: str, expected: set[str]
) -> None:
    study = uids(session.get(url(web, "/studies", ModalitiesInStudy="MR")).json())[0]
    answer = session.get(url(web, f"/studies/{study}"), headers={"Accept": accept})
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


def test_a_study_is_downloaded_as_zip(web: Node, session: requests.Session) -> None:
    study = uids(session.get(url(web, "/studies", ModalitiesInStudy="MR")).json())[0]
    for request in ({"headers": {"Accept": "application/zip"}}, {"params": {"accept": "application/zip"}}):
        answer = session.get(url(web, f"/studies/{study}"), **request)  # type: ignore[arg-type]
        assert answer.headers["Content-Type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == 2
            for name in archive.namelist():
                assert pydicom.dcmread(io.BytesIO(archive.read(name))).SOPInstanceUID == name.removesuffix(".dcm")


def test_a_file_that_is_lost_costs_its_own_instance_only(web: Node, session: requests.Session) -> None:
    study = str(pydicom.dcmread(RLE).StudyInstanceUID)
    (place,) = web.sql("SELECT path FROM storage_instance WHERE sop_instance_uid = %s", [OTHER])[0]
    kept = web.data / "kept"
    (web.data / "archive" / place).rename(kept)
    shutil.rmtree(web.data / "cache", ignore_errors=True)  # the metadata may have been made ready meanwhile
    try:
        left = session.get(url(web, f"/studies/{study}"))
        assert (left.status_code, len(parts(left))) == (200, 1)
        assert len(session.get(url(web, f"/studies/{study}/metadata")).json()) == 1
        series = pydicom.dcmread(RLE).SeriesInstanceUID
        for path, accept in (("", "application/dicom"), ("", "application/zip"), ("/metadata", "*/*"), ("", "*/*")):
            address = url(web, f"/studies/{study}/series/{series}/instances/{OTHER}{path}")
            answer = session.get(address, headers={"Accept": accept})
            assert answer.status_code == 410
            assert answer.headers["Content-Type"] == "application/problem+json"
    finally:
        kept.rename(web.data / "archive" / place)


def test_an_image_that_cannot_be_decoded_comes_as_it_is(web: Node, session: requests.Session) -> None:
    study = pydicom.dcmread(BROKEN).StudyInstanceUID
    answer = session.get(url(web, f"/studies/{study}"))
    ((content_type, body),) = parts(answer)
    assert content_type.endswith("transfer-syntax=1.2.840.10008.1.2.4.51")
    assert body.endswith(stored(BROKEN))
    asked = f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}'
    assert session.get(url(web, f"/studies/{study}"), headers={"Accept": asked}).status_code == 406


@pytest.mark.parametrize("path", ["/", "/studies/", "/nothing/1.2.3", "/studies/1.2.3.1/nothing"])
def test_an_address_that_is_none_is_404_as_the_others_say_it(web: Node, session: requests.Session, path: str) -> None:
    answer = session.get(url(web, path))
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


@pytest.mark.parametrize("path", ["", "/metadata"])
def test_what_is_not_there_is_404_and_what_is_no_uid_400(web: Node, session: requests.Session, path: str) -> None:
    assert session.get(url(web, f"/studies/9.9.9{path}")).status_code == 404
    assert session.get(url(web, f"/studies/1.2.3.1/series/1.2.3.2.1{path}")).status_code == 404
    assert session.get(url(web, f"/studies/x..y{path}")).status_code == 400


def test_what_was_deleted_is_410_and_found_no_more(web: Node, session: requests.Session) -> None:
    web.shell(
        "from apps.accounts.principal import system; from apps.storage import archive\n"
        "archive.delete(principal=system('test'), study_instance_uid='1.2.3.11')"
    )
    for path in ("", "/metadata", "/series/1.2.3.11.1", "/series/1.2.3.11.1/instances/1.2.3.11.1.1"):
        assert session.get(url(web, f"/studies/1.2.3.11{path}")).status_code == 410
    assert session.get(url(web, "/studies", PatientID="P11")).json() == []
    web.shell(
        "from apps.accounts.principal import system; from apps.storage import archive\n"
        "from apps.storage.models import DeletedInstance\n"
        "archive.restore(principal=system('test'), deletion=DeletedInstance.objects.get().record)"
    )
    assert session.get(url(web, "/studies/1.2.3.11")).status_code == 200


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
    web: Node, session: requests.Session, path: str, accept: str
) -> None:
    answer = session.get(url(web, path), headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json()["title"]


# What the client has already


INSTANCE = "/studies/1.2.3.4/series/1.2.3.4.1/instances/1.2.3.4.1.1"
ALONE = {"Accept": "application/dicom"}


def test_an_instance_that_comes_as_it_is_stored_comes_in_part_as_well(web: Node, session: requests.Session) -> None:
    whole = session.get(url(web, INSTANCE), headers=ALONE)
    size = len(whole.content)
    assert whole.headers["Content-Length"] == str(size)
    assert whole.headers["Accept-Ranges"] == "bytes"
    for start, stop in ((0, 1), (0, size), (100, 400), (size - 3, size), (130, size)):
        part = session.get(url(web, INSTANCE), headers={**ALONE, "Range": f"bytes={start}-{stop - 1}"})
        assert (part.status_code, part.content) == (206, whole.content[start:stop])
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["ETag"] == whole.headers["ETag"]
    assert session.get(url(web, INSTANCE), headers={**ALONE, "Range": "bytes=-7"}).content == whole.content[-7:]
    beyond = session.get(url(web, INSTANCE), headers={**ALONE, "Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_a_part_of_something_that_has_changed_is_not_sent(web: Node, session: requests.Session) -> None:
    tag = session.get(url(web, INSTANCE), headers=ALONE).headers["ETag"]
    for known, status in ((tag, 206), ('"another"', 200)):
        answer = session.get(url(web, INSTANCE), headers={**ALONE, "Range": "bytes=0-9", "If-Range": known})
        assert answer.status_code == status


def test_what_is_encoded_on_its_way_comes_whole(web: Node, session: requests.Session) -> None:
    rle = pydicom.dcmread(RLE)
    path = f"/studies/{rle.StudyInstanceUID}/series/{rle.SeriesInstanceUID}/instances/{rle.SOPInstanceUID}"
    answer = session.get(url(web, path), headers={**ALONE, "Range": "bytes=0-9"})
    assert answer.status_code == 200
    assert (pydicom.dcmread(io.BytesIO(answer.content)).pixel_array == rle.pixel_array).all()
    as_stored = {"Accept": "application/dicom; transfer-syntax=*", "Range": "bytes=132-133"}
    assert session.get(url(web, path), headers=as_stored).content == b"\2\0"
    assert session.get(url(web, path), headers=ALONE).headers["ETag"] == answer.headers["ETag"]
    assert session.get(url(web, path), headers=as_stored).headers["ETag"] != answer.headers["ETag"]


@pytest.mark.parametrize("path", [INSTANCE, "/studies/1.2.3.4", "/studies/1.2.3.4/series/1.2.3.4.1"])
@pytest.mark.parametrize("accept", ["*/*", "application/zip"])
def test_who_has_it_already_gets_304(web: Node, session: requests.Session, path: str, accept: str) -> None:
    first = session.get(url(web, path), headers={"Accept": accept})
    again = session.get(url(web, path), headers={"Accept": accept, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "private, no-cache"
    other = session.get(url(web, "/studies/1.2.3.3"), headers={"Accept": accept})
    assert other.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize(
    "path",
    [
        "/studies?limit=1",
        "/studies/1.2.3.4",
        "/studies/1.2.3.4/metadata",
        f"{INSTANCE}/metadata",
        f"{INSTANCE}/bulkdata/7FE00010",
        INSTANCE,
        "/studies/9.9.9",
    ],
)
def test_head_says_what_get_would_without_the_content(web: Node, session: requests.Session, path: str) -> None:
    session.get(url(web, path))  # what is kept now has a length
    got, head = session.get(url(web, path)), session.head(url(web, path))
    assert head.status_code == got.status_code
    for name in ("ETag", "Content-Length", "X-Total-Count", "Content-Encoding"):
        assert head.headers.get(name) == got.headers.get(name)
    assert head.headers["Content-Type"].partition("boundary")[0] == got.headers["Content-Type"].partition("boundary")[0]
    assert "no-body response" not in web.log_text()
