"""Peers that break the rules end alone: a neighbour is answered while they do it, and no process of ours dies of it."""

from collections.abc import Iterator

import pytest

from tests.campaigns.hostile import ATTACKS, BRISK, Target, endure, start
from tests.node import Node

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("hostile")) as made:
        start(made, BRISK)
        yield made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_neighbour_is_answered_and_no_process_dies_while_a_peer(node: Node, attack) -> None:  # type: ignore[no-untyped-def]
    before = {process.pid for process in node.descendants()}
    endure(Target((node.host, node.dimse_port), BRISK), attack)
    assert {process.pid for process in node.descendants()} == before


def test_nothing_a_hostile_peer_named_is_on_the_disk(node: Node) -> None:
    endure(Target((node.host, node.dimse_port), BRISK), next(a for a in ATTACKS if a.__name__ == "names_bad_uids"))
    assert not [path for path in node.directory.parent.rglob("*") if path.name in ("x", "passwd")]
