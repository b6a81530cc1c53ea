"""WADO-RS of metadata: what the files say, kept for each revision of a series."""

import gzip
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from django.conf import LazySettings as Settings
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts.principal import system
from apps.storage import archive
from apps.storage.models import Instance
from tests.node import Node
from tests.qr.files import keep
from tests.qr.web import parts, url

STUDY = "/dicomweb/studies/1.2.3"
SERIES = f"{STUDY}/series/1.2.3.1"


@pytest.fixture
def reader(client: Client, folders: None) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def kept(settings: Settings) -> list[Path]:
    return [path for path in (settings.DATA / "cache" / "metadata").glob("*/*") if path.is_file()]


def read(reader: Client, path: str, **headers: str) -> bytes:
    answer = reader.get(f"{path}/metadata", **headers)  # type: ignore[arg-type]
    assert answer.status_code == 200
    body = b"".join(answer) if answer.streaming else answer.content
    return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body


def numbers(body: bytes) -> list[int]:
    return [instance["00200013"]["Value"][0] for instance in json.loads(body)]


@pytest.mark.live
def test_the_client_gets_what_the_file_says(web: Node, dicomweb: DICOMwebClient) -> None:
    (instance,) = dicomweb.retrieve_series_metadata("1.2.3.5", "1.2.3.5.1")
    assert instance["00100020"]["Value"] == ["P05"]
    bulk = "/dicomweb/studies/1.2.3.5/series/1.2.3.5.1/instances/1.2.3.5.1.1/bulkdata/7FE00010"
    assert instance["7FE00010"]["BulkDataURI"] == bulk
    assert dicomweb.retrieve_study_metadata("1.2.3.5") == [instance]
    assert dicomweb.retrieve_instance_metadata("1.2.3.5", "1.2.3.5.1", "1.2.3.5.1.1") == instance


@pytest.mark.live
def test_it_is_the_same_the_first_time_and_later_compressed_or_not(web: Node, session: requests.Session) -> None:
    address = url(web, "/studies/1.2.3.6/series/1.2.3.6.1/metadata")
    for encodings in (("gzip", "identity"), ("identity", "gzip")):
        answers = [session.get(address, headers={"Accept-Encoding": coding}) for coding in (*encodings, *encodings)]
        for answer, coding in zip(answers, (*encodings, *encodings), strict=True):
            assert answer.headers["Content-Type"] == "application/dicom+json"
            assert answer.headers.get("Content-Encoding", "identity") == coding
            assert answer.content == answers[0].content
        shutil.rmtree(web.data / "cache")
    assert answers[0].json()[0]["00100020"]["Value"] == ["P06"]


@pytest.mark.live
def test_who_has_it_already_is_told_so(web: Node, session: requests.Session) -> None:
    address = url(web, "/studies/1.2.3.7/series/1.2.3.7.1/metadata")
    tag = session.get(address).headers["ETag"]
    assert not tag.startswith("W/")
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = session.get(address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
        assert answer.headers["Cache-Control"] == "private, no-cache"
    for other in ({"Accept-Encoding": "identity"}, {"Accept": "application/json"}):
        answer = session.get(address, headers={"If-None-Match": tag, **other})
        assert (answer.status_code, answer.headers["ETag"] == tag) == (200, False)
    assert requests.get(address, headers={"If-None-Match": tag}).status_code == 401


def test_what_a_series_has_got_since_is_in_it(reader: Client, settings: Settings) -> None:
    keep(1, 2)
    assert numbers(read(reader, SERIES)) == [1, 2]
    assert numbers(read(reader, SERIES, HTTP_ACCEPT_ENCODING="gzip")) == [1, 2]
    (first,) = kept(settings)
    keep(3)
    assert numbers(read(reader, SERIES, HTTP_ACCEPT_ENCODING="gzip")) == [1, 2, 3]
    (second,) = kept(settings)  # that of the revision before is gone
    assert first.name != second.name
    archive.delete(
        principal=system("test"),
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        sop_instance_uids=["1.2.3.1.2"],
    )
    assert numbers(read(reader, SERIES)) == [1, 3]


def test_a_study_is_its_series_joined(reader: Client, settings: Settings) -> None:
    keep(*range(30))
    keep(7, series="1.2.3.2", series_number="1")
    keep(8, series="1.2.3.3", series_number="2")
    for _ in range(2):
        for coding in ("identity", "gzip"):
            assert sorted(numbers(read(reader, STUDY, HTTP_ACCEPT_ENCODING=coding))) == sorted([*range(30), 7, 8])
    assert len(kept(settings)) == 3
    assert len(numbers(read(reader, SERIES))) == 30


def test_what_cannot_be_read_today_is_asked_for_again_tomorrow(reader: Client, settings: Settings) -> None:
    keep(1, 2)
    place = settings.ARCHIVE / Instance.objects.get(instance_number="2").path
    aside = place.rename(settings.DATA / "aside")
    assert numbers(read(reader, SERIES)) == [1]
    assert numbers(read(reader, STUDY)) == [1]
    assert kept(settings) == []
    aside.rename(place)
    assert numbers(read(reader, SERIES)) == [1, 2]
    assert len(kept(settings)) == 1


def test_a_series_without_files_is_gone_and_the_rest_of_its_study_is_not(reader: Client, settings: Settings) -> None:
    keep(1)
    keep(2, series="1.2.3.2")
    (settings.ARCHIVE / Instance.objects.get(instance_number="1").path).unlink()
    assert reader.get(f"{SERIES}/metadata").status_code == 410
    assert numbers(read(reader, STUDY)) == [2]
    (settings.ARCHIVE / Instance.objects.get(instance_number="2").path).unlink()
    shutil.rmtree(settings.DATA / "cache")
    assert reader.get(f"{STUDY}/metadata").status_code == 410


def test_what_is_damaged_is_not_gone(reader: Client, settings: Settings) -> None:
    """It is still there as it is: 410 would say that somebody has deleted it."""
    keep(1)
    row = Instance.objects.get()
    place = settings.ARCHIVE / row.path
    content = place.read_bytes()
    at = content.index(b"\x10\x00\x10\x00PN", row.dataset_offset)
    place.chmod(0o600)
    place.write_bytes(content[: at + 6] + b"\xff\xff" + content[at + 8 :])
    instance = f"{SERIES}/instances/{row.sop_instance_uid}"
    for path in (STUDY, SERIES, instance):
        for resource in ("metadata", "bulkdata"):
            answer = reader.get(f"{path}/{resource}")
            assert (answer.status_code, "as it is" in answer.json()["title"]) == (406, True)
    assert reader.get(f"{STUDY}/metadata", headers={"Accept": "application/dicom+xml"}).status_code == 406
    assert reader.get(f"{instance}/bulkdata/7FE00010").status_code == 406
    stored = reader.get(instance, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert stored.getvalue().endswith(content[-100:])


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(reader: Client, settings: Settings) -> None:
    keep(*range(60))
    answer = reader.get(f"{SERIES}/metadata", HTTP_ACCEPT_ENCODING="identity")
    next(iter(answer))
    answer.close()
    assert kept(settings) == []


def test_what_was_kept_is_shown_to_those_who_may_see_it(reader: Client) -> None:
    keep(1)
    read(reader, SERIES)
    guest = Client()
    guest.force_login(User.objects.create_user("guest"))
    assert guest.get(f"{SERIES}/metadata").status_code == 403


XML = 'multipart/related; type="application/dicom+xml"'


@pytest.mark.live
@pytest.mark.parametrize("accept", [XML, "multipart/related; type=application/dicom+xml", "application/dicom+xml"])
@pytest.mark.parametrize("path", ["", "/series/1.2.3.5.1", "/series/1.2.3.5.1/instances/1.2.3.5.1.1"])
def test_it_comes_as_xml_an_instance_each_part(web: Node, session: requests.Session, path: str, accept: str) -> None:
    address = url(web, f"/studies/1.2.3.5{path}/metadata")
    answer = session.get(address, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(XML)
    ((content_type, body),) = parts(answer)
    assert content_type == "application/dicom+xml"
    found = {one.attrib["tag"]: one for one in ElementTree.fromstring(body)}
    assert found["00100020"][0].text == "P05"
    assert found["7FE00010"][0].attrib["uri"].startswith("/dicomweb/studies/1.2.3.5/series/")
    again = session.get(address, headers={"Accept": accept, "If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.live
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{XML};q=0.5, application/dicom+json;q=0.4", "multipart/related"),
        (f"{XML};q=0.4, application/dicom+json;q=0.5", "application/dicom+json"),
        (f"image/png, */*;q=0.1, {XML};q=0.05", "application/dicom+json"),
        ("application/json, application/dicom+json;q=0.9", "application/json"),
        ("application/*", "application/dicom+json"),
        ('multipart/related; type="*/*"', "multipart/related"),
        (f"{XML};q=0, */*", "application/dicom+json"),
    ],
)
@pytest.mark.parametrize("path", ["/studies/1.2.3.5/metadata", "/studies?PatientID=P05"])
def test_what_is_liked_better_comes(
    web: Node, session: requests.Session, path: str, accept: str, expected: str
) -> None:
    answer = session.get(url(web, path), headers={"Accept": accept})
    assert answer.headers["Content-Type"].partition(";")[0] == expected
