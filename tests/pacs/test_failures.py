"""A bug is answered with a reference; what a client does wrong before a view is reached is no bug."""

from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import override_settings

from apps.console import views
from apps.qr import rows
from pacs.wsgi import Request


@pytest.fixture
def reader(admin_user: User) -> Client:
    made = Client(raise_request_exception=False)
    made.force_login(admin_user)
    return made


def fail(*_: Any, **__: Any) -> None:
    raise RuntimeError("secret")


def test_a_bug_is_500_with_the_reference_the_log_has(
    reader: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rows, "page", fail)
    answer = reader.get("/dicomweb/studies")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert answer.headers["X-Request-Id"] in answer.json()["title"]
    assert "secret" not in answer.content.decode()
    assert "secret" in caplog.text


def test_a_bug_of_a_page_names_its_reference_too(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "render", fail)
    answer = reader.get("/studies/")
    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] in answer.content.decode()


@pytest.mark.parametrize("charset", ["hex", "undefined", "idna", "utf-16", "utf-8"])
def test_a_query_is_utf_8_whatever_charset_a_body_would_have(charset: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "wsgi.input": BytesIO(), "CONTENT_TYPE": f"text/plain; charset={charset}"}
    request = Request({**environ, "QUERY_STRING": "PatientName=M%C3%BCller"})
    assert request.GET.dict() == {"PatientName": "Müller"}


@override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=10)
@pytest.mark.parametrize("path", ["/dicomweb/studies", "/wado", "/dicomweb/studies/1.2/rendered"])
def test_too_many_parameters_are_a_problem_of_who_asks(reader: Client, path: str) -> None:
    answer = reader.get(f"{path}?{'&'.join(f'a{number}=1' for number in range(11))}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["title"] == "More than 10 parameters"


@pytest.mark.parametrize("path", ["/api/docs/", "/wado"])
def test_what_has_no_options_says_so(reader: Client, path: str) -> None:
    assert reader.options(path).status_code == 405
