"""QIDO-RS as `dicomweb-client` and plain HTTP see it."""

from typing import Any

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from django.contrib.auth.models import User
from django.test import Client

from apps.qr import rows
from tests.node import Node
from tests.qr.web import uids, url


@pytest.mark.live
def test_the_client_finds_studies_series_and_instances(dicomweb: DICOMwebClient) -> None:
    (study,) = dicomweb.search_for_studies(search_filters={"PatientID": "P03"})
    assert study["0020000D"]["Value"] == ["1.2.3.3"]
    assert study["00100010"]["Value"] == [{"Alphabetic": "Müller^3"}]
    assert study["00201208"]["Value"] == [1]
    assert study["00080061"]["Value"] == ["CT"]
    assert study["00081190"]["Value"] == ["/dicomweb/studies/1.2.3.3"]
    (series,) = dicomweb.search_for_series("1.2.3.3")
    assert series["0020000E"]["Value"] == ["1.2.3.3.1"]
    (instance,) = dicomweb.search_for_instances("1.2.3.3", "1.2.3.3.1")
    assert instance["00280010"]["Value"] == [128]
    assert len(dicomweb.search_for_instances()) == 15


@pytest.mark.live
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
    web: Node, session: requests.Session, params: dict[str, str], expected: int
) -> None:
    answer = session.get(url(web, "/studies", **params))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert len(answer.json()) == expected
    assert answer.headers["X-Total-Count"] == str(expected)
    assert "Warning" not in answer.headers


@pytest.mark.live
def test_pages_follow_each_other_and_say_that_there_is_more(web: Node, session: requests.Session) -> None:
    whole = uids(session.get(url(web, "/studies")).json())
    pages = [session.get(url(web, "/studies", limit=5, offset=offset)) for offset in (0, 5, 10)]
    assert [uid for page in pages for uid in uids(page.json())] == whole
    assert len(whole) == 14
    assert ["additional results" in page.headers.get("Warning", "") for page in pages] == [True, True, False]
    assert {page.headers["X-Total-Count"] for page in pages} == {"14"}
    assert session.get(url(web, "/studies", offset=10**12)).json() == []


FLAGS = ["fuzzymatching", "emptyvaluematching", "multiplevaluematching"]


@pytest.mark.live
@pytest.mark.parametrize("name", [*FLAGS, "00091002", "00090010", "Nonsense", "WaveformData", "Modality.PatientID"])
def test_what_is_not_supported_is_left_out_and_named(web: Node, session: requests.Session, name: str) -> None:
    value = "true" if name in FLAGS else "x"
    answer = session.get(url(web, "/studies", **{name: value}))
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
    web: Node, session: requests.Session, params: dict[str, Any]
) -> None:
    answer = session.get(url(web, "/studies", **params))
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json()["status"] == 400
    assert answer.json()["title"]


@pytest.mark.live
def test_fields_that_there_are_not_are_named(web: Node, session: requests.Session) -> None:
    for field in ("Nonsense", "00091002", "WaveformData", "Rows"):
        answer = session.get(url(web, "/studies", PatientID="P01", includefield=f"PatientAge,{field}"))
        assert "00101010" in answer.json()[0]
        assert f"includefield={field}" in answer.headers["Warning"]
        assert "PatientAge" not in answer.headers["Warning"]
    always = "RetrieveURL,InstanceAvailability,SpecificCharacterSet"
    assert "Warning" not in session.get(url(web, "/studies", PatientID="P01", includefield=always)).headers


@pytest.mark.live
def test_a_list_of_a_thousand_uids_is_one_request(web: Node, session: requests.Session) -> None:
    many = [f"1.2.826.0.1.3680043.10.1461.9.1.1234567890123456.{number}" for number in range(1_000_000, 1_001_000)]
    answer = session.get(url(web, "/studies", StudyInstanceUID=",".join([*many, "1.2.3.1", "1.2.3.2"])))
    assert (answer.status_code, len(answer.json())) == (200, 2)
    assert session.get(url(web, "/studies", StudyInstanceUID="1" * (1 << 17))).status_code in (400, 414)


@pytest.mark.live
@pytest.mark.parametrize(
    "query",
    [
        "PatientName=%00",
        "PatientID=%00",
        "PatientName=a%00b*",
        "StudyDate=%00",
        "00100020.00100010=x",
        "PatientName=%F0%28%8C%BC",
        "PatientName=" + "*?" * 3000,
        "PatientID=" + "x" * 5000,
        "includefield=" + "," * 3000,
        "StudyInstanceUID=" + "1.2," * 3000,
        "StudyDate=00000000-99999999",
        "StudyTime=999999",
        "SeriesNumber=99999999999999999999999",
        "limit=100000000000000000000000000&offset=9223372036854775808",
        "=x&&&;&%",
        "PatientName=%3Cscript%3E",
        "RequestAttributesSequence=x",
        ".=x",
        "PatientID.=x",
    ],
)
def test_nothing_that_is_asked_breaks_the_server(web: Node, session: requests.Session, query: str) -> None:
    answer = session.get(f"{url(web, '/studies')}?{query}")
    assert answer.status_code in (200, 400), answer.text
    assert answer.headers["Content-Type"] in ("application/dicom+json", "application/problem+json")


@pytest.mark.live
def test_more_fields_are_shown_when_asked_for(web: Node, session: requests.Session) -> None:
    assert "00101010" not in session.get(url(web, "/studies", PatientID="P01")).json()[0]
    for field in ("PatientAge", "00101010", "all", "StudyDate,PatientAge"):
        assert "00101010" in session.get(url(web, "/studies", PatientID="P01", includefield=field)).json()[0]


# Where and how it is asked


@pytest.fixture
def reader(client: Client, archive: None) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("studies", 3),
        ("series", 5),
        ("instances", 10),
        ("studies/1.1/series", 3),
        ("studies/1.1/instances", 6),
        ("studies/1.1/series/1.1.1/instances", 2),
        ("studies/9.9/series", 0),
        ("studies/9.9/series/9.9.1/instances", 0),
        ("studies/1.2/series/1.1.1/instances", 0),
        ("series?StudyInstanceUID=1.1&Modality=CT", 2),
        ("studies/1.1/series?Modality=SR", 1),
        ("instances?PatientID=P2", 2),
        ("instances?0020000D=1.2", 2),
        ("studies?ModalitiesInStudy=MR", 1),
        ("studies?0020000d=1.1,1.2", 2),
        ("studies?0020000D=1.1%5C1.2&0020000D=1.3", 3),
        ("series?RequestAttributesSequence.ScheduledProcedureStepID=S1", 1),
        ("series?00400275.00400009=S1&00400275.00401001=RP1", 1),
        ("series?00400275.00400009=S2", 0),
        ("studies?StudyDate=20240220&StudyTime=0700-0900", 1),
        ("studies?limit=0", 0),
    ],
)
def test_it_is_asked_at_each_level_by_keyword_or_tag_nested_or_flat(reader: Client, path: str, count: int) -> None:
    answer = reader.get(f"/dicomweb/{path}")
    assert (answer.status_code, len(answer.json())) == (200, count)
    assert "Warning" not in answer.headers or path.endswith("limit=0")


def test_a_page_says_how_many_there_are_wherever_it_is(reader: Client) -> None:
    for offset, limit in ((0, 1), (1, 1), (2, 1), (2, 5), (0, 3), (3, 1), (7, 2), (0, 0)):
        answer = reader.get(f"/dicomweb/studies?limit={limit}&offset={offset}")
        assert answer.headers["X-Total-Count"] == "3"
        assert len(answer.json()) == max(0, min(limit, 3 - offset))


def test_pages_far_down_are_as_those_near(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    near = [reader.get(f"/dicomweb/instances?offset={offset}").json() for offset in range(6)]
    monkeypatch.setattr(rows, "_NEAR", -1)
    assert [reader.get(f"/dicomweb/instances?offset={offset}").json() for offset in range(6)] == near


def test_answers_come_as_xml_each_a_part(reader: Client) -> None:
    xml = 'multipart/related; type="application/dicom+xml"'
    answer = reader.get("/dicomweb/studies?limit=2", HTTP_ACCEPT=xml)
    assert answer.headers["Content-Type"].startswith(xml)
    assert answer.headers["X-Total-Count"] == "3"
    body = b"".join(answer)
    assert body.count(b"<NativeDicomModel") == 2
    assert b'keyword="StudyInstanceUID"><Value number="1">1.3</Value>' in body
    assert reader.get("/dicomweb/studies?PatientID=nobody", HTTP_ACCEPT=xml).status_code == 204
