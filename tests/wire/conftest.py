"""One installation for all tests of this folder, and callers whose habits differ."""

from collections.abc import Iterator

import pytest

from tests.node import Node, free_port, listens, wait_for
from tests.qr.receiver import Receiver
from tests.wire.calls import MANY_CLASSES, Archive

PEERS = """
from apps.accounts.principal import system
from apps.network import config
from apps.network.models import Listener, Peer
everything = ["echo", "store", "find", "move", "get"]
for ae_title, switches in {peers!r}.items():
    fields = {{"address_ranges": "127.0.0.0/8", "services": everything, **switches}}
    config.save(Peer(name=ae_title, ae_title=ae_title, **fields), principal=system("test"))
config.save(
    Listener(name="short", ae_title="SHORT", host="127.0.0.1", port={port}, services=everything, idle_timeout=1),
    principal=system("test"),
)
"""
SWITCHES: dict[str, dict[str, object]] = {
    "ECHOONLY": {"services": ["echo"]},
    "ALLDAY": {"idle_timeout": 0},
    "CYRILLIC": {"default_character_set": "ISO_IR 144"},
    "HOSPITAL": {"default_issuer_of_patient_id": "HOSP"},
    "LIMITED": {"query_limit": 2},
    "LISTLESS": {"query_limit": 2, "success_at_limit": True},
    "ONCE": {"maximum_associations": 1},
    "NEWEST": {"duplicate_policy": "make_current"},
}


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with (
        Node(tmp_path_factory.mktemp("wire"), PACS_PROCESSES="1") as node,
        Receiver() as receiver,
        Receiver(sop_classes=MANY_CLASSES) as versatile,
    ):
        node.manage("prepare")
        ports = {"DEST": receiver.port, "VERSATILE": versatile.port}
        destinations = {title: {"host": node.host, "port": port} for title, port in ports.items()}
        impatient = free_port()
        node.shell(PEERS.format(peers=SWITCHES | destinations, port=impatient))
        node.start("listeners", "indexer")
        made = Archive(node, receiver, versatile, impatient)
        wait_for(lambda: listens(impatient), what="the second listener")
        yield made
