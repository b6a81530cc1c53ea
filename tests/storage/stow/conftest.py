from collections.abc import Iterator

import pytest
import requests
from dicomweb_client.api import DICOMwebClient

from tests.node import Node
from tests.qr.web import session_of
from tests.storage.stow.web import url


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("stow")) as running:
        running.manage("prepare")
        yield running.start("indexer", "web")


@pytest.fixture
def session(node: Node) -> Iterator[requests.Session]:
    with session_of(node) as made:
        yield made


@pytest.fixture
def client(node: Node, session: requests.Session) -> DICOMwebClient:
    return DICOMwebClient(url(node), session=session)
