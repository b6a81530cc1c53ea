"""The description of the interface and what there is."""

import json
import re

from django.test import Client
from django.urls import URLPattern

from apps.worklist.attributes import BY_NAME
from pacs import dicomweb, rest
from pacs.description import add_dicomweb

_PART = re.compile(r"<\w+:(\w+)>")


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


def test_all_that_rest_offers_is_described_with_examples(admin_client: Client) -> None:
    document = admin_client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    offered = {
        (f"/api/{collection}/" + _PART.sub(r"{\1}", address), method)
        for collection, addresses in rest.COLLECTIONS.items()
        for address, view in addresses.items()
        for method in ("get", "post", "put", "patch", "delete")
        if method in view.http_method_names and hasattr(view, method)
    }
    described = {
        (path, method): operation
        for path, methods in document["paths"].items()
        if path.startswith("/api/")
        for method, operation in methods.items()
    }
    assert described.keys() == offered
    for operation in described.values():
        assert operation["summary"]
        assert "400" in operation["responses"]
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            assert body.get("examples") or media_type != "application/json", operation["summary"]


def test_what_the_description_refers_to_is_there(admin_client: Client) -> None:
    text = admin_client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).content.decode()
    schemas = json.loads(text)["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= schemas.keys()
    assert {"patient_id", "patient_name"} <= set(schemas["Order"]["required"])
    assert set(schemas["ScheduledProcedureStep"]["properties"]) >= {*BY_NAME, "status", "version"}
