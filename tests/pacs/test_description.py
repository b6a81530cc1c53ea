"""The description of the interface and what there is."""

import re

from django.test import Client
from django.urls import URLPattern

from pacs import dicomweb
from pacs.description import add_dicomweb


def offered() -> set[tuple[str, str]]:
    """Address and method of all that TABLE 2 has."""
    found = set()
    for pattern in dicomweb.urlpatterns:
        assert isinstance(pattern, URLPattern)
        if isinstance(pattern.callback, dicomweb.ByMethod):
            address = re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
            found |= {(f"/dicomweb/{address}", method) for method in pattern.callback.methods}
    return found


def test_all_that_dicomweb_offers_is_described() -> None:
    described = {(path, method) for path, item in add_dicomweb({})["paths"].items() for method in item}
    assert described == offered() | {("/wado", "get")}


def test_the_description_is_for_those_who_are_signed_in(client: Client) -> None:
    assert client.get("/api/schema/").status_code in (401, 403)


def test_the_description_names_parameters_and_statuses(admin_client: Client) -> None:
    answer = admin_client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    search = answer.json()["paths"]["/dicomweb/studies"]["get"]
    assert {"PatientID", "StudyDate", "limit", "includefield"} <= {one["name"] for one in search["parameters"]}
    assert {"200", "400", "406"} <= set(search["responses"])


def test_the_page_of_the_description_takes_nothing_from_elsewhere(admin_client: Client) -> None:
    page = admin_client.get("/api/docs/").content.decode()
    assert "swagger" in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
