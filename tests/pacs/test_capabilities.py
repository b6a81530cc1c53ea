"""What DICOMweb can do, as it says itself (PS3.18 8.9)."""

from xml.etree import ElementTree

import pytest
from django.test import Client

from tests.pacs.test_description import offered

WADL = "{http://wadl.dev.java.net/2009/02}"


def described(document: bytes) -> set[tuple[str, str]]:
    """Addresses and methods of a WADL document."""
    (resources,) = ElementTree.fromstring(document)
    assert resources.attrib["base"] == "http://testserver/dicomweb/"
    return {
        (f"/dicomweb/{resource.attrib['path']}", method.attrib["name"].lower())
        for resource in resources
        for method in resource.findall(f"{WADL}method")
    }


def test_the_services_describe_all_that_they_have(admin_client: Client) -> None:
    answer = admin_client.options("/dicomweb/")
    assert answer.headers["Content-Type"] == "application/vnd.sun.wadl+xml"
    assert described(answer.content) == offered()
    tree = admin_client.options("/dicomweb/", headers={"Accept": "application/json"}).json()
    resources = tree["application"]["resources"]["resource"]
    assert {(one["path"], method["name"]) for one in resources for method in one["method"]} == {
        (path.removeprefix("/dicomweb/"), method.upper()) for path, method in offered()
    }


@pytest.mark.parametrize(
    ("path", "template", "allowed"),
    [
        ("studies", "studies", "GET, HEAD, OPTIONS, POST"),
        ("studies/1.2.3", "studies/{study}", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("studies/1.2.3/series/4/metadata", "studies/{study}/series/{series}/metadata", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_resource_says_what_may_be_done_with_it_and_those_below(
    admin_client: Client, path: str, template: str, allowed: str
) -> None:
    answer = admin_client.options(f"/dicomweb/{path}")
    assert (answer.status_code, answer.headers["Allow"]) == (200, allowed)
    below = {pair for pair in offered() if f"{pair[0]}/".startswith(f"/dicomweb/{template}/")}
    assert described(answer.content) == below


def test_they_are_for_those_who_are_signed_in_and_of_what_there_is(client: Client, admin_client: Client) -> None:
    assert Client().options("/dicomweb/studies").status_code == 401
    assert admin_client.options("/dicomweb/nothing").status_code == 404
    assert admin_client.get("/dicomweb/").status_code == 404
    assert admin_client.options("/dicomweb/studies", headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("studies", "GET, HEAD, OPTIONS, POST"),
        ("studies/1.2.3", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("studies/1.2.3/metadata", "GET, HEAD, OPTIONS"),
    ],
)
def test_who_asks_for_what_cannot_be_done_is_told_what_can(admin_client: Client, path: str, allowed: str) -> None:
    answer = admin_client.put(f"/dicomweb/{path}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
