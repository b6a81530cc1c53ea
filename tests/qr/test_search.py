"""QIDO-RS as `dicomweb-client` and plain HTTP see it."""

from typing import Any

import pytest
import requests
from dicomweb_client.api import DICOMwebClient

from tests.node import Node
from tests.qr.web import uids, url

pytestmark = pytest.mark.live


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


def test_pages_follow_each_other_and_say_that_there_is_more(web: Node, session: requests.Session) -> None:
    whole = uids(session.get(url(web, "/studies")).json())
    pages = [session.get(url(web, "/studies", limit=5, offset=offset)) for offset in (0, 5, 10)]
    assert [uid for page in pages for uid in uids(page.json())] == whole
    assert len(whole) == 14
    assert ["additional results" in page.headers.get("Warning", "") for page in pages] == [True, True, False]
    assert {page.headers["X-Total-Count"] for page in pages} == {"14"}
    assert session.get(url(web, "/studies", offset=10**12)).json() == []


@pytest.mark.parametrize("name", ["fuzzymatching", "00091002", "Nonsense", "WaveformData"])
def test_what_is_not_supported_is_left_out_and_named(web: Node, session: requests.Session, name: str) -> None:
    value = "true" if name == "fuzzymatching" else "x"
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


def test_more_fields_are_shown_when_asked_for(web: Node, session: requests.Session) -> None:
    assert "00101010" not in session.get(url(web, "/studies", PatientID="P01")).json()[0]
    for field in ("PatientAge", "00101010", "all", "StudyDate,PatientAge"):
        assert "00101010" in session.get(url(web, "/studies", PatientID="P01", includefield=field)).json()[0]
