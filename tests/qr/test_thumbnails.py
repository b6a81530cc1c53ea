"""Thumbnails of series, made ahead and kept until the series changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings as Settings
from django.contrib.auth.models import User
from django.test import Client

from apps.qr import rendered
from apps.qr.rendered import warm_thumbnail
from apps.storage.models import Series
from dicom import pixels
from tests.qr.files import SR, keep

SERIES = "/dicomweb/studies/1.2.3/series/1.2.3.1"


@pytest.fixture(autouse=True)
def _caches_of_its_own(folders: None) -> Iterator[None]:
    rendered._thumbnails.cache_clear()
    yield
    rendered._thumbnails.cache_clear()


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def kept(settings: Settings) -> list[Path]:
    return [path for path in (settings.DATA / "cache" / "thumbnails").glob("*/*") if path.is_file()]


def content(reader: Client, path: str) -> bytes:
    answer = reader.get(path)
    assert answer.status_code == 200
    return b"".join(answer)


def test_a_thumbnail_made_ahead_is_the_one_that_is_asked_for(
    reader: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(1, 2, 3)
    warm_thumbnail(Series.objects.get())
    (made,) = kept(settings)
    monkeypatch.setattr(pixels, "run", None)  # no helper is asked
    assert content(reader, f"{SERIES}/thumbnail") == made.read_bytes()
    assert content(reader, "/dicomweb/studies/1.2.3/thumbnail") == made.read_bytes()


def test_a_series_that_has_changed_has_a_new_thumbnail(reader: Client, settings: Settings) -> None:
    keep(1)
    content(reader, f"{SERIES}/thumbnail")
    keep(2)
    content(reader, f"{SERIES}/thumbnail")
    assert len(kept(settings)) == 2


def test_a_series_whose_files_are_gone_has_none_made_ahead(settings: Settings) -> None:
    keep(1)
    for path in settings.ARCHIVE.rglob("*"):
        if path.is_file():
            path.unlink()
    warm_thumbnail(Series.objects.get())
    assert not kept(settings)


def test_the_thumbnail_of_a_study_is_of_its_first_series_with_images(reader: Client) -> None:
    keep(1, series="1.2.3.1", series_number="1", sop_class=SR, modality="SR", rows=None, columns=None, pixels=None)
    keep(1, series="1.2.3.2", series_number="2")
    study = content(reader, "/dicomweb/studies/1.2.3/thumbnail")
    assert study == content(reader, "/dicomweb/studies/1.2.3/series/1.2.3.2/thumbnail")
    assert study != content(reader, f"{SERIES}/thumbnail")
