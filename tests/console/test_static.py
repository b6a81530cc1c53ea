"""What is vendored is whole, and has its licence and its compressed twin."""

import gzip
from pathlib import Path

import pytest
from django.http.response import HttpResponseBase
from django.test import Client

from tests.node import ROOT

VENDORED = sorted(path for path in (ROOT / "static/vendor").iterdir() if path.is_dir())
LARGE = [path for folder in VENDORED for path in folder.rglob("*") if path.suffix in (".css", ".js")]


@pytest.mark.parametrize("folder", VENDORED, ids=lambda path: path.name)
def test_has_a_licence_and_a_version(folder: Path) -> None:
    assert (folder / "LICENSE").is_file()
    assert folder.name.rpartition("-")[2][0].isdigit()


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.name)
def test_what_is_sent_compressed_is_the_same(path: Path) -> None:
    assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()


def head(client: Client, path: str, **headers: str) -> HttpResponseBase:
    """Status and headers of a file; it is closed."""
    answer = client.get(path, headers=headers)
    answer.close()
    return answer


def test_no_browser_runs_the_scripts_of_an_older_version(client: Client) -> None:
    """Ours are asked for again each time, those of others have their version in the path."""
    ours = head(client, "/static/quick-look/main.js")
    assert ours["Cache-Control"] == "max-age=0, public"
    assert head(client, "/static/quick-look/main.js", **{"If-None-Match": ours["ETag"]}).status_code == 304
    assert "immutable" in head(client, "/static/vendor/htmx-2.0.11/htmx.min.js")["Cache-Control"]


def test_what_comes_from_others_comes_compressed(client: Client) -> None:
    answer = head(client, "/static/vendor/tabler-1.6.1/tabler.min.css", **{"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
