"""One server for the tests of this folder; the archive of each is its bucket, empty."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from apps.storage import store
from tests.storage.s3.bucket import BUCKET, PREFIX, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("s3")) as made:
        yield made.start()


@pytest.fixture
def bucket(server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """For code of the test's own process."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    settings.STORE, settings.ARCHIVE_BUCKET = "apps.storage.s3.S3Store", BUCKET
    options = {"bucket_name": BUCKET, "location": PREFIX}
    settings.STORAGES = {**settings.STORAGES, "archive": {"BACKEND": "apps.storage.s3.Bucket", "OPTIONS": options}}
    store._made.cache_clear()
    yield server
    server.empty()
    store._made.cache_clear()
