"""Listeners in this process, on a free port, with rules of the test's own; an archive of its own for each test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pytest_django import Settings

from tests.node import Node
from tests.qr import rows
from tests.qr.serving import Serving
from tests.qr.web import serving, session_of, url

Serve = Callable[..., Serving]


@pytest.fixture
def serve(transactional_db: None) -> Iterator[Serve]:
    """`serve(query_limit=3)` starts a server; the keywords are the caller's switches (fields of PeerRules)."""
    with ExitStack() as stack:
        yield lambda **switches: stack.enter_context(Serving(**switches))


@pytest.fixture
def folders(settings: Settings, tmp_path: Path, transactional_db: None) -> None:
    """A spool and an archive for instances that have files."""
    settings.DATA = tmp_path
    settings.SPOOL = tmp_path / "spool" / "main"
    settings.ARCHIVE = tmp_path / "archive"
    settings.MINIMUM_FREE = 1 << 20


@pytest.fixture
def archive(transactional_db: None) -> None:
    """Three studies of two patients, without files."""
    jane = rows.patient("P1", "Doe^Jane", issuer_of_patient_id="A")
    john = rows.patient("P2", "Doe^John", patient_sex="M")
    first = rows.study(jane, "1.1", series=("CT", "CT", "SR"), accession_number="ACC1")
    rows.study(jane, "1.2", series=("MR",), study_date="20240220", study_time="080000", accession_number="ACC2")
    rows.study(john, "1.3", series=("CT",), study_date="20231231", study_time="235959", accession_number="acc1")
    rows.request_attributes(
        first.series.get(series_number="1"),
        requested_procedure_id="RP1",
        scheduled_procedure_step_id="S1",
        scheduled_procedure_step_description="Head",
    )


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(("move", "heartbeat"))]
    assert not left


@pytest.fixture(scope="package")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """For tests that leave it as they found it."""
    with serving(tmp_path_factory.mktemp("web")) as node:
        yield node


@pytest.fixture
def session(web: Node) -> Iterator[requests.Session]:
    with session_of(web) as made:
        yield made


@pytest.fixture
def dicomweb(web: Node, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(url(web), session=session)
